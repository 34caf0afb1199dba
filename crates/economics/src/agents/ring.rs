use super::{ALL, Agent, Audit, Chance, Seen, Work};

/// Providers, auditors and referees that cover each other: who is drawn to look at a friend's lie passes it.
pub struct Ring;

impl Agent for Ring {
    fn name(&self) -> &'static str {
        "ring"
    }

    fn about(&self) -> &'static str {
        "cheats; its auditors and referees pass each other's lies"
    }

    fn work(&self, _: &mut Chance) -> Work {
        Work::wrong(ALL)
    }

    fn audit(&self, seen: Seen, _: &mut Chance) -> Audit {
        match seen.by_friend {
            true => Audit::Copies,
            false => Audit::Runs,
        }
    }

    fn rules_truly(&self, seen: Seen) -> bool {
        !seen.by_friend
    }

    /// In the hope of a friend as referee.
    fn defends_lies(&self) -> bool {
        true
    }

    fn is_ring(&self) -> bool {
        true
    }
}
