//! Public randomness in rounds.

use std::collections::BTreeMap;

use crate::B256;

/// How a beacon comes by its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BeaconScheme {
    /// From the block that publishes it: for development.
    #[default]
    Development,
    /// Signatures of a drand network, which somebody has to fetch.
    Drand,
    /// Secrets of those who take part; nobody publishes anything.
    CommitReveal,
    /// Unknown to this version, which publishes nothing there.
    Other,
}

impl BeaconScheme {
    /// By the name that its contract gives.
    pub fn of(name: &B256) -> BeaconScheme {
        let name = name.as_slice();
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(32);
        match &name[..end] {
            b"development" => BeaconScheme::Development,
            b"drand" => BeaconScheme::Drand,
            b"commit-reveal" => BeaconScheme::CommitReveal,
            _ => BeaconScheme::Other,
        }
    }
}

/// Rounds of the beacon: when they are due and what was published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beacon {
    /// Time of round 1.
    pub genesis: u64,
    /// Seconds between rounds.
    pub period: u64,
    /// Seconds by which a block's time may lag behind the beacon's clock.
    pub drift: u64,
    /// Where its values come from.
    pub scheme: BeaconScheme,
    /// Values published so far.
    pub values: BTreeMap<u64, B256>,
}

impl Beacon {
    /// First round whose value cannot be known at or before `time`.
    pub fn round_after(&self, time: u64) -> u64 {
        let latest = time.saturating_add(self.drift);
        match latest.checked_sub(self.genesis) {
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

    /// What a round draws by: its value; with [`BeaconScheme::CommitReveal`], where it was spoiled, that of the next which
    /// was not (rounds end there in their order).
    pub fn value(&self, round: u64) -> Option<B256> {
        match self.scheme {
            BeaconScheme::CommitReveal => {
                self.values.range(round..).next().map(|(_, value)| *value)
            }
            _ => self.values.get(&round).copied(),
        }
    }

    /// Whether anybody could publish a round's value at `time`, and nobody has.
    pub fn is_due(&self, round: u64, time: u64) -> bool {
        let publishable = matches!(self.scheme, BeaconScheme::Development | BeaconScheme::Drand);
        publishable && time >= self.time_of(round) && !self.values.contains_key(&round)
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
    #[test]
    fn a_block_that_comes_late_knows_no_more() {
        let beacon = Beacon {
            genesis: 100,
            period: 10,
            drift: 15,
            ..Beacon::default()
        };
        assert_eq!(beacon.round_after(84), 1);
        assert_eq!(beacon.round_after(85), 2);
        for time in 60..140 {
            let round = beacon.round_after(time);
            assert!(beacon.time_of(round) > time + 15, "round {round} at {time}");
        }
    }

    #[test]
    fn a_spoiled_round_draws_by_the_next() {
        let scheme = BeaconScheme::of(&crate::B256::right_padding_from(b"commit-reveal"));
        let mut beacon = Beacon {
            genesis: 100,
            period: 10,
            scheme,
            ..Beacon::default()
        };
        assert_eq!(scheme, BeaconScheme::CommitReveal);
        beacon.values.insert(5, B256::repeat_byte(5));
        assert_eq!(beacon.value(3), Some(B256::repeat_byte(5)));
        assert_eq!(beacon.value(6), None);
        assert!(!beacon.is_due(3, 1_000), "nobody publishes it");
        beacon.scheme = BeaconScheme::Development;
        assert_eq!(beacon.value(3), None);
    }
}
