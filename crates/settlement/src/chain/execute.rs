//! One transaction through revm.

use alloy::consensus::transaction::{Recovered, SignerRecoverable as _};
use alloy::consensus::{Transaction as _, TxEnvelope};
use alloy::eips::eip2718::Decodable2718 as _;
use alloy::primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use revm::context::result::{EVMError, ExecutionResult, InvalidTransaction};
use revm::context::{Context, TxEnv};
use revm::primitives::hardfork::SpecId;
use revm::{ExecuteCommitEvm as _, ExecuteEvm as _, MainBuilder as _, MainContext as _};

use super::types::{Block, CallOutcome, CallRequest, ChainError, LogEntry, Receipt};
use super::{Chain, State};

/// Rules of the chain: the transaction gas cap and the calldata floor of a current L1 apply.
const SPEC: SpecId = SpecId::OSAKA;
/// EIP-7825.
pub(super) const TRANSACTION_GAS_CAP: u64 = 1 << 24;
const BLOCK_GAS: u64 = 60_000_000;

/// A transaction's block and receipt, already applied to the state.
pub(super) struct Executed {
    pub(super) block: Block,
    pub(super) receipt: Receipt,
}

/// Where and when a transaction runs.
struct Place {
    chain_id: u64,
    number: u64,
    time: u64,
    randomness: B256,
}

impl Chain {
    fn place(&self, time: u64) -> Place {
        let head = self.head();
        Place {
            chain_id: self.genesis.chain_id,
            number: head.number + 1,
            time,
            randomness: head.randomness(),
        }
    }

    /// Decodes a signed transaction of a kind this chain takes.
    pub(super) fn decode(&self, raw: &[u8]) -> Result<Recovered<TxEnvelope>, ChainError> {
        let envelope =
            TxEnvelope::decode_2718_exact(raw).map_err(|e| ChainError::Decode(e.to_string()))?;
        if envelope.is_eip4844() || envelope.is_eip7702() {
            // their side effects (blobs, delegated code) would be dropped silently
            return Err(ChainError::Refused(format!(
                "transactions of type {:?} are not supported",
                envelope.tx_type()
            )));
        }
        envelope
            .try_into_recovered()
            .map_err(|e| ChainError::Signature(e.to_string()))
    }

    /// Executes a transaction and applies it unless `keep` says otherwise; the block is not yet appended.
    pub(super) fn execute_transaction(
        &mut self,
        raw: &Bytes,
        transaction: &Recovered<TxEnvelope>,
        time: u64,
        keep: Keep,
    ) -> Result<Executed, ChainError> {
        if transaction
            .chain_id()
            .is_none_or(|id| id != self.genesis.chain_id)
        {
            return Err(ChainError::Refused(format!(
                "it is for chain {:?}, this is {}",
                transaction.chain_id(),
                self.genesis.chain_id
            )));
        }
        let from = transaction.signer();
        let env = TxEnv::builder()
            .caller(from)
            .nonce(transaction.nonce())
            .kind(transaction.kind())
            .data(transaction.input().clone())
            .value(transaction.value())
            .gas_limit(transaction.gas_limit())
            .access_list(transaction.access_list().cloned().unwrap_or_default())
            // gas is metered and free
            .gas_price(0)
            .chain_id(transaction.chain_id())
            .build()
            .map_err(|e| ChainError::Refused(format!("{e:?}")))?;
        let place = self.place(time);
        let result = run(&mut self.state, env, &place, keep)?;
        Ok(self.receipt(raw, from, transaction.to(), result, time))
    }

    fn receipt(
        &self,
        raw: &Bytes,
        from: Address,
        to: Option<Address>,
        result: ExecutionResult,
        time: u64,
    ) -> Executed {
        let transaction_hash = keccak256(raw);
        let (success, gas_used, created) = (
            result.is_success(),
            result.tx_gas_used(),
            result.created_address(),
        );
        let output = result.output().cloned().unwrap_or_default();
        let halted = match &result {
            ExecutionResult::Halt { reason, .. } => Some(format!("{reason:?}")),
            _ => None,
        };
        let logs = if success {
            result.into_logs()
        } else {
            Vec::new()
        };
        let mut effects = transaction_hash.to_vec();
        effects.push(success.into());
        effects.extend_from_slice(&output);
        for log in &logs {
            effects.extend_from_slice(log.address.as_slice());
            log.topics()
                .iter()
                .for_each(|t| effects.extend_from_slice(t.as_slice()));
            effects.extend_from_slice(&log.data.data);
        }
        let mut block = Block::after(self.head(), time, keccak256(effects), gas_used);
        block.transaction = Some(transaction_hash);
        let logs = logs
            .into_iter()
            .enumerate()
            .map(|(index, log)| LogEntry {
                log,
                block_number: block.number,
                block_hash: block.hash,
                transaction_hash,
                index: index as u64,
            })
            .collect();
        let receipt = Receipt {
            transaction_hash,
            raw: raw.clone(),
            block_number: block.number,
            block_hash: block.hash,
            from,
            to,
            created,
            success,
            gas_used,
            output,
            halted,
            logs,
        };
        Executed { block, receipt }
    }

    /// Runs a call on the newest state and forgets what it did.
    ///
    /// # Errors
    /// A request that is no call (gas above the cap, say).
    pub fn call(&mut self, request: &CallRequest) -> Result<CallOutcome, ChainError> {
        let env = TxEnv::builder()
            .caller(request.from)
            .nonce(self.nonce(request.from))
            .kind(request.to.map_or(TxKind::Create, TxKind::Call))
            .data(request.data.clone())
            .value(request.value)
            .gas_limit(
                request
                    .gas
                    .unwrap_or(TRANSACTION_GAS_CAP)
                    .min(TRANSACTION_GAS_CAP),
            )
            .gas_price(0)
            .chain_id(Some(self.genesis.chain_id))
            .build()
            .map_err(|e| ChainError::Refused(format!("{e:?}")))?;
        // a pending block: time-dependent views see the clock
        let place = self.place(self.next_time());
        run(&mut self.state, env, &place, Keep::Nothing).map(outcome)
    }
}

/// What of an execution is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Nothing: a call.
    Nothing,
    /// What it did, if it succeeded.
    Success,
    /// Whatever it did.
    Everything,
}

fn run(
    state: &mut State,
    env: TxEnv,
    place: &Place,
    keep: Keep,
) -> Result<ExecutionResult, ChainError> {
    let is_call = keep == Keep::Nothing;
    let mut evm = Context::mainnet()
        .with_db(state)
        .modify_cfg_chained(|cfg| {
            cfg.chain_id = place.chain_id;
            cfg.set_spec_and_mainnet_gas_params(SPEC);
            cfg.disable_base_fee = true;
            cfg.disable_balance_check = is_call;
            cfg.disable_nonce_check = is_call;
        })
        .modify_block_chained(|block| {
            block.number = U256::from(place.number);
            block.timestamp = U256::from(place.time);
            block.prevrandao = Some(place.randomness);
            block.gas_limit = BLOCK_GAS;
            block.basefee = 0;
        })
        .build_mainnet();
    let done = evm.transact(env).map_err(|e| match e {
        EVMError::Transaction(InvalidTransaction::NonceTooLow { tx, state }) => ChainError::Nonce {
            sent: tx,
            next: state,
        },
        EVMError::Transaction(InvalidTransaction::NonceTooHigh { tx, state }) => {
            ChainError::Nonce {
                sent: tx,
                next: state,
            }
        }
        other => ChainError::Refused(other.to_string()),
    })?;
    if keep == Keep::Everything || (keep == Keep::Success && done.result.is_success()) {
        evm.commit(done.state);
    }
    Ok(done.result)
}

/// How a call or transaction ended.
pub(super) fn outcome(result: ExecutionResult) -> CallOutcome {
    match result {
        ExecutionResult::Success { gas, output, .. } => CallOutcome::Returned {
            output: output.into_data(),
            gas_used: gas.total_gas_spent(),
        },
        ExecutionResult::Revert { output, .. } => CallOutcome::Reverted(output),
        ExecutionResult::Halt { reason, .. } => CallOutcome::Halted(format!("{reason:?}")),
    }
}
