//! How long a game can take, computed from the model alone.

use gavel_trace::{ModelHeader, ROW_LEVELS};

/// Most rounds (one reveal and one pick) of a game: `ceil(h1 / 4)` at level 1, one for the segment's
/// root rows, `ceil((h2 - 4) / 4)` below them, where `h2` is the higher of the two trees.
pub fn max_rounds(model: &ModelHeader) -> u32 {
    let rounds = |height: u8| u32::from(height.div_ceil(ROW_LEVELS));
    let second = model.ops_height.max(model.live_height);
    rounds(model.trace_height) + 1 + rounds(second.saturating_sub(ROW_LEVELS))
}

/// Most seconds from the opening of a dispute to its isolation or timeout: both budgets, and an
/// increment for every move.
pub fn max_game_seconds(model: &ModelHeader, clock_budget: u32, clock_increment: u32) -> u64 {
    let per_side =
        u64::from(clock_budget) + u64::from(max_rounds(model)) * u64::from(clock_increment);
    2 * per_side
}
