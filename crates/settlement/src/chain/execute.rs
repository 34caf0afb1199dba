//! One transaction through revm.

use alloy::consensus::transaction::SignerRecoverable as _;
use alloy::consensus::{Transaction as _, TxEnvelope};
use alloy::eips::eip2718::Decodable2718 as _;
use alloy::primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use revm::context::result::ExecutionResult;
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

    /// Executes and applies a transaction; the block is not yet appended.
    pub(super) fn execute_transaction(
        &mut self,
        raw: &[u8],
        time: u64,
    ) -> Result<Executed, ChainError> {
        let envelope =
            TxEnvelope::decode_2718_exact(raw).map_err(|e| ChainError::Decode(e.to_string()))?;
        let from = envelope
            .recover_signer()
            .map_err(|e| ChainError::Signature(e.to_string()))?;
        let env = TxEnv::builder()
            .caller(from)
            .nonce(envelope.nonce())
            .kind(envelope.kind())
            .data(envelope.input().clone())
            .value(envelope.value())
            .gas_limit(envelope.gas_limit())
            // gas is metered and free
            .gas_price(0)
            .chain_id(envelope.chain_id())
            .build()
            .map_err(|e| ChainError::Refused(format!("{e:?}")))?;
        if envelope
            .chain_id()
            .is_none_or(|id| id != self.genesis.chain_id)
        {
            return Err(ChainError::Refused(format!(
                "it is for chain {:?}, this is {}",
                envelope.chain_id(),
                self.genesis.chain_id
            )));
        }
        let place = self.place(time);
        let result = run(&mut self.state, env, &place, true)?;
        Ok(self.receipt(raw, from, envelope.to(), result, time))
    }

    fn receipt(
        &self,
        raw: &[u8],
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
            raw: Bytes::copy_from_slice(raw),
            block_number: block.number,
            block_hash: block.hash,
            from,
            to,
            created,
            success,
            gas_used,
            output,
            logs,
        };
        Executed { block, receipt }
    }

    /// Runs a call on the state as it is and forgets what it did.
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
        let place = self.place(self.now.max(self.head().time + 1));
        Ok(match run(&mut self.state, env, &place, false)? {
            ExecutionResult::Success { gas, output, .. } => CallOutcome::Returned {
                output: output.into_data(),
                gas_used: gas.total_gas_spent(),
            },
            ExecutionResult::Revert { output, .. } => CallOutcome::Reverted(output),
            ExecutionResult::Halt { reason, .. } => CallOutcome::Halted(format!("{reason:?}")),
        })
    }
}

fn run(
    state: &mut State,
    env: TxEnv,
    place: &Place,
    commit: bool,
) -> Result<ExecutionResult, ChainError> {
    let mut evm = Context::mainnet()
        .with_db(state)
        .modify_cfg_chained(|cfg| {
            cfg.chain_id = place.chain_id;
            cfg.set_spec_and_mainnet_gas_params(SPEC);
            cfg.disable_base_fee = true;
            cfg.disable_balance_check = !commit;
            cfg.disable_nonce_check = !commit;
        })
        .modify_block_chained(|block| {
            block.number = U256::from(place.number);
            block.timestamp = U256::from(place.time);
            block.prevrandao = Some(place.randomness);
            block.gas_limit = BLOCK_GAS;
            block.basefee = 0;
        })
        .build_mainnet();
    let refused = |e: String| ChainError::Refused(e);
    if commit {
        evm.transact_commit(env).map_err(|e| refused(e.to_string()))
    } else {
        evm.transact(env)
            .map(|r| r.result)
            .map_err(|e| refused(e.to_string()))
    }
}
