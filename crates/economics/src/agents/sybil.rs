use super::{ALL, Agent, Chance, Work};

/// Cheats until it is banned, and comes back under another name.
pub struct Sybil;

impl Agent for Sybil {
    fn name(&self) -> &'static str {
        "sybil"
    }

    fn about(&self) -> &'static str {
        "cheats, and comes back with a new stake and name when banned"
    }

    fn work(&self, _: &mut Chance) -> Work {
        Work::wrong(ALL)
    }

    fn returns(&self) -> bool {
        true
    }
}
