//! An input from the chunks that were shown on chain.

use std::collections::BTreeMap;
use std::sync::Arc;

use gavel_model::Model;
use gavel_numerics::Tensor;
use gavel_trace::Digest;

use super::chunks_of;
use crate::board::Task;
use crate::{Board, NodeError, Party, input_digest};

/// Chunks of one input by index.
pub(super) type Shown = BTreeMap<u64, Arc<[u8]>>;

/// What was shown of an input of a task, in any demand.
pub(super) fn shown(board: &Board, input: &Digest, slot: u32) -> Shown {
    let about = board.demands_of(input).filter(|(_, d)| d.slot == slot);
    about
        .flat_map(|(_, demand)| &demand.shown)
        .map(|(index, bytes)| (*index, Arc::clone(bytes)))
        .collect()
}

/// The inputs of a task as they were shown, checked against its digest; from here on they are in this party's blob store.
/// Tensors of which nothing was shown are taken to be zero, as the state that a prompt starts from is: then the digest
/// says whether they are.
///
/// # Errors
/// The blob store fails.
pub(crate) async fn recover(
    party: &Party,
    board: &Board,
    task: &Task,
) -> Result<Option<Vec<Tensor>>, NodeError> {
    let digest = &task.input_digest;
    let Some(model) = party.executor.model(&task.model) else {
        return Ok(None);
    };
    let Some(inputs) = assemble(board, digest, &model) else {
        return Ok(None);
    };
    if !input_digest(&model, &inputs).is_ok_and(|found| found == *digest) {
        return Ok(None);
    }
    party.blobs.keep(digest, &inputs);
    party.blobs.put_inputs(digest, &inputs).await?;
    Ok(Some(inputs))
}

/// `None` where nothing was shown, or a tensor in part only.
fn assemble(board: &Board, input: &Digest, model: &Model) -> Option<Vec<Tensor>> {
    let all = (0..model.graph().inputs.len() as u32).map(|slot| shown(board, input, slot));
    let all: Vec<Shown> = all.collect();
    if all.iter().all(Shown::is_empty) {
        return None;
    }
    let types = model.graph().inputs.iter().map(|(_, ty)| ty);
    let tensors = (0..).zip(all).zip(types).map(|((slot, shown), ty)| {
        let bytes = match shown.is_empty() {
            true => vec![0; ty.byte_len().ok()?],
            false if shown.len() as u64 != chunks_of(model, slot)? => return None,
            false => shown.values().flat_map(|c| c.iter().copied()).collect(),
        };
        Tensor::from_le_bytes(ty.clone(), &bytes).ok()
    });
    tensors.collect()
}

#[cfg(test)]
mod tests {
    use super::super::ask::tests::model;
    use super::*;
    use crate::board::DemandEntry;

    const INPUT: Digest = Digest([7; 32]);

    #[test]
    fn chunks_of_several_demands_are_put_together_and_what_nobody_showed_is_zero() {
        let model = model();
        let mut board = Board::default();
        assert_eq!(assemble(&board, &INPUT, &model), None);
        let demand = |slot| DemandEntry {
            input_digest: INPUT,
            slot,
            ..DemandEntry::default()
        };
        // 300 chunks of 256 elements, by two demands that overlap
        let chunk = |i: u64| -> Arc<[u8]> { (i as f32).to_le_bytes().repeat(256).into() };
        for (id, range) in [(1, 100..300), (2, 0..101)] {
            let mut entry = demand(0);
            entry.shown = range.map(|i| (i, chunk(i))).collect();
            board.demands.insert(id, entry);
        }
        let found = assemble(&board, &INPUT, &model).unwrap();
        assert_eq!(found.len(), 3);
        let bytes = found[0].le_bytes();
        assert!((0..300).all(|i| bytes[i * 1024..(i + 1) * 1024] == chunk(i as u64)[..]));
        assert_eq!(found[1], Tensor::f32([3], vec![0.0; 3]).unwrap());
        // one that is missing is not made up, and other inputs are other inputs
        board.demands.get_mut(&2).unwrap().shown.remove(&50);
        assert_eq!(assemble(&board, &INPUT, &model), None);
        assert_eq!(assemble(&board, &Digest([8; 32]), &model), None);
    }
}
