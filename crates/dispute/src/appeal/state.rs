//! States of a run (P-L5) and where it is cut (P-L6).

use gavel_numerics::batch::State;
use gavel_trace::Digest;
use sha3::{Digest as _, Keccak256};

/// Most parts that a run is cut into at once.
pub const MAX_PARTS: u64 = 32;
/// Most batches of a run.
pub const MAX_BATCHES: u64 = 1 << 35;

/// Hash of a state.
pub fn state_hash(state: &State) -> Digest {
    keccak(&state.preimage())
}

pub(super) fn keccak(bytes: &[u8]) -> Digest {
    Digest(Keccak256::digest(bytes).into())
}

/// Parts that a run of so many batches is cut into.
pub fn parts(batches: u64) -> u64 {
    batches.min(MAX_PARTS)
}

/// Batches of such a run before part `i`; before one past the last part, all of them.
pub fn boundary(batches: u64, i: u64) -> u64 {
    let whole = u128::from(i) * u128::from(batches);
    // at most `batches`, as i is at most the number of parts
    (whole / u128::from(parts(batches).max(1))) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_numerics::reference::Machine;

    #[test]
    fn a_run_is_cut_into_parts_that_cover_it() {
        for batches in [1, 2, 31, 32, 33, 63, 1000, MAX_BATCHES] {
            let n = parts(batches);
            let cuts: Vec<u64> = (0..=n).map(|i| boundary(batches, i)).collect();
            assert_eq!((cuts[0], cuts[n as usize]), (0, batches));
            assert!(cuts.is_sorted_by(|a, b| a < b), "no part is empty");
            let longest = cuts.windows(2).map(|w| w[1] - w[0]).max();
            assert_eq!(longest, Some(batches.div_ceil(n)));
        }
        assert_eq!(boundary(100, 7), 21);
    }

    #[test]
    fn states_are_hashed_as_the_contract_does() {
        let mut machine = vec![0; 508];
        machine[4 + 7] = 5;
        let running = State::Running(Machine::new(5));
        assert_eq!(state_hash(&running), keccak(&machine));
        let halted = State::Halted(0x3f80_0000);
        assert_eq!(state_hash(&halted), keccak(&[0, 0, 0, 0, 0x3f, 0x80, 0, 0]));
        // keccak256 of nothing, which SHA-3 is not
        let empty = "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470";
        assert_eq!(keccak(&[]).to_string(), empty);
    }
}
