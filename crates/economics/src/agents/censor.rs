use super::{ALL, Agent, Chance, Work};

/// Cheats, and buys the blocks in which the auditor would have to commit.
pub struct Censor;

impl Agent for Censor {
    fn name(&self) -> &'static str {
        "censor"
    }

    fn about(&self) -> &'static str {
        "cheats, and fills every block in which the auditor could commit"
    }

    fn work(&self, _: &mut Chance) -> Work {
        Work::wrong(ALL)
    }

    fn censors(&self) -> bool {
        true
    }
}
