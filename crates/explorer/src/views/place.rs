//! Where in a model's steps and nodes a part of a trace lies.

use serde_json::{Value, json};

use super::View;
use crate::index::{DisputeTale, Level, Range};

impl View<'_> {
    /// A part of a trace, with where that is in the model.
    pub(super) fn range(&self, tale: &DisputeTale, range: &Range) -> Value {
        let level = match range.level {
            Level::Operators => "operators",
            Level::Live => "live",
            _ => "trace",
        };
        json!({
            "level": level,
            "first": self.place(tale, range.level, range.first),
            "last": self.place(tale, range.level, range.last),
            "count": range.last.saturating_sub(range.first) + 1,
        })
    }

    pub(super) fn place(&self, tale: &DisputeTale, level: Level, leaf: u64) -> Value {
        let points = tale.header.map_or(1, |h| u64::from(h.commit_points.max(1)));
        let own = match level {
            Level::Operators | Level::Live => tale.segment.map_or(0, |s| s.leaf),
            _ => leaf,
        };
        let (step, segment) = (own / points, own % points);
        let node = match level {
            Level::Operators => tale.segment.map(|s| u64::from(s.first_node) + leaf),
            Level::Live => None,
            _ => self.last_node(tale, segment),
        };
        json!({"leaf": leaf, "step": step, "segment": segment, "node": node})
    }

    /// The last node of a segment, where its model is known.
    fn last_node(&self, tale: &DisputeTale, segment: u64) -> Option<u64> {
        let model = self.shared.catalogue.model(&tale.model)?;
        let own = model.segments().get(usize::try_from(segment).ok()?)?;
        let end = u64::from(own.first_node) + u64::from(own.op_count);
        end.checked_sub(1)
    }
}
