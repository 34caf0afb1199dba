//! Public randomness in rounds.

use std::collections::BTreeMap;

use crate::{Address, B256};

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
    /// drand, and where it is late the secrets of those who take part.
    Fallback,
    /// Unknown to this version, which publishes nothing there.
    Other,
}

impl BeaconScheme {
    /// Those that this version knows.
    const KNOWN: [BeaconScheme; 4] = [
        BeaconScheme::Development,
        BeaconScheme::Drand,
        BeaconScheme::CommitReveal,
        BeaconScheme::Fallback,
    ];

    /// By the name that its contract gives.
    pub fn of(name: &B256) -> BeaconScheme {
        let name = name.as_slice();
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(32);
        let found = BeaconScheme::KNOWN.into_iter();
        let mut found = found.filter(|scheme| scheme.name().as_bytes() == &name[..end]);
        found.next().unwrap_or(BeaconScheme::Other)
    }

    /// The name that its contract gives.
    pub fn name(self) -> &'static str {
        match self {
            BeaconScheme::Development => "development",
            BeaconScheme::Drand => "drand",
            BeaconScheme::CommitReveal => "commit-reveal",
            BeaconScheme::Fallback => "drand, commit-reveal",
            BeaconScheme::Other => "other",
        }
    }
}

/// Rounds that are made of secrets: the beacon itself, or what it falls back to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecretRounds {
    /// `CommitRevealBeacon`.
    pub address: Address,
    /// Time of round 1.
    pub genesis: u64,
    /// Seconds of a round: so long before its time one commits, so long after it one reveals.
    pub period: u64,
    /// Commitments below which a round comes to nothing.
    pub quorum: u32,
    /// What whoever takes part puts up.
    pub bond: u128,
}

impl SecretRounds {
    /// P-B1: first round later than `time`: the one that is committed to at that time.
    pub fn round_after(&self, time: u64) -> u64 {
        round_after(self.genesis, self.period, time)
    }

    /// When a round's secrets may be revealed from on.
    pub fn time_of(&self, round: u64) -> u64 {
        time_of(self.genesis, self.period, round)
    }

    /// Last second at which they may.
    pub fn closes(&self, round: u64) -> u64 {
        self.time_of(round.saturating_add(1)).saturating_sub(1)
    }
}

fn round_after(genesis: u64, period: u64, latest: u64) -> u64 {
    match latest.checked_sub(genesis) {
        None => 1,
        Some(elapsed) => elapsed / period.max(1) + 2,
    }
}

fn time_of(genesis: u64, period: u64, round: u64) -> u64 {
    let periods = round.saturating_sub(1);
    genesis.saturating_add(periods.saturating_mul(period))
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
    /// The rounds of secrets, where there are any.
    pub secrets: Option<SecretRounds>,
    /// Seconds after a round's time after which a beacon with another behind it takes that one's value.
    pub slack: u64,
    /// Values published so far.
    pub values: BTreeMap<u64, B256>,
}

impl Beacon {
    /// First round whose value cannot be known at or before `time`.
    pub fn round_after(&self, time: u64) -> u64 {
        round_after(self.genesis, self.period, time.saturating_add(self.drift))
    }

    /// When a round's value can first exist.
    pub fn time_of(&self, round: u64) -> u64 {
        time_of(self.genesis, self.period, round)
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
        let due = self.time_of(round);
        let publishable = match self.scheme {
            BeaconScheme::Development | BeaconScheme::Drand => true,
            BeaconScheme::Fallback => time <= due.saturating_add(self.slack),
            BeaconScheme::CommitReveal | BeaconScheme::Other => false,
        };
        publishable && time >= due && !self.values.contains_key(&round)
    }

    /// P-B5: the round of secrets whose value a round takes that nobody publishes in time.
    pub fn fallback_of(&self, round: u64) -> Option<u64> {
        let secrets = (self.secrets.as_ref()).filter(|_| self.scheme == BeaconScheme::Fallback)?;
        Some(secrets.round_after(self.time_of(round).saturating_add(self.slack)))
    }

    /// Whether nobody has published a round in time, so that it takes another's value.
    pub fn falls_back(&self, round: u64, time: u64) -> bool {
        self.scheme == BeaconScheme::Fallback
            && time > self.time_of(round).saturating_add(self.slack)
            && !self.values.contains_key(&round)
    }

    /// The first round of secrets that a round which somebody waits for may draw by, where secrets are asked for at `time`.
    /// Of a beacon that falls back they are when half of the slack has passed in silence: who then commits has most of a
    /// period left to do so.
    pub fn secrets_for(&self, round: u64, time: u64) -> Option<u64> {
        if self.value(round).is_some() {
            return None;
        }
        match self.scheme {
            BeaconScheme::CommitReveal => Some(round),
            BeaconScheme::Fallback => self
                .fallback_of(round)
                .filter(|_| time >= self.time_of(round).saturating_add(self.slack / 2)),
            _ => None,
        }
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

    #[test]
    fn time_alone_decides_whose_value_a_round_takes() {
        let scheme = BeaconScheme::of(&B256::right_padding_from(b"drand, commit-reveal"));
        assert_eq!(scheme, BeaconScheme::Fallback);
        let secrets = SecretRounds {
            genesis: 95,
            period: 30,
            ..SecretRounds::default()
        };
        let mut beacon = Beacon {
            genesis: 100,
            period: 3,
            drift: 15,
            scheme,
            secrets: Some(secrets),
            slack: 40,
            ..Beacon::default()
        };
        let due = beacon.time_of(5);
        for time in due - 5..due + 100 {
            let (drand, other) = (beacon.is_due(5, time), beacon.falls_back(5, time));
            assert_eq!(drand || other, time >= due, "{time}");
            assert!(!(drand && other), "{time}");
        }
        let fallback = beacon.fallback_of(5).unwrap();
        assert!(
            secrets.time_of(fallback) > due + 40,
            "unknown while drand counts"
        );
        assert!(
            secrets.time_of(fallback - 1) <= due + 40,
            "and the first such"
        );
        assert_eq!(beacon.secrets_for(5, due + 19), None);
        assert_eq!(beacon.secrets_for(5, due + 20), Some(fallback));
        assert_eq!(beacon.secrets_for(5, due + 2_000), Some(fallback));
        beacon.values.insert(5, B256::repeat_byte(1));
        assert!(!beacon.is_due(5, due) && !beacon.falls_back(5, due + 99));
        assert_eq!(beacon.secrets_for(5, due + 20), None);
    }

    #[test]
    fn a_round_of_secrets_is_committed_to_before_its_time_and_closes_with_the_next() {
        let secrets = SecretRounds {
            genesis: 100,
            period: 10,
            ..SecretRounds::default()
        };
        for time in 80..200 {
            let open = secrets.round_after(time);
            assert!(secrets.time_of(open) > time, "{time}");
            assert!(open == 1 || secrets.time_of(open - 1) <= time, "{time}");
            assert_eq!(secrets.closes(open) + 1, secrets.time_of(open + 1));
        }
    }
}
