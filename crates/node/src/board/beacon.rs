//! Public randomness in rounds.

use std::collections::BTreeMap;

use crate::B256;

/// Rounds of the beacon: when they are due and what was published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beacon {
    /// Time of round 1.
    pub genesis: u64,
    /// Seconds between rounds.
    pub period: u64,
    /// Values published so far.
    pub values: BTreeMap<u64, B256>,
}

impl Beacon {
    /// First round whose value cannot be known at or before `time`.
    pub fn round_after(&self, time: u64) -> u64 {
        match time.checked_sub(self.genesis) {
            None => 1,
            Some(elapsed) => elapsed / self.period.max(1) + 2,
        }
    }

    /// When a round's value can first exist.
    pub fn time_of(&self, round: u64) -> u64 {
        let periods = round.saturating_sub(1);
        self.genesis
            .saturating_add(periods.saturating_mul(self.period))
    }

    /// A published value.
    pub fn value(&self, round: u64) -> Option<B256> {
        self.values.get(&round).copied()
    }

    /// Whether a round's value could be published at `time` and was not.
    pub fn is_due(&self, round: u64, time: u64) -> bool {
        time >= self.time_of(round) && !self.values.contains_key(&round)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_follow_their_time() {
        let beacon = Beacon {
            genesis: 100,
            period: 10,
            ..Beacon::default()
        };
        assert_eq!(beacon.round_after(0), 1);
        // the value of round 1 exists from its time on, so the first unknown one is round 2
        assert_eq!(beacon.round_after(100), 2);
        assert_eq!(beacon.round_after(109), 2);
        assert_eq!(beacon.round_after(110), 3);
        for time in 90..140 {
            let round = beacon.round_after(time);
            assert!(beacon.time_of(round) > time, "round {round} at {time}");
            assert!(round == 1 || beacon.time_of(round - 1) <= time);
        }
    }

    #[test]
    fn a_round_is_due_once() {
        let mut beacon = Beacon {
            genesis: 100,
            period: 10,
            ..Beacon::default()
        };
        assert!(!beacon.is_due(2, 109));
        assert!(beacon.is_due(2, 110));
        beacon.values.insert(2, B256::repeat_byte(1));
        assert!(!beacon.is_due(2, 110));
    }
}
