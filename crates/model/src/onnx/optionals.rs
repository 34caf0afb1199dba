//! Values that may be absent: whether one is there is known at import.

use super::Value;
use super::lower::Lowering;
use crate::ModelError;

/// What this module maps.
pub(super) const SUPPORTED: &[&str] = &["Optional", "OptionalGetElement", "OptionalHasElement"];

/// The value of a node of this kind.
pub(super) fn lower(l: &mut Lowering<'_, '_>, op: &str) -> Result<Value, ModelError> {
    l.some_inputs(0..=1)?;
    match op {
        "OptionalHasElement" => l.condition(&[], &[l.optional(0).is_some()]),
        _ => {
            // the type of what is absent
            l.attributes.ignore(&["type"]);
            l.optional(0)
                .ok_or_else(|| l.fail("a value that is absent is not supported"))
        }
    }
}
