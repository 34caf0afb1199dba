//! `sock-puppet`: a friend of the cheat challenges badly on purpose.
//!
//! It hopes that a dispute which clears the cheat closes the matter. It computes what the cheat computes,
//! with one more element wrong, so that the game leads to an operator that the cheat computed rightly from its own wrong
//! inputs. Clearing closes only that dispute, and the friend pays for it.

use super::{Fault, FaultyExecutor};

/// What the friend of this cheat pretends to have computed.
pub fn executor(cheat: &FaultyExecutor, seed: u64) -> FaultyExecutor {
    cheat.friend(seed)
}

/// Whether the friend has to fall silent after its challenge instead of playing on: no operator of a trace that is
/// made up throughout is right, so any pick would convict the cheat.
pub fn falls_silent(cheat: &FaultyExecutor) -> bool {
    cheat.faults().contains(&Fault::SmallerModel)
}
