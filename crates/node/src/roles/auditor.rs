//! Whoever is drawn at random: runs the task again, commits to what it found, shows the chunk that is asked for, and
//! sees the dispute through where the result is another.

use async_trait::async_trait;
use gavel_dispute::{Policy, Role as Part};
use gavel_model::Model;
use gavel_numerics::Tensor;
use gavel_settlement::alloy::primitives::{U256, keccak256};
use gavel_settlement::alloy::sol_types::SolValue as _;
use gavel_settlement::bindings::IAudits;
use gavel_trace::{
    AuditSalt, CHUNK_BYTES, Digest, Opening, TensorHeader, chunk_count, chunk_tree, live_tree,
    salted_root,
};

use crate::availability::{Duty, Obtained, obtain, tend};
use crate::board::{Audit, AuditState, confirm};
use crate::faults::lazy_auditor;
use crate::role::Attempts;
use crate::{
    Act, Address, B256, Board, NodeError, Party, Role, RunRecord, ShownTensor, finder, play::play,
};

/// An auditor.
pub struct Auditor {
    party: Party,
    lazy: bool,
}

impl Auditor {
    /// An auditor that does its work.
    pub fn new(party: Party) -> Auditor {
        Auditor { party, lazy: false }
    }

    /// One that copies what the provider committed instead: the fault `lazy-auditor`.
    pub fn lazy(mut self, lazy: bool) -> Auditor {
        self.lazy = lazy;
        self
    }

    async fn commit(&self, board: &Board, audit: &Audit) -> Result<Option<Act>, NodeError> {
        let (task, attempt) = (audit.task, audit.attempt);
        let salt = self.party.secret("audit", task, attempt)?;
        let found = if self.lazy {
            lazy_auditor::copied(board, task)
        } else {
            let run = match self.party.needed_run_of(board, task).await {
                Err(NodeError::InputUnavailable { .. }) => return self.ask(board, audit).await,
                other => other?,
            };
            let Some(run) = run else {
                return Ok(None);
            };
            let live = live_at(&self.party, &run, audit.leaf_index)?;
            let salted = salted(&self.salt(task), &run.model, &live)?;
            Some((salted, run.trace.trace_root()))
        };
        let Some((salted, own_root)) = found else {
            return Ok(None);
        };
        let call = IAudits::commitAuditCall {
            taskId: U256::from(task),
            attempt,
            leafIndex: audit.leaf_index,
            saltedRoot: salted.0.into(),
            rootCommitment: root_commitment(self.party.address(), task, attempt, own_root, salt),
        };
        let what = format!("commits its audit of task {task}");
        confirm::task(&self.party, board, task).await?;
        self.party
            .until(Some(audit.deadline))
            .act(board, board.contracts.audits, call, what)
            .await
    }

    async fn open(&self, board: &Board, audit: &Audit) -> Result<Option<Act>, NodeError> {
        let (task, attempt) = (audit.task, audit.attempt);
        let round = board.beacon.round_after(audit.committed_at);
        // a lazy auditor has nothing to show
        let Some(value) = board.beacon_value(round).filter(|_| !self.lazy) else {
            return Ok(None);
        };
        let Some(run) = self.party.run_of(board, task).await? else {
            return Ok(None);
        };
        let live = live_at(&self.party, &run, audit.leaf_index)?;
        let seed = chunk_seed(value, task, attempt, self.party.address());
        let Some(opening) = opening(&self.salt(task), &run, audit.leaf_index, &live, seed)? else {
            return Ok(None);
        };
        let commitment = run.trace.commitment();
        let matches = board
            .task(task)
            .is_some_and(|t| t.trace_root == commitment.trace_root);
        let call = IAudits::openAuditCall {
            taskId: U256::from(task),
            ownSteps: commitment.steps,
            ownLevel1Root: commitment.level1_root.0.into(),
            salt: self.party.secret("audit", task, attempt)?,
            opening,
        };
        let what = match matches {
            true => format!("opens its audit of task {task}: the result is right"),
            false => format!("opens its audit of task {task}: the result is wrong"),
        };
        self.party
            .until(Some(audit.deadline))
            .act(board, board.contracts.audits, call, what)
            .await
    }

    /// It cannot have what it would run: it is demanded, and only where nobody shows it this is said.
    async fn ask(&self, board: &Board, audit: &Audit) -> Result<Option<Act>, NodeError> {
        let duty = Duty {
            task: audit.task,
            since: audit.drawn_at,
            deadline: audit.deadline,
        };
        match obtain(&self.party, board, duty).await {
            Ok(Obtained::Asked(act)) => Ok(Some(act)),
            Ok(Obtained::Waiting) => Ok(None),
            // also where no demand could be made: silence would cost it its penalty
            _ if is_late(board, audit) => self.decline(board, audit.task).await,
            Ok(Obtained::Without) => Err(NodeError::InputUnavailable { task: audit.task }),
            Err(error) => Err(error),
        }
    }

    /// P-A7: it cannot have what it would run.
    async fn decline(&self, board: &Board, task: u64) -> Result<Option<Act>, NodeError> {
        let call = IAudits::inputUnavailableCall {
            taskId: U256::from(task),
        };
        let what = format!("cannot have the input of task {task}, and leaves its audit to another");
        self.party
            .act(board, board.contracts.audits, call, what)
            .await
    }

    /// What it owes for an audit.
    async fn work(&self, board: &Board, audit: &Audit) -> Result<Option<Act>, NodeError> {
        match audit.state {
            AuditState::Drawn => self.commit(board, audit).await,
            AuditState::Committed => self.open(board, audit).await,
            _ => Ok(None),
        }
    }

    fn salt(&self, task: u64) -> AuditSalt {
        AuditSalt::new(self.party.address().into_array(), task)
    }
}

#[async_trait]
impl Role for Auditor {
    fn name(&self) -> &str {
        &self.party.name
    }

    fn address(&self) -> Address {
        self.party.address()
    }

    async fn tick(&mut self, board: &Board) -> Result<Option<Act>, NodeError> {
        let me = self.address();
        let mut attempts = Attempts::default();
        attempts.act(self.party.keep_inputs(board).await.map(|()| None));
        for audit in board.audits.values().map(|entry| &entry.audit) {
            if audit.auditor != me || board.now() > audit.deadline || !stands(board, audit) {
                continue;
            }
            let outcome = self.work(board, audit).await;
            if let Some(act) = attempts.act(outcome) {
                return Ok(Some(act));
            }
        }
        // what its audits found is fought out by it
        for (id, entry) in board.open_disputes() {
            if !entry.by_audit || entry.dispute.challenger != me {
                continue;
            }
            let policy = Policy::default();
            let outcome = play(&self.party, board, id, Part::Challenger, &policy).await;
            if let Some(act) = attempts.act(outcome) {
                return Ok(Some(act));
            }
        }
        let outcome = finder::claim(&self.party, board).await;
        if let Some(act) = attempts.act(outcome) {
            return Ok(Some(act));
        }
        let outcome = tend(&self.party, board).await;
        match attempts.act(outcome) {
            Some(act) => Ok(Some(act)),
            None => attempts.nothing(),
        }
    }
}

/// Whether more than half of the time to commit has passed: an input that comes late is one.
fn is_late(board: &Board, audit: &Audit) -> bool {
    board.now() > audit.drawn_at.midpoint(audit.deadline)
}

/// Whether the task is still at the result that is audited.
fn stands(board: &Board, audit: &Audit) -> bool {
    board.task(audit.task).is_some_and(|task| {
        task.attempt == audit.attempt
            && task.state.is_committed()
            && !board.is_tombstoned(&task.provider)
    })
}

/// The tensors live at a leaf of the party's own run; none where that run ended before it.
fn live_at(party: &Party, run: &RunRecord, leaf: u64) -> Result<Vec<ShownTensor>, NodeError> {
    if leaf >= run.trace.leaves().len() as u64 {
        return Ok(Vec::new());
    }
    let live = party.executor.live_at(run, leaf)?;
    Ok(live
        .iter()
        .map(|t: &std::sync::Arc<Tensor>| ShownTensor::of(t))
        .collect())
}

fn salted(salt: &AuditSalt, model: &Model, live: &[ShownTensor]) -> Result<Digest, NodeError> {
    let bytes: Vec<&[u8]> = live.iter().map(|t| t.bytes.0.as_slice()).collect();
    Ok(salted_root(salt, model.header().live_height, &bytes)?)
}

/// `keccak256(abi.encode(auditor, taskId, attempt, ownTraceRoot, salt))`.
pub(crate) fn root_commitment(
    auditor: Address,
    task: u64,
    attempt: u8,
    root: Digest,
    salt: B256,
) -> B256 {
    let attempt = U256::from(attempt);
    keccak256((auditor, U256::from(task), attempt, B256::from(root.0), salt).abi_encode())
}

/// Slot and chunk selectors (`spec/protocol.md`, P-A2): the halves of
/// `keccak256(abi.encode(value, taskId, attempt, auditor))`.
fn chunk_seed(value: B256, task: u64, attempt: u8, auditor: Address) -> (u128, u128) {
    let words = (value, U256::from(task), U256::from(attempt), auditor);
    let hash = U256::from_be_bytes(keccak256(words.abi_encode()).0);
    let mask = U256::from(u128::MAX);
    let half = |value: U256| u128::try_from(value & mask).unwrap_or_default();
    (half(hash >> 128), half(hash))
}

/// The chunk that the seed asks for, under the auditor's own trace and under its salted root. `None` where the
/// model has no such segment.
fn opening(
    salt: &AuditSalt,
    run: &RunRecord,
    leaf: u64,
    live: &[ShownTensor],
    (slot_seed, chunk_seed): (u128, u128),
) -> Result<Option<IAudits::ChunkOpening>, NodeError> {
    let header = run.model.header();
    let segment = (leaf % u64::from(header.commit_points.max(1))) as u32;
    let Some((entry, proof)) = run.model.open_segment(segment) else {
        return Ok(None);
    };
    let segment = IAudits::SegmentOpening {
        index: entry.index,
        firstNode: entry.first_node,
        opCount: entry.op_count,
        liveCount: entry.live_count,
        liveListRoot: entry.live_list_root.0.into(),
        proof: words(&proof),
    };
    let mut out = IAudits::ChunkOpening {
        chunk: Default::default(),
        slot: 0,
        chunkIndex: 0,
        tensorHeader: Default::default(),
        chunkProof: Vec::new(),
        liveProof: Vec::new(),
        traceProof: Vec::new(),
        saltedChunkProof: Vec::new(),
        saltedLiveProof: Vec::new(),
        segment,
    };
    // an empty commit point, or a run that ended before it: nothing is looked at
    let Some(slot) = slot_seed.checked_rem(live.len() as u128) else {
        return Ok(Some(out));
    };
    let Some(tensor) = live.get(slot as usize) else {
        return Ok(Some(out));
    };
    let bytes = tensor.bytes.0.as_slice();
    let digests = live
        .iter()
        .map(|t| t.header.digest_bytes(&t.bytes.0))
        .collect::<Result<Vec<_>, _>>()?;
    let contents: Vec<&[u8]> = live.iter().map(|t| t.bytes.0.as_slice()).collect();
    out.slot = slot as u32;
    out.tensorHeader = tensor_header(&tensor.header);
    out.liveProof = words(&live_tree(header.live_height, &digests)?.open(slot as u64)?);
    out.traceProof = words(&run.trace.level1.tree().open(leaf)?);
    let salted = salt.live_tree(header.live_height, &contents)?;
    out.saltedLiveProof = words(&salted.open(slot as u64)?);
    if let Some(index) = chunk_seed.checked_rem(chunk_count(bytes.len() as u64).into()) {
        let index = index as u64;
        out.chunkIndex = index;
        let chunk = bytes.chunks(CHUNK_BYTES).nth(index as usize);
        out.chunk = chunk.unwrap_or_default().to_vec().into();
        out.chunkProof = words(&chunk_tree(bytes)?.open(index)?);
        out.saltedChunkProof = words(&salt.tensor_tree(bytes)?.open(index)?);
    }
    Ok(Some(out))
}

fn tensor_header(header: &TensorHeader) -> crate::Bytes {
    header.encode().into()
}

fn words(opening: &Opening) -> Vec<B256> {
    opening.siblings.iter().map(|d| d.0.into()).collect()
}
