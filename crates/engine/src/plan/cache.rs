//! The plans of the models that ran last.

use std::sync::{Arc, Mutex, PoisonError};

use gavel_model::Model;
use gavel_numerics::kernels::Isa;
use gavel_trace::Digest;

use super::Plan;

/// Models whose plans are kept.
const KEPT: usize = 4;

/// Plans by model, the last used one first.
#[derive(Default)]
pub(crate) struct Plans(Mutex<Vec<(Digest, Arc<Plan>)>>);

impl Plans {
    /// The plan of a model, made where there is none.
    pub(crate) fn of(&self, isa: Isa, model: &Model) -> Arc<Plan> {
        let id = model.model_id();
        let known = || {
            let mut plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let at = plans.iter().position(|(known, _)| *known == id)?;
            plans[..=at].rotate_right(1);
            Some(Arc::clone(&plans[0].1))
        };
        if let Some(plan) = known() {
            return plan;
        }
        // without the lock: two that come at once both make it
        let plan = Arc::new(Plan::new(isa, model));
        let mut plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        plans.insert(0, (id, Arc::clone(&plan)));
        plans.truncate(KEPT);
        plan
    }
}
