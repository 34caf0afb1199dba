//! What a role acts with.

use std::sync::Arc;

use gavel_numerics::Tensor;
use gavel_settlement::alloy::primitives::keccak256;
use gavel_settlement::alloy::signers::SignerSync as _;
use gavel_settlement::alloy::sol_types::SolCall;
use gavel_settlement::{Account, Deployment, SendError, TxReceipt};

use crate::availability::recover;
use crate::board::Task;
use crate::protection::Protection;
use crate::{
    Act, Address, B256, Blobs, Board, Executor, NodeError, RunKey, RunRecord, input_digest,
};

/// A name, a key on a network, something to compute with, and a place for blobs. Clones are the same party.
#[derive(Clone)]
pub struct Party {
    /// Name for timelines.
    pub name: String,
    /// Key and network.
    pub account: Account,
    /// What it computes with.
    pub executor: Arc<dyn Executor>,
    /// Inputs, outputs and shown segments.
    pub blobs: Blobs,
    /// What it has said, so that it never says anything else.
    pub protection: Arc<Protection>,
}

impl Party {
    /// Its account's address.
    pub fn address(&self) -> Address {
        self.account.address()
    }

    /// The contracts.
    pub fn contracts(&self) -> &Deployment {
        self.account.network().deployment()
    }

    /// The same party, for calls that are of no use after this second: near it more is paid for a block.
    pub fn until(&self, deadline: Option<u64>) -> Party {
        Party {
            account: self.account.until(deadline),
            ..self.clone()
        }
    }

    /// Sends a call that was decided on this board. `None` when the contracts refuse it: somebody acted first, or the board
    /// is a block old.
    ///
    /// # Errors
    /// As [`Party::send`], but for a refusal of the contracts.
    pub async fn act<C: SolCall>(
        &self,
        board: &Board,
        to: Address,
        call: C,
        what: impl Into<String>,
    ) -> Result<Option<Act>, NodeError> {
        match self.send(board, to, call).await {
            Ok(TxReceipt { hash, gas_used, .. }) => Ok(Some(Act {
                what: what.into(),
                transaction: hash,
                gas: gas_used,
            })),
            Err(NodeError::Send(SendError::Reverted { .. })) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Sends a call that was decided on this board, once what it says is in the protection database.
    ///
    /// # Errors
    /// It contradicts what this key has said: nothing was sent. The chain cannot be reached, or the transaction's fate is
    /// not known; the same call may be sent again.
    pub async fn send<C: SolCall>(
        &self,
        board: &Board,
        to: Address,
        call: C,
    ) -> Result<TxReceipt, NodeError> {
        let (contracts, me) = (self.contracts(), self.address());
        self.protection
            .admit_call(board, contracts, me, to, &call.abi_encode())
            .await?;
        Ok(self.account.send(to, call).await?)
    }

    /// A word that only this key can compute, and computes again after a restart: the salt of a commitment.
    ///
    /// # Errors
    /// The key does not sign.
    pub fn secret(&self, purpose: &str, task: u64, attempt: u8) -> Result<B256, NodeError> {
        let mut message = b"gavel secret".to_vec();
        message.extend(self.contracts().chain_id.to_be_bytes());
        message.extend(self.contracts().court.as_slice());
        message.extend(task.to_be_bytes());
        message.push(attempt);
        message.extend(purpose.as_bytes());
        // ECDSA signatures of this library are deterministic (RFC 6979)
        let signature = self
            .account
            .signer()
            .sign_message_sync(&message)
            .map_err(|e| NodeError::Sign(e.to_string()))?;
        Ok(keccak256(signature.as_bytes()))
    }

    /// The inputs of a task. `None` where the model or the inputs cannot be had, or are not what the task's
    /// digest binds, or do not fit the model: whoever claims such a task cannot serve it.
    ///
    /// # Errors
    /// The blob store fails.
    pub async fn inputs_of(&self, task: &Task) -> Result<Option<Vec<Tensor>>, NodeError> {
        let Some(model) = self.executor.model(&task.model) else {
            return Ok(None);
        };
        let inputs = match self.blobs.kept(&task.input_digest) {
            Some(kept) => Some(kept),
            None => match self.blobs.inputs(&task.input_digest, &model).await {
                // a stranger stored it: what is unreadable is as good as absent
                Err(NodeError::Blob { .. }) => return Ok(None),
                other => other?,
            },
        };
        let fits = |inputs: &Vec<Tensor>| {
            let wanted = model.graph().inputs.iter().map(|(_, ty)| ty);
            inputs.iter().map(Tensor::ty).eq(wanted)
                && input_digest(&model, inputs).is_ok_and(|found| found == task.input_digest)
        };
        let inputs = inputs.filter(fits);
        if let Some(inputs) = &inputs {
            self.blobs.keep(&task.input_digest, inputs);
        }
        Ok(inputs)
    }

    /// [`Party::inputs_of`], and where there are none what was shown of them on chain.
    ///
    /// # Errors
    /// The blob store fails.
    pub async fn inputs_or_shown(
        &self,
        board: &Board,
        task: &Task,
    ) -> Result<Option<Vec<Tensor>>, NodeError> {
        match self.inputs_of(task).await? {
            Some(inputs) => Ok(Some(inputs)),
            None => recover(self, board, task).await,
        }
    }

    /// Fetches the inputs of all live tasks whose models it has, while they can be had: a task that was claimed may
    /// lose its input, and then only those who kept it can say that its result is wrong.
    ///
    /// # Errors
    /// The blob store fails.
    pub async fn keep_inputs(&self, board: &Board) -> Result<(), NodeError> {
        for task in board.tasks.values().map(|entry| &entry.task) {
            if !task.state.is_final() && self.blobs.kept(&task.input_digest).is_none() {
                self.inputs_or_shown(board, task).await?;
            }
        }
        Ok(())
    }

    /// [`Party::run_of`] for whoever has to have the run.
    ///
    /// # Errors
    /// As [`Party::run_of`]; [`NodeError::InputUnavailable`] where it has the model and cannot have the inputs.
    pub(crate) async fn needed_run_of(
        &self,
        board: &Board,
        task: u64,
    ) -> Result<Option<Arc<RunRecord>>, NodeError> {
        let run = self.run_of(board, task).await?;
        let has_model = board
            .task(task)
            .is_some_and(|t| self.executor.model(&t.model).is_some());
        match run {
            None if has_model => Err(NodeError::InputUnavailable { task }),
            run => Ok(run),
        }
    }

    /// This party's own run of a task, gone on with to the committed number of steps where that is larger. `None` where the inputs cannot be had.
    ///
    /// # Errors
    /// The blob store fails, or the model cannot be run.
    pub async fn run_of(
        &self,
        board: &Board,
        task: u64,
    ) -> Result<Option<Arc<RunRecord>>, NodeError> {
        let Some(task) = board.task(task) else {
            return Ok(None);
        };
        let key = RunKey {
            model_id: task.model,
            input_digest: task.input_digest,
        };
        let run = match self.executor.known_run(&key) {
            Some(run) => run,
            None => match self.inputs_or_shown(board, task).await? {
                Some(inputs) => (self.executor).run_in(&task.class, &task.model, &inputs)?,
                None => return Ok(None),
            },
        };
        Ok(Some(self.executor.extended(run, task.steps)?))
    }
}
