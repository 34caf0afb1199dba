use super::{ALL, Agent, Chance, Work, happens};

/// Runs a smaller model on every task.
pub struct ModelSwap;

impl Agent for ModelSwap {
    fn name(&self) -> &'static str {
        "model swap"
    }

    fn about(&self) -> &'static str {
        "runs a cheaper model, always"
    }

    fn work(&self, _: &mut Chance) -> Work {
        Work::wrong(ALL)
    }
}

/// Leaves out half of the steps of every task.
pub struct SkippedSteps;

impl Agent for SkippedSteps {
    fn name(&self) -> &'static str {
        "skipped steps"
    }

    fn about(&self) -> &'static str {
        "leaves out half of the steps, always"
    }

    fn work(&self, _: &mut Chance) -> Work {
        Work::wrong(ALL / 2)
    }
}

/// Cheats on three tasks in ten.
pub struct RandomShare;

impl Agent for RandomShare {
    fn name(&self) -> &'static str {
        "random share"
    }

    fn about(&self) -> &'static str {
        "cheats on three tasks in ten"
    }

    fn work(&self, chance: &mut Chance) -> Work {
        match happens(chance, 3_000) {
            true => Work::wrong(ALL),
            false => Work::HONEST,
        }
    }
}

/// Cheats, and sends a friend to convict it when an audit comes: the challenger's share of the slash stays in the family.
pub struct SelfChallenger;

impl Agent for SelfChallenger {
    fn name(&self) -> &'static str {
        "self-challenger"
    }

    fn about(&self) -> &'static str {
        "cheats, and has a friend convict it before the audit does"
    }

    fn work(&self, _: &mut Chance) -> Work {
        Work::wrong(ALL)
    }

    fn convicts_itself(&self) -> bool {
        true
    }
}
