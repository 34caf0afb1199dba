//! One transaction through revm.

use alloy::consensus::transaction::{Recovered, SignerRecoverable as _};
use alloy::consensus::{Transaction as _, TxEnvelope};
use alloy::eips::eip2718::Decodable2718 as _;
use alloy::primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use revm::bytecode::Bytecode;
use revm::context::result::{EVMError, ExecutionResult, InvalidTransaction};
use revm::context::{Context, TxEnv};
use revm::database_interface::{DBErrorMarker, DatabaseRef, WrapDatabaseRef};
use revm::primitives::AddressMap;
use revm::primitives::hardfork::SpecId;
use revm::state::{Account, AccountInfo};
use revm::{ExecuteEvm as _, MainBuilder as _, MainContext as _};

use super::Chain;
use super::history::History;
use super::types::{Block, CallOutcome, CallRequest, ChainError, LogEntry, Receipt};
use super::world::{Changes, World};

/// Rules of the chain: the transaction gas cap and the calldata floor of a current L1 apply.
const SPEC: SpecId = SpecId::OSAKA;
/// EIP-7825.
pub(super) const TRANSACTION_GAS_CAP: u64 = 1 << 24;
const BLOCK_GAS: u64 = 60_000_000;

/// A transaction's block and receipt, and what is to become of the state.
pub(super) struct Executed {
    pub(super) block: Block,
    pub(super) receipt: Receipt,
    pub(super) changes: Changes,
}

/// Where and when a transaction runs.
struct Place {
    chain_id: u64,
    number: u64,
    time: u64,
    randomness: B256,
}

/// A transaction whose signer is known, which takes a while to find, and no chain.
#[derive(Debug)]
pub struct Signed {
    pub(super) raw: Bytes,
    pub(super) transaction: Recovered<TxEnvelope>,
}

impl Signed {
    /// Decodes a signed transaction of a kind that the chain takes.
    ///
    /// # Errors
    /// Undecodable, of another kind, or wrongly signed.
    pub fn decode(raw: Bytes) -> Result<Signed, ChainError> {
        let envelope =
            TxEnvelope::decode_2718_exact(&raw).map_err(|e| ChainError::Decode(e.to_string()))?;
        if envelope.is_eip4844() || envelope.is_eip7702() {
            // their side effects (blobs, delegated code) would be dropped silently
            return Err(ChainError::Refused(format!(
                "transactions of type {:?} are not supported",
                envelope.tx_type()
            )));
        }
        let transaction = envelope
            .try_into_recovered()
            .map_err(|e| ChainError::Signature(e.to_string()))?;
        Ok(Signed { raw, transaction })
    }
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

    /// Executes a transaction; nothing of it is applied.
    pub(super) fn execute_transaction(
        &self,
        raw: &Bytes,
        transaction: &Recovered<TxEnvelope>,
        time: u64,
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
        let (result, touched) = run(self.view(), env, &place, false)?;
        let changes = self.world.changes(touched)?;
        let (block, receipt) = self.receipt(raw, from, transaction.to(), result, time);
        Ok(Executed {
            block,
            receipt,
            changes,
        })
    }

    fn view(&self) -> View<'_> {
        View {
            world: &self.world,
            history: &self.history,
        }
    }

    fn receipt(
        &self,
        raw: &Bytes,
        from: Address,
        to: Option<Address>,
        result: ExecutionResult,
        time: u64,
    ) -> (Block, Receipt) {
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
            .map(|(index, log)| LogEntry::of(&block, transaction_hash, index as u64, log))
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
        (block, receipt)
    }

    /// Runs a call on the newest state and forgets what it did.
    ///
    /// # Errors
    /// A request that is no call (gas above the cap, say).
    pub fn call(&self, request: &CallRequest) -> Result<CallOutcome, ChainError> {
        let env = TxEnv::builder()
            .caller(request.from)
            .nonce(self.nonce(request.from)?)
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
        run(self.view(), env, &place, true).map(|(result, _)| outcome(result))
    }
}

/// The newest state, as the EVM reads it.
struct View<'a> {
    world: &'a World,
    history: &'a History,
}

impl DBErrorMarker for ChainError {}

impl DatabaseRef for View<'_> {
    type Error = ChainError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, ChainError> {
        let holding = self.world.account(&address)?;
        Ok(holding.map(|holding| AccountInfo {
            balance: holding.balance,
            nonce: holding.nonce,
            code_hash: holding.code_hash,
            code: None,
            ..AccountInfo::default()
        }))
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, ChainError> {
        Ok(self.world.code(&hash).cloned().unwrap_or_default())
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, ChainError> {
        Ok(self.world.slot(&(address, slot))?)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, ChainError> {
        Ok(self
            .history
            .block(number)?
            .map(|block| block.hash)
            .unwrap_or_default())
    }
}

fn run(
    view: View<'_>,
    env: TxEnv,
    place: &Place,
    is_call: bool,
) -> Result<(ExecutionResult, AddressMap<Account>), ChainError> {
    let mut evm = Context::mainnet()
        .with_db(WrapDatabaseRef(view))
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
        EVMError::Database(error) => error,
        other => ChainError::Refused(other.to_string()),
    })?;
    Ok((done.result, done.state))
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
