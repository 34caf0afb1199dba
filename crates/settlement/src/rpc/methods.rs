//! The methods.

use alloy::primitives::{B256, Bytes, U256};
use serde_json::{Value, json};

use super::params::Params;
use super::render::{self, hex};
use super::{RpcError, Told};
use crate::chain::{CallOutcome, Chain};

const CLIENT: &str = concat!("gavel/", env!("CARGO_PKG_VERSION"));

fn call(chain: &mut Chain, method: &str, params: &Value) -> Result<Value, RpcError> {
    if !(params.is_array() || params.is_null()) {
        return Err(RpcError::params("parameters are a list"));
    }
    let params = Params(params);
    match method {
        "web3_clientVersion" => Ok(json!(CLIENT)),
        "net_version" => Ok(json!(chain.chain_id().to_string())),
        "eth_chainId" => Ok(hex(chain.chain_id())),
        "eth_blockNumber" => Ok(hex(chain.head().number)),
        "eth_syncing" => Ok(json!(false)),
        "eth_accounts" => Ok(json!([])),
        "eth_gasPrice" | "eth_maxPriorityFeePerGas" => Ok(json!("0x0")),
        "eth_feeHistory" => fee_history(chain, &params),
        "eth_getBlockByNumber" | "eth_getBlockByHash" => get_block(chain, &params),
        "eth_getTransactionByHash" | "eth_getTransactionReceipt" => {
            get_transaction(chain, method, &params)
        }
        "eth_getLogs" => {
            let filter = params.filter(chain, 0)?;
            Ok(chain.logs(&filter)?.iter().map(render::log).collect())
        }
        "eth_getBalance" | "eth_getTransactionCount" | "eth_getCode" | "eth_getStorageAt" => {
            account(chain, method, &params)
        }
        "eth_call" | "eth_estimateGas" => execute(chain, method, &params),
        "eth_sendRawTransaction" => {
            let raw: Bytes = params.required(0)?;
            Ok(json!(chain.submit(&raw)?))
        }
        method if method.starts_with("evm_") || method.starts_with("gavel_") => {
            development(chain, method, &params)
        }
        _ => Err(unknown(method)),
    }
}

/// What a method of the chain answers: an unknown method, parameters of the wrong kind, a revert and what the chain refuses are
/// errors.
pub fn tell(chain: &mut Chain, method: &str, params: &Value) -> Told<Result<Value, RpcError>> {
    let answer = call(chain, method, params);
    let shown = match only_block(chain, method, params) {
        Some(block) => chain.shown_of(block),
        None => chain.shown(),
    };
    Told { answer, shown }
}

/// The block that the answer is about, where it is about nothing after it.
fn only_block(chain: &Chain, method: &str, params: &Value) -> Option<u64> {
    if !matches!(
        method,
        "eth_getTransactionByHash" | "eth_getTransactionReceipt"
    ) {
        return None;
    }
    let hash = Params(params).required(0).ok()?;
    let receipt = chain.receipt_of(hash).ok()??;
    Some(receipt.block_number)
}

fn unknown(method: &str) -> RpcError {
    let shown: String = method.chars().take(64).collect();
    RpcError::new(-32601, format!("there is no method {shown}"))
}

fn fee_history(chain: &Chain, params: &Params<'_>) -> Result<Value, RpcError> {
    let Some(newest) = params.block(chain, 1)? else {
        return Err(RpcError::server("header not found"));
    };
    let blocks = params
        .number(0)?
        .unwrap_or(1)
        .min(newest.number + 1)
        .min(1024);
    let percentiles = params
        .0
        .get(2)
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    let mut history = json!({
        "oldestBlock": hex((newest.number + 1) - blocks),
        "baseFeePerGas": vec!["0x0"; blocks as usize + 1],
        "gasUsedRatio": vec![0.0; blocks as usize],
    });
    if percentiles > 0 {
        history["reward"] = json!(vec![vec!["0x0"; percentiles.min(100)]; blocks as usize]);
    }
    Ok(history)
}

fn get_block(chain: &Chain, params: &Params<'_>) -> Result<Value, RpcError> {
    let full = matches!(params.0.get(1), Some(Value::Bool(true)));
    match params.block(chain, 0)? {
        Some(block) => render::block(chain, &block, full),
        None => Ok(Value::Null),
    }
}

fn get_transaction(chain: &Chain, method: &str, params: &Params<'_>) -> Result<Value, RpcError> {
    let hash: B256 = params.required(0)?;
    let Some(receipt) = chain.receipt_of(hash)? else {
        return Ok(Value::Null);
    };
    if method == "eth_getTransactionReceipt" {
        return Ok(render::receipt(&receipt));
    }
    match chain.block(receipt.block_number)? {
        Some(block) => render::transaction(&block, &receipt),
        None => Ok(Value::Null),
    }
}

fn account(chain: &Chain, method: &str, params: &Params<'_>) -> Result<Value, RpcError> {
    let address = params.required(0)?;
    let is_storage = method == "eth_getStorageAt";
    params.newest_state(chain, if is_storage { 2 } else { 1 })?;
    Ok(match method {
        "eth_getBalance" => json!(chain.balance(address)?),
        "eth_getTransactionCount" => hex(chain.nonce(address)?),
        "eth_getCode" => json!(chain.code(address)?),
        _ => {
            let slot: U256 = params.required(1)?;
            json!(B256::from(chain.storage(address, slot)?))
        }
    })
}

fn execute(chain: &Chain, method: &str, params: &Params<'_>) -> Result<Value, RpcError> {
    let request = params.call(0)?;
    params.newest_state(chain, 1)?;
    if method == "eth_estimateGas" {
        return chain.estimate(&request)?.map(hex).map_err(RpcError::failed);
    }
    match chain.call(&request)? {
        CallOutcome::Returned { output, .. } => Ok(json!(output)),
        failed => Err(RpcError::failed(failed)),
    }
}

/// Time travel and reorgs.
fn development(chain: &mut Chain, method: &str, params: &Params<'_>) -> Result<Value, RpcError> {
    let number = |i| {
        params
            .number(i)?
            .ok_or_else(|| RpcError::params(format!("parameter {i} is missing")))
    };
    match method {
        "evm_increaseTime" => {
            let seconds = number(0)?;
            let time = chain.now().checked_add(seconds);
            chain.advance_to(time.ok_or_else(|| RpcError::params("time overflows"))?)?;
            Ok(hex(seconds))
        }
        "evm_setNextBlockTimestamp" => {
            let (time, newest) = (number(0)?, chain.next_time());
            if time < newest {
                let message = format!("the next block is at {newest} or later");
                return Err(RpcError::params(message));
            }
            chain.advance_to(time)?;
            Ok(Value::Null)
        }
        "evm_mine" => {
            if let Some(time) = params.number(0)? {
                chain.advance_to(time)?;
            }
            chain.mine()?;
            Ok(json!("0x0"))
        }
        "evm_snapshot" => Ok(hex(chain.snapshot())),
        "evm_revert" => Ok(json!(chain.revert_to(number(0)?).is_ok())),
        "gavel_reorg" => {
            let depth = usize::try_from(number(0)?).unwrap_or(usize::MAX);
            Ok(json!(chain.reorg(depth)?))
        }
        _ => Err(unknown(method)),
    }
}
