//! Where in a provider's output it is wrong, as far as that was shown.

use gavel_numerics::Tensor;
use gavel_trace::{
    Base64Bytes, CHUNK_BYTES, ChunkOpening, ClaimedElement, Digest, chunk_elements, chunk_tree,
};

use super::path::ProviderTree;
use crate::ShownTensor;
use crate::board::{Appeal, ShownOutput};

/// What is known of the provider's output at the isolated place.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Claimed<'a> {
    /// The dispute's appeal.
    pub(super) appeal: Option<&'a Appeal>,
    /// The output itself, where the provider showed it.
    pub(super) output: Option<&'a Tensor>,
}

/// The first wrong element that is known: the one that an appeal was decided by or got to, else the first that
/// differs from `own` in an output with the claimed digest.
pub(super) fn claimed_element(
    known: Claimed<'_>,
    claimed: &Digest,
    own: &Tensor,
) -> Option<ClaimedElement> {
    let own = ShownTensor::of(own);
    if let Some(appeal) = known.appeal {
        // a dispute may be appealed more than once, about different places
        let decided = appeal.decided.as_ref();
        let decided = decided.map(|(shown, step)| (shown, Some(step.batch)));
        let mut known = decided.into_iter().chain([(&appeal.shown, None)]);
        let found = known.find_map(|(shown, batch)| of_appeal(shown, batch, claimed, &own));
        if found.is_some() {
            return found;
        }
    }
    let theirs = ShownTensor::of(known.output?);
    if theirs.header.digest_bytes(&theirs.bytes.0).ok()? != *claimed || theirs.header != own.header
    {
        return None;
    }
    let at = theirs
        .bytes
        .0
        .iter()
        .zip(&own.bytes.0)
        .position(|(a, b)| a != b)?;
    let chunk =
        ChunkOpening::open(theirs.header, &theirs.bytes.0, (at / CHUNK_BYTES) as u64).ok()?;
    let size = own.header.element_bytes().ok()?;
    Some(ClaimedElement {
        header: chunk.header,
        chunk: Base64Bytes(chunk.chunk),
        opening: chunk.opening,
        element: at as u64 / size,
        batch: None,
    })
}

fn of_appeal(
    shown: &ShownOutput,
    batch: Option<u64>,
    claimed: &Digest,
    own: &ShownTensor,
) -> Option<ClaimedElement> {
    let (element, _) = shown.element?;
    let size = own.header.element_bytes().ok()?;
    let index = element / chunk_elements(size);
    let tree = chunk_tree(&own.bytes.0).ok()?;
    let tree = ProviderTree::find(&tree, &shown.chunk_root, index, &shown.rows)?;
    let found = ClaimedElement {
        header: own.header.clone(),
        chunk: Base64Bytes(shown.chunk.clone()),
        opening: tree.open(index)?,
        element,
        batch,
    };
    // what a log says of another output is no part of this file
    (found.chunk_opening().tensor_digest().ok()? == *claimed).then_some(found)
}
