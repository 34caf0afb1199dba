//! How a dispute closes in: leaves, rows, clocks.

use gavel_dispute::Tree;
use gavel_trace::ROW_LEVELS;

use super::market::at;
use super::transaction::Transaction;
use super::{DisputeTale, Level, Move, Range, Shown, digest};

impl Level {
    pub(super) fn tree(self) -> Tree {
        match self {
            Level::Operators => Tree::Ops,
            Level::Live => Tree::Live,
            _ => Tree::Level1,
        }
    }
}

impl DisputeTale {
    /// Leaves of a tree that carry something.
    pub(crate) fn leaves(&self, level: Level) -> u64 {
        let points = self.header.map_or(1, |h| u64::from(h.commit_points));
        let leaves = match (level, self.segment) {
            (Level::Operators, Some(segment)) => segment.ops,
            (Level::Live, Some(segment)) => segment.live,
            _ => points * u64::from(self.steps),
        };
        leaves.max(1)
    }

    /// The leaves under a node, those of no meaning behind the last apart.
    pub(super) fn under(&self, level: Level, height: u8, index: u64) -> Range {
        let first = index.checked_shl(height.into()).unwrap_or(u64::MAX);
        let end = first.saturating_add(1u64.checked_shl(height.into()).unwrap_or(u64::MAX));
        let last = end.min(self.leaves(level).max(first.saturating_add(1))) - 1;
        Range { level, first, last }
    }

    /// A row with the leaves under each of its digests; padding is left out.
    pub(super) fn row(&self, range: Range, height: u8, row: &[gavel_node::B256]) -> Vec<Shown> {
        let below = height.saturating_sub(ROW_LEVELS);
        let leaves = self.leaves(range.level);
        let shown = row.iter().enumerate().map(|(i, value)| {
            let first = range.first + ((i as u64) << below);
            Shown {
                digest: digest(value),
                first,
                last: (first + (1 << below)).min(leaves) - 1,
                picked: false,
            }
        });
        shown
            .filter(|shown| shown.first < leaves && shown.first <= shown.last)
            .collect()
    }

    /// Seconds of the mover's clock, which begins to run again for the other side.
    pub(super) fn used(&mut self, tx: &Transaction) -> Option<u64> {
        let used = tx.time.saturating_sub(self.turn_since);
        self.turn_since = tx.time;
        Some(used)
    }

    pub(super) fn mark(&mut self, child: usize) {
        let shown = self.moves.iter_mut().rev().find(|m| !m.digests.is_empty());
        if let Some(shown) = shown.and_then(|m| m.digests.get_mut(child)) {
            shown.picked = true;
        }
    }

    pub(super) fn push(
        &mut self,
        tx: &Transaction,
        side: &'static str,
        kind: &'static str,
        text: &str,
    ) -> &mut Move {
        self.moves.push(Move {
            at: at(tx),
            gas: tx.gas,
            side,
            kind,
            round: self.round,
            level: None,
            text: text.to_owned(),
            before: None,
            after: None,
            digests: Vec::new(),
            used: None,
        });
        let last = self.moves.len() - 1;
        &mut self.moves[last]
    }
}
