//! Known-answer tasks: a requester and a provider who want to know whether auditors are awake.

use std::sync::Arc;

use async_trait::async_trait;
use gavel_engine::Trace;
use gavel_settlement::alloy::primitives::{U256, keccak256};
use gavel_settlement::alloy::sol_types::SolValue as _;
use gavel_settlement::bindings::{ICourt, ITraps, Market};
use gavel_trace::{Digest, Level1, trap_leaf};

use crate::board::{AuditState, Task, TaskState, confirm};
use crate::{Act, Address, B256, Board, NodeError, Party, Role, RunRecord};

use super::provider::deliver;

/// Where a trap stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Waits for its provider's claim, its seal or its result.
    Setting,
    /// The result is there; auditors and watchers have their chance.
    Set,
    /// Shown; finders have their time.
    Shown,
    /// Somebody else served the task: there is no trap.
    Missed,
    /// Over: jackpot shared out or back, task settled or taken back.
    Over,
}

/// Sets one trap with three keys, and sees it through: claims with the provider's, deposits the jackpot with the sealer's,
/// commits a run with one leaf that is none, shows that once somebody has found it or nobody can any more, ends the
/// dispute, and takes the task back. Salt and nonce are the requester's secrets of the task, so that it keeps nothing.
pub struct Trapper {
    requester: Party,
    provider: Party,
    sealer: Party,
    task: u64,
    jackpot: u128,
}

impl Trapper {
    /// A trap on this task, which the requester has posted.
    pub fn new(
        requester: Party,
        provider: Party,
        sealer: Party,
        task: u64,
        jackpot: u128,
    ) -> Trapper {
        Trapper {
            requester,
            provider,
            sealer,
            task,
            jackpot,
        }
    }

    /// Where it stands.
    ///
    /// # Errors
    /// The key does not sign.
    pub fn stage(&self, board: &Board) -> Result<Stage, NodeError> {
        let Some(task) = board.task(self.task) else {
            return Ok(Stage::Setting);
        };
        if let Some(trap) = board.traps.get(&(self.task, 0)) {
            let over = trap.share.is_some() && task.state.is_final();
            return Ok(if over { Stage::Over } else { Stage::Shown });
        }
        let open = self.seal(board)?.is_some_and(|seal| !seal.used);
        Ok(match task.state {
            _ if task.attempt != 0 || self.is_anothers(task) => match open {
                true => Stage::Missed,
                false => Stage::Over,
            },
            TaskState::Open | TaskState::Claimed => Stage::Setting,
            TaskState::Committed | TaskState::Disputed => Stage::Set,
            // who let it pass answers for that also when it has settled
            TaskState::Settled if open && self.was_passed(board) => Stage::Set,
            TaskState::Settled | TaskState::Cancelled | TaskState::Expired => match open {
                true => Stage::Missed,
                false => Stage::Over,
            },
        })
    }

    fn was_passed(&self, board: &Board) -> bool {
        let audit = board.audits.get(&(self.task, 0));
        audit.is_some_and(|entry| entry.audit.state == AuditState::Matched)
    }

    fn is_anothers(&self, task: &Task) -> bool {
        !task.provider.is_zero() && task.provider != self.provider.address()
    }

    fn salt(&self) -> Result<B256, NodeError> {
        self.requester.secret("trap salt", self.task, 0)
    }

    fn nonce(&self) -> Result<B256, NodeError> {
        self.requester.secret("trap nonce", self.task, 0)
    }

    /// P-K2: `keccak256(abi.encode("Gavel trap", chainid, traps, sealer, requester, provider, leaf, nonce))`.
    fn commitment(&self, board: &Board) -> Result<B256, NodeError> {
        let mut title = B256::ZERO;
        title.0[..10].copy_from_slice(b"Gavel trap");
        let bound = (
            title,
            U256::from(board.chain_id),
            board.contracts.traps,
            self.sealer.address(),
            self.requester.address(),
            self.provider.address(),
            B256::from(trap_leaf(&self.salt()?.0).0),
            self.nonce()?,
        );
        Ok(keccak256(bound.abi_encode()))
    }

    fn seal(&self, board: &Board) -> Result<Option<crate::board::SealEntry>, NodeError> {
        let key = (self.sealer.address(), self.commitment(board)?);
        Ok(board.seals.get(&key).copied())
    }

    /// The run of the task with the trap in it, and the leaf where that is: what its provider commits.
    ///
    /// # Errors
    /// The blob store fails, or the model cannot be run.
    pub async fn run(&self, board: &Board) -> Result<Option<(Arc<RunRecord>, u64)>, NodeError> {
        let Some(run) = self.provider.run_of(board, self.task).await? else {
            return Ok(None);
        };
        let salt = self.salt()?;
        let mut leaves = run.trace.leaves().to_vec();
        // any leaf but the last, which is the output
        let count = (leaves.len() as u64).saturating_sub(1).max(1);
        let (first, _) = salt.0.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
        let index = u64::from_be_bytes(*first) % count;
        if let Some(leaf) = leaves.get_mut(index as usize) {
            *leaf = trap_leaf(&salt.0);
        }
        let trap = RunRecord {
            trace: Trace {
                level1: Level1::of_model(run.model.header(), leaves)?,
                input_digest: run.trace.input_digest,
            },
            ..(*run).clone()
        };
        Ok(Some((Arc::new(trap), index)))
    }

    async fn claim(&self, board: &Board) -> Result<Option<Act>, NodeError> {
        if !board.can_claim(self.task, &self.provider.address()) {
            return Ok(None);
        }
        confirm::task(&self.provider, board, self.task).await?;
        let call = Market::claimCall {
            taskId: U256::from(self.task),
        };
        let what = format!("claims task {} to set a trap", self.task);
        let to = board.contracts.market;
        self.provider.act(board, to, call, what).await
    }

    /// The seal first, the result in a later second.
    async fn set(&self, board: &Board) -> Result<Option<Act>, NodeError> {
        let commitment = self.commitment(board)?;
        let (to, sealer) = (board.contracts.traps, &self.sealer);
        let Some(seal) = self.seal(board)? else {
            let call = ITraps::sealCall {
                commitment,
                jackpot: self.jackpot,
            };
            return sealer.act(board, to, call, "seals a deposit").await;
        };
        let traps = sealer.account.network().traps();
        let sealed = traps.sealOf(sealer.address(), commitment).call().await;
        let sealed = sealed.map_err(|e| NodeError::Read {
            what: "the seal".to_owned(),
            reason: e.to_string(),
        })?;
        if seal.used || sealed.sealedAt == 0 || board.now() <= sealed.sealedAt {
            return Ok(None);
        }
        match self.run(board).await? {
            Some((run, _)) => deliver(&self.provider, board, self.task, &run).await,
            None => Ok(None),
        }
    }

    /// P-K3: as soon as somebody has found it, or nobody can any more, settled or not.
    async fn show(&self, board: &Board, task: &Task) -> Result<Option<Act>, NodeError> {
        let missed = task.audit_closed
            && board
                .challenge_deadline(self.task)
                .is_some_and(|last| board.now() > last);
        if task.state == TaskState::Committed && !missed {
            return Ok(None);
        }
        let Some((run, leaf_index)) = self.run(board).await? else {
            return Ok(None);
        };
        let proof = run.trace.level1.tree().open(leaf_index)?;
        let call = ITraps::revealCall {
            taskId: U256::from(self.task),
            opening: ITraps::TrapOpening {
                sealer: self.sealer.address(),
                salt: self.salt()?,
                nonce: self.nonce()?,
                leafIndex: leaf_index,
                proof: proof.siblings.iter().map(word).collect(),
            },
        };
        let what = format!("shows that the result of task {} is a trap", self.task);
        let to = board.contracts.traps;
        self.requester.act(board, to, call, what).await
    }

    async fn end_disputes(&self, board: &Board) -> Result<Option<Act>, NodeError> {
        for (id, entry) in board.open_disputes() {
            let dispute = &entry.dispute;
            if dispute.task != self.task || !board.is_moot(dispute) {
                continue;
            }
            let call = ICourt::closeMootCall {
                disputeId: U256::from(id),
            };
            let what = format!("ends dispute {id}, which is about a trap");
            let to = board.contracts.court;
            if let Some(act) = self.requester.act(board, to, call, what).await? {
                return Ok(Some(act));
            }
        }
        Ok(None)
    }

    /// What is the requester's and the sealer's goes back to them.
    async fn wind_up(&self, board: &Board, task: &Task) -> Result<Option<Act>, NodeError> {
        let (task_id, at) = (U256::from(self.task), board.contracts);
        if task.state == TaskState::Open {
            let call = Market::cancelCall { taskId: task_id };
            let what = format!("takes task {} back", self.task);
            let act = self.requester.act(board, at.market, call, what).await?;
            if act.is_some() {
                return Ok(act);
            }
        }
        if board.can_settle(self.task) {
            let call = Market::settleCall { taskId: task_id };
            let what = format!("settles task {}", self.task);
            let act = self.requester.act(board, at.market, call, what).await?;
            if act.is_some() {
                return Ok(act);
            }
        }
        if let Some(trap) = board.traps.get(&(self.task, 0)) {
            if trap.share.is_some() || board.now() <= trap.claims_until {
                return Ok(None);
            }
            let call = ITraps::closeCall {
                taskId: task_id,
                attempt: 0,
            };
            let what = format!("has the jackpot of task {} shared out", self.task);
            return self.sealer.act(board, at.traps, call, what).await;
        }
        if self.seal(board)?.is_none_or(|seal| seal.used) {
            return Ok(None);
        }
        let call = ITraps::unsealCall {
            commitment: self.commitment(board)?,
        };
        self.sealer
            .act(board, at.traps, call, "takes its deposit back")
            .await
    }
}

fn word(digest: &Digest) -> B256 {
    B256::from(digest.0)
}

#[async_trait]
impl Role for Trapper {
    fn name(&self) -> &str {
        &self.requester.name
    }

    fn address(&self) -> Address {
        self.requester.address()
    }

    async fn tick(&mut self, board: &Board) -> Result<Option<Act>, NodeError> {
        let Some(task) = board.task(self.task) else {
            return Ok(None);
        };
        match self.stage(board)? {
            Stage::Setting if task.state == TaskState::Open => self.claim(board).await,
            Stage::Setting => self.set(board).await,
            Stage::Set => self.show(board, task).await,
            Stage::Shown => match self.end_disputes(board).await? {
                Some(act) => Ok(Some(act)),
                None => self.wind_up(board, task).await,
            },
            Stage::Missed => self.wind_up(board, task).await,
            Stage::Over => Ok(None),
        }
    }
}
