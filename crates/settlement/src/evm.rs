//! A contract alone in an EVM: what a call to it gives, and what it costs. No chain, no clock, nothing kept.

use alloy::primitives::{Address, Bytes, TxKind, address};
use revm::bytecode::Bytecode;
use revm::context::result::ExecutionResult;
use revm::context::{Context, TxEnv};
use revm::database::{CacheDB, EmptyDB};
use revm::primitives::hardfork::SpecId;
use revm::state::AccountInfo;
use revm::{ExecuteEvm as _, MainBuilder as _, MainContext as _};

use crate::artifacts::{ArtifactError, runtime};
use crate::chain::{CallOutcome, ChainError};

const CONTRACT: Address = address!("0x00000000000000000000000000000000000c0de0");
/// EIP-2028, EIP-7623: of every transaction, of a byte of calldata (zero, other), of such a byte at the least.
const TRANSACTION: u64 = 21_000;
const ZERO_BYTE: u64 = 4;
const BYTE: u64 = 16;
const FLOOR_ZERO_BYTE: u64 = 10;
const FLOOR_BYTE: u64 = 40;

/// One deployed contract. Calls do not change it.
#[derive(Debug)]
pub struct Evm {
    state: CacheDB<EmptyDB>,
}

impl Evm {
    /// The contract of this name, as if deployed without a constructor.
    ///
    /// # Errors
    /// As [`runtime`].
    pub fn with(name: &str) -> Result<Evm, ArtifactError> {
        Ok(Evm::new(runtime(name)?.clone()))
    }

    /// A contract with this code.
    pub fn new(code: Bytes) -> Evm {
        let code = Bytecode::new_legacy(code);
        let mut state = CacheDB::default();
        state.insert_account_info(CONTRACT, AccountInfo::from_bytecode(code));
        Evm { state }
    }

    /// Calls it. The gas that is limited and reported is that of execution alone.
    ///
    /// # Errors
    /// A gas limit that is too high to add the transaction's own to.
    pub fn call(&mut self, data: Bytes, gas: u64) -> Result<CallOutcome, ChainError> {
        let [intrinsic, floor] = calldata_gas(&data);
        let refused = |e: String| ChainError::Refused(e);
        let limit = gas
            .checked_add(intrinsic)
            .ok_or_else(|| refused(format!("{gas} gas")))?;
        let env = TxEnv::builder()
            .kind(TxKind::Call(CONTRACT))
            .data(data)
            .gas_limit(limit.max(floor))
            .gas_price(0)
            .build()
            .map_err(|e| refused(format!("{e:?}")))?;
        let done = Context::mainnet()
            .with_db(&mut self.state)
            .modify_cfg_chained(|cfg| {
                cfg.set_spec_and_mainnet_gas_params(SpecId::OSAKA);
                cfg.disable_base_fee = true;
                cfg.disable_nonce_check = true;
                // what one transaction may take is a matter of who calls
                cfg.tx_gas_limit_cap = Some(u64::MAX);
            })
            .modify_block_chained(|block| {
                block.gas_limit = u64::MAX;
                block.basefee = 0;
            })
            .build_mainnet()
            .transact(env)
            .map_err(|e| refused(e.to_string()))?;
        Ok(match done.result {
            ExecutionResult::Success { gas, output, .. } => CallOutcome::Returned {
                output: output.into_data(),
                gas_used: gas.total_gas_spent().saturating_sub(intrinsic),
            },
            ExecutionResult::Revert { output, .. } => CallOutcome::Reverted(output),
            ExecutionResult::Halt { reason, .. } => CallOutcome::Halted(format!("{reason:?}")),
        })
    }
}

/// What a transaction pays before execution, and the least that it pays in all (EIP-7623).
fn calldata_gas(data: &[u8]) -> [u64; 2] {
    let zeros = data.iter().filter(|&&byte| byte == 0).count() as u64;
    let others = data.len() as u64 - zeros;
    [(ZERO_BYTE, BYTE), (FLOOR_ZERO_BYTE, FLOOR_BYTE)]
        .map(|(zero, other)| TRANSACTION + zeros * zero + others * other)
}

/// What a transaction with this calldata pays whose execution takes `execution` gas.
pub fn transaction_gas(data: &[u8], execution: u64) -> u64 {
    let [intrinsic, floor] = calldata_gas(data);
    (intrinsic + execution).max(floor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_costs_what_its_instructions_do() {
        // PUSH1 7 PUSH0 MSTORE PUSH1 32 PUSH0 RETURN: 3 + 2 + 3 + 3 + 2 + 0, and a word of memory
        let mut evm = Evm::new(Bytes::from_static(&[
            0x60, 7, 0x5f, 0x52, 0x60, 32, 0x5f, 0xf3,
        ]));
        for data in [vec![], vec![0; 100], vec![1; 100]] {
            let found = evm.call(data.into(), 16).unwrap();
            let CallOutcome::Returned { output, gas_used } = found else {
                panic!("{found:?}")
            };
            assert_eq!((output.len(), output[31], gas_used), (32, 7, 16));
        }
    }

    #[test]
    fn calldata_has_a_least_price() {
        assert_eq!(transaction_gas(&[0, 1], 5), 21_050);
        assert_eq!(transaction_gas(&[0, 1], 1000), 22_020);
    }
}
