//! Inputs that are not in the blob store: asked for on chain, shown there by whoever has them, and put together again
//! (`spec/protocol.md`, "Availability").

mod answer;
mod ask;
mod recover;

pub(crate) use answer::tend;
pub(crate) use ask::{Duty, Obtained, obtain};
pub(crate) use recover::recover;

use gavel_model::Model;
use gavel_trace::chunk_count;

/// So many chunks, in words.
fn counted(chunks: usize) -> String {
    match chunks {
        1 => "1 chunk".to_owned(),
        n => format!("{n} chunks"),
    }
}

/// Chunks of an input; one of a tensor without elements, which is shown by an empty one. `None`: no such input, or none
/// whose size is known.
fn chunks_of(model: &Model, slot: u32) -> Option<u64> {
    let (_, ty) = model.graph().inputs.get(slot as usize)?;
    Some(chunk_count(ty.byte_len().ok()? as u64).max(1))
}
