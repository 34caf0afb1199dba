use super::{Agent, Audit, Chance, Seen};

/// Audits without a run.
pub struct LazyAuditor;

impl Agent for LazyAuditor {
    fn name(&self) -> &'static str {
        "lazy auditor"
    }

    fn about(&self) -> &'static str {
        "audits without a run, and has nothing to open"
    }

    fn audit(&self, _: Seen, _: &mut Chance) -> Audit {
        Audit::Sleeps
    }
}

/// Asks the provider for its tensors and says that they match.
pub struct CopyingAuditor;

impl Agent for CopyingAuditor {
    fn name(&self) -> &'static str {
        "copying auditor"
    }

    fn about(&self) -> &'static str {
        "audits with the provider's own tensors, where that hands them over"
    }

    fn audit(&self, _: Seen, _: &mut Chance) -> Audit {
        Audit::Copies
    }
}

/// Runs nothing that a provider's tensors spare it.
pub struct BelievingAuditor;

impl Agent for BelievingAuditor {
    fn name(&self) -> &'static str {
        "believing auditor"
    }

    fn about(&self) -> &'static str {
        "says that a result matches where the provider hands over its tensors, and runs the others"
    }

    fn audit(&self, _: Seen, _: &mut Chance) -> Audit {
        Audit::Believes
    }
}
