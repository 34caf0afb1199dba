use super::Agent;

/// Runs the model, audits by running it, rules what it computes.
pub struct Honest;

impl Agent for Honest {
    fn name(&self) -> &'static str {
        "honest"
    }

    fn about(&self) -> &'static str {
        "runs every task, audit and ruling"
    }
}
