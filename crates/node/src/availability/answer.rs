//! Showing what others lack, and taking back what nobody was paid.

use gavel_numerics::Tensor;
use gavel_settlement::alloy::primitives::U256;
use gavel_settlement::bindings::IDemands;
use gavel_trace::{CHUNK_BYTES, TensorHeader, chunk_tree, live_tree};

use super::counted;
use crate::board::DemandEntry;
use crate::{Act, B256, Board, NodeError, Party, ShownTensor};

/// Chunks in one transaction: about a million gas.
const CHUNKS_AT_ONCE: usize = 16;

/// Takes back the fees of its own demands that nobody answered in time, else shows chunks that others demand and this party
/// has. The parameters price an answer, and the contract takes no demand that pays less (P-I3).
///
/// # Errors
/// The chain or the blob store fails.
pub(crate) async fn tend(party: &Party, board: &Board) -> Result<Option<Act>, NodeError> {
    let (me, now) = (party.address(), board.now());
    for (id, demand) in &board.demands {
        let act = if demand.demander == me && !demand.closed && now > demand.deadline {
            close(party, board, *id).await?
        } else if demand.demander != me && demand.is_open(now) {
            answer(party, board, *id, demand).await?
        } else {
            None
        };
        if act.is_some() {
            return Ok(act);
        }
    }
    Ok(None)
}

async fn close(party: &Party, board: &Board, id: u64) -> Result<Option<Act>, NodeError> {
    let call = IDemands::closeCall {
        demandId: U256::from(id),
    };
    let what = format!("takes back the fees of demand {id}, which nobody answered");
    party.act(board, board.contracts.demands, call, what).await
}

async fn answer(
    party: &Party,
    board: &Board,
    id: u64,
    demand: &DemandEntry,
) -> Result<Option<Act>, NodeError> {
    let Some(task) = board.task(demand.task) else {
        return Ok(None);
    };
    let Some(inputs) = party.inputs_of(task).await? else {
        return Ok(None);
    };
    let Some(model) = party.executor.model(&task.model) else {
        return Ok(None);
    };
    let Some(call) = opening(id, demand, &inputs, model.header().live_height)? else {
        return Ok(None);
    };
    let chunks = counted(call.chunks.len());
    let what = format!(
        "shows {chunks} of the input of task {} for demand {id}",
        demand.task
    );
    party
        .until(Some(demand.deadline))
        .act(board, board.contracts.demands, call, what)
        .await
}

/// The next chunks that a demand waits for; `None` where the input has none of them.
fn opening(
    id: u64,
    demand: &DemandEntry,
    inputs: &[Tensor],
    live_height: u8,
) -> Result<Option<IDemands::answerCall>, NodeError> {
    let shown: Vec<ShownTensor> = inputs.iter().map(ShownTensor::of).collect();
    let Some(tensor) = shown.get(demand.slot as usize) else {
        return Ok(None);
    };
    let bytes = tensor.bytes.0.as_slice();
    let digests = shown
        .iter()
        .map(|t| t.header.digest_bytes(&t.bytes.0))
        .collect::<Result<Vec<_>, _>>()?;
    let tree = chunk_tree(bytes)?;
    let mut chunks = Vec::new();
    for index in demand.unanswered().take(CHUNKS_AT_ONCE) {
        let chunk = match bytes.chunks(CHUNK_BYTES).nth(index as usize) {
            Some(chunk) => chunk,
            None if bytes.is_empty() && index == 0 => &[],
            None => break,
        };
        chunks.push(IDemands::AnsweredChunk {
            index,
            chunk: chunk.to_vec().into(),
            proof: words(&tree.open(index)?.siblings),
        });
    }
    if chunks.is_empty() {
        return Ok(None);
    }
    let header: &TensorHeader = &tensor.header;
    let proof = live_tree(live_height, &digests)?.open(demand.slot.into())?;
    Ok(Some(IDemands::answerCall {
        demandId: U256::from(id),
        tensorHeader: header.encode().into(),
        liveProof: words(&proof.siblings),
        chunks,
    }))
}

fn words(digests: &[gavel_trace::Digest]) -> Vec<B256> {
    digests.iter().map(|d| d.0.into()).collect()
}
