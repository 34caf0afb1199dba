//! Whoever serves: bids, runs, commits, defends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use gavel_dispute::Policy;
use gavel_engine::digest;
use gavel_settlement::alloy::primitives::{B256, U256};
use gavel_settlement::alloy::sol_types::SolCall;
use gavel_settlement::bindings::{Market, StakeVault};
use gavel_trace::{Digest, TraceError, live_tree};

use crate::availability::tend;
use crate::board::{Task, TaskState, confirm};
use crate::receipt::sign_receipt;
use crate::role::Attempts;
use crate::{Act, Address, Board, NodeError, Party, Role, RunRecord, defend};

/// Enough for a run, and for some round trips to a chain that answers slowly.
pub const LEAST_EXEC_SECONDS: u32 = 10;

/// Outputs of a model of several steps that are handed out whole: what the last step says. What only another step would
/// read has its digest shown.
const SHOWN_OUTPUTS: usize = 4;

/// How a provider does business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderPolicy {
    /// Lowest price that it works for, in units of the asset.
    pub reserve: u128,
    /// Shortest time from claim to deadline that it takes a task with, in seconds: a late result costs stake.
    pub least_exec_seconds: u32,
    /// Classes that it serves: models and families. It bids for those only that its executor has.
    pub classes: Vec<Digest>,
    /// Whether it delivers what it claimed: false is the fault `no-result`.
    pub delivers: bool,
    /// Whether it answers in a dispute: false is the fault `withhold`.
    pub defends: bool,
    /// Whether it appeals a ruling that contradicts what it computed.
    pub appeals: bool,
}

impl ProviderPolicy {
    /// Serves these classes from this price on, and keeps its word.
    pub fn honest(reserve: u128, classes: Vec<Digest>) -> ProviderPolicy {
        ProviderPolicy {
            reserve,
            least_exec_seconds: LEAST_EXEC_SECONDS,
            classes,
            delivers: true,
            defends: true,
            appeals: true,
        }
    }
}

/// A provider. What it owes comes first: its defence, then its results, then new business.
pub struct Provider {
    party: Party,
    policy: ProviderPolicy,
    draining: Arc<AtomicBool>,
}

impl Provider {
    /// A provider that is registered, or will be.
    pub fn new(party: Party, policy: ProviderPolicy) -> Provider {
        Provider {
            party,
            policy,
            draining: Arc::default(),
        }
    }

    /// From when this is set on it takes no new work and leaves the pools that it may be drawn from; what it owes by
    /// then ([`obligations`](super::obligations)) it does.
    pub fn draining(mut self, draining: Arc<AtomicBool>) -> Provider {
        self.draining = draining;
        self
    }

    /// Runs a task that it owes a result for, and commits.
    async fn deliver(&self, board: &Board, id: u64) -> Result<Option<Act>, NodeError> {
        match self.party.run_of(board, id).await? {
            Some(run) => deliver(&self.party, board, id, &run).await,
            None => Ok(None),
        }
    }

    /// Claims the waiting retry of a class that it serves, else the dearest open task that it would work for.
    async fn bid(&self, board: &Board, attempts: &mut Attempts) -> Option<Act> {
        for class in &self.policy.classes {
            let Some((id, entry)) = board.retry_head(class) else {
                continue;
            };
            let call = Market::claimRetryCall {
                classId: class.0.into(),
            };
            let what = format!("claims task {id} from the retry lane");
            let outcome = self.claim(board, id, &entry.task, call, what).await;
            if let Some(act) = attempts.act(outcome) {
                return Some(act);
            }
        }
        for (id, task) in open(board, &self.policy.classes) {
            let call = Market::claimCall {
                taskId: U256::from(id),
            };
            let what = format!("claims task {id}");
            let outcome = self.claim(board, id, task, call, what).await;
            if let Some(act) = attempts.act(outcome) {
                return Some(act);
            }
        }
        None
    }

    async fn claim<C: SolCall>(
        &self,
        board: &Board,
        id: u64,
        task: &Task,
        call: C,
        what: String,
    ) -> Result<Option<Act>, NodeError> {
        let may = board.can_claim(id, &self.party.address());
        if !may || !self.wants(board, task).await? {
            return Ok(None);
        }
        confirm::task(&self.party, board, id).await?;
        self.party
            .act(board, board.contracts.market, call, what)
            .await
    }

    /// Whether the price is right and there is everything to work with: a claim asserts possession of the input.
    async fn wants(&self, board: &Board, task: &Task) -> Result<bool, NodeError> {
        if board.price_now(task) < self.policy.reserve
            || task.exec_seconds < self.policy.least_exec_seconds
            || !self.party.executor.has_room(&task.class)
        {
            return Ok(false);
        }
        let inputs = self.party.inputs_or_shown(board, task).await?;
        let executor = &self.party.executor;
        Ok(inputs.is_some_and(|inputs| executor.serves(&task.model, &inputs)))
    }

    async fn unjail(&self, board: &Board) -> Result<Option<Act>, NodeError> {
        let me = self.party.address();
        let free = board
            .providers
            .get(&me)
            .is_some_and(|p| p.jailed_until != 0 && board.now() >= p.jailed_until);
        if !free {
            return Ok(None);
        }
        let what = "leaves jail";
        let call = StakeVault::unjailCall {};
        self.party
            .act(board, board.contracts.vault, call, what)
            .await
    }
}

/// Stores and signs what a run gave, and commits it.
pub(super) async fn deliver(
    party: &Party,
    board: &Board,
    id: u64,
    run: &RunRecord,
) -> Result<Option<Act>, NodeError> {
    let output = run.trace.output_digest();
    // the outputs are there before anyone can ask for them
    let whole = match run.model.header().max_steps {
        1 => run.outputs.len(),
        _ => SHOWN_OUTPUTS,
    };
    let blobs = &party.blobs;
    blobs.put_outputs(&output, &run.outputs, whole).await?;
    if let Some(task) = board.task(id) {
        let receipt = sign_receipt(party, id, task, run, board.now()).await?;
        blobs.put_receipt(&receipt).await?;
    }
    let opening = run.trace.level1.output_opening()?;
    let call = Market::commitCall {
        taskId: U256::from(id),
        steps: run.trace.steps(),
        outputDigest: output.0.into(),
        level1Root: run.trace.level1.tree().root().0.into(),
        outputProof: words(&opening.siblings),
        stopProof: words(&stop_proof(run)?),
    };
    let what = format!("commits the result of task {id}");
    let last = board.task(id).map(|task| task.deadline);
    party
        .until(last)
        .act(board, board.contracts.market, call, what)
        .await
}

/// Opening of the stop flag, the first output, under the output digest (P-T6); nothing of a model of one step.
fn stop_proof(run: &RunRecord) -> Result<Vec<Digest>, TraceError> {
    let header = run.model.header();
    if header.max_steps == 1 {
        return Ok(Vec::new());
    }
    let digests: Vec<Digest> = run.outputs.iter().map(|t| digest(t)).collect();
    Ok(live_tree(header.live_height, &digests)?.open(0)?.siblings)
}

fn words(digests: &[Digest]) -> Vec<B256> {
    digests.iter().map(|d| d.0.into()).collect()
}

#[async_trait]
impl Role for Provider {
    fn name(&self) -> &str {
        &self.party.name
    }

    fn address(&self) -> Address {
        self.party.address()
    }

    async fn tick(&mut self, board: &Board) -> Result<Option<Act>, NodeError> {
        if board.is_tombstoned(&self.party.address()) {
            return Ok(None);
        }
        let mut attempts = Attempts::default();
        if self.policy.defends {
            let policy = Policy {
                appeal: self.policy.appeals,
                ..Policy::default()
            };
            let outcome = defend(&self.party, board, &policy).await;
            if let Some(act) = attempts.act(outcome) {
                return Ok(Some(act));
            }
        }
        if self.policy.delivers {
            for (id, _) in owed(board, &self.party.address()) {
                let outcome = self.deliver(board, id).await;
                if let Some(act) = attempts.act(outcome) {
                    return Ok(Some(act));
                }
            }
        }
        let outcome = self.unjail(board).await;
        if let Some(act) = attempts.act(outcome) {
            return Ok(Some(act));
        }
        let outcome = tend(&self.party, board).await;
        if let Some(act) = attempts.act(outcome) {
            return Ok(Some(act));
        }
        if self.draining.load(Ordering::Relaxed) {
            let outcome = super::leave(&self.party, board).await;
            return match attempts.act(outcome) {
                Some(act) => Ok(Some(act)),
                None => attempts.nothing(),
            };
        }
        // what it owes goes on; new business waits for a person
        if let Some(breaker) = self.party.protection.breaker()
            && breaker.look(board, &self.party.address()).await
        {
            return attempts.nothing();
        }
        match self.bid(board, &mut attempts).await {
            Some(act) => Ok(Some(act)),
            None => attempts.nothing(),
        }
    }
}

/// Tasks that a provider owes a result for and can still deliver, the nearest deadline first.
fn owed<'a>(board: &'a Board, provider: &Address) -> Vec<(u64, &'a Task)> {
    let mut owed: Vec<_> = board
        .tasks
        .iter()
        .map(|(id, entry)| (*id, &entry.task))
        .filter(|(_, task)| {
            task.state == TaskState::Claimed
                && task.provider == *provider
                && board.now() <= task.deadline
        })
        .collect();
    owed.sort_by_key(|(id, task)| (task.deadline, *id));
    owed
}

/// Open first attempts of these classes, the dearest first.
fn open<'a>(board: &'a Board, classes: &[Digest]) -> Vec<(u64, &'a Task)> {
    let mut open: Vec<_> = board
        .tasks
        .iter()
        .map(|(id, entry)| (*id, &entry.task))
        .filter(|(id, task)| {
            task.state == TaskState::Open
                && task.attempt == 0
                && classes.contains(&task.class)
                && board
                    .expires_at(*id)
                    .is_some_and(|last| board.now() <= last)
        })
        .collect();
    open.sort_by_key(|(id, task)| (std::cmp::Reverse(board.price_now(task)), *id));
    open
}

#[cfg(test)]
mod tests {
    use gavel_numerics::Tensor;
    use gavel_settlement::artifacts::runtime;

    use super::*;

    #[test]
    fn the_market_asks_for_the_flag_that_a_run_ends_with() {
        let stopped = digest(&Tensor::i64([1], vec![1]).unwrap());
        let code = runtime("Market").unwrap();
        assert!(code.windows(32).any(|word| word == stopped.0));
    }
}
