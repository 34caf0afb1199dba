use super::{Agent, Chance, happens};

/// Works honestly, and challenges right results of others to keep them from working.
pub struct Griefer;

impl Agent for Griefer {
    fn name(&self) -> &'static str {
        "griefer"
    }

    fn about(&self) -> &'static str {
        "challenges a right result of another for one in twenty of its own"
    }

    fn challenges_falsely(&self, chance: &mut Chance) -> bool {
        happens(chance, 500)
    }
}
