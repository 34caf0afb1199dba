//! What every method answers, and that nothing in a request can do more than be refused.

mod bodies;
mod random;

use alloy::primitives::{B256, U256, hex as bytes_hex, keccak256};
use alloy::transports::http::Client;

use super::*;
use crate::chain::tests::{fail, friend, genesis, key, lived, pay, record, recorder};
use crate::{SharedChain, http};

/// Six blocks: a creation, a call, a payment, a revert, an empty block, a call.
fn chain() -> Chain {
    let mut chain = Chain::in_memory(genesis());
    lived(&mut chain);
    chain
}

fn ask(chain: &mut Chain, method: &str, params: Value) -> Result<Value, RpcError> {
    tell(chain, method, &params).answer
}

fn code(chain: &mut Chain, method: &str, params: Value) -> i64 {
    match ask(chain, method, params.clone()) {
        Err(error) => error.code,
        Ok(value) => panic!("{method} {params}: {value}"),
    }
}

fn word(n: u64) -> B256 {
    U256::from(n).into()
}

#[test]
fn what_never_changes_is_told() {
    let chain = &mut chain();
    for params in [json!([]), json!(null), json!(["too", "many"])] {
        let mut told = |method| ask(chain, method, params.clone()).unwrap();
        let version = told("web3_clientVersion");
        assert!(version.as_str().unwrap().starts_with("gavel/"));
        assert_eq!(told("net_version"), "31337");
        assert_eq!(told("eth_chainId"), "0x7a69");
        assert_eq!(told("eth_blockNumber"), "0x6");
        assert_eq!(told("eth_syncing"), false);
        assert_eq!(told("eth_accounts"), json!([]));
        assert_eq!(told("eth_gasPrice"), "0x0");
        assert_eq!(told("eth_maxPriorityFeePerGas"), "0x0");
    }
}

#[test]
fn blocks_are_found_by_every_name() {
    let chain = &mut chain();
    let second = chain.block(2).unwrap().unwrap();
    let names = [
        json!("0x2"),
        json!("2"),
        json!({"blockNumber": "0x2"}),
        json!({"blockHash": second.hash}),
        json!(second.hash),
    ];
    for name in names {
        let block = ask(chain, "eth_getBlockByNumber", json!([name, false])).unwrap();
        assert_eq!(block["hash"], json!(second.hash), "{name}");
        assert_eq!(block["transactions"], json!([second.transaction]));
        assert_eq!(block["timestamp"], format!("{:#x}", second.time));
    }
    let block = ask(chain, "eth_getBlockByHash", json!([second.hash, true])).unwrap();
    assert_eq!(block["transactions"][0]["hash"], json!(second.transaction));
    assert_eq!(block["transactions"][0]["from"], json!(key().address()));
    for tag in ["latest", "pending", "safe", "finalized"] {
        let block = ask(chain, "eth_getBlockByNumber", json!([tag])).unwrap();
        assert_eq!(block["number"], "0x6", "{tag}");
    }
    let first = ask(chain, "eth_getBlockByNumber", json!(["earliest"])).unwrap();
    assert_eq!(first["parentHash"], json!(B256::ZERO));
    for unknown in [json!("0x7"), json!("0xffffffffffffffff"), json!(word(1))] {
        let block = ask(chain, "eth_getBlockByNumber", json!([unknown])).unwrap();
        assert_eq!(block, Value::Null);
    }
    for bad in bad_blocks() {
        assert_eq!(code(chain, "eth_getBlockByNumber", json!([bad])), -32602);
    }
}

fn bad_blocks() -> Vec<Value> {
    let huge = format!("0x{}", "f".repeat(1 << 20));
    vec![
        json!("newest"),
        json!("0x1ffffffffffffffff"),
        json!("-1"),
        json!("0xzz"),
        json!(huge),
        json!("ü€"),
        json!(true),
        json!([]),
        json!({}),
        json!({"blockNumber": 2}),
        json!({"blockNumber": {"blockNumber": "0x1"}}),
        json!({"blockHash": "0x12"}),
        json!({"blockHash": null}),
    ]
}

#[test]
fn transactions_and_receipts_are_found_by_hash() {
    let chain = &mut chain();
    let (called, failed) = (keccak256(record(1, 0)), keccak256(fail(3)));
    let receipt = ask(chain, "eth_getTransactionReceipt", json!([called])).unwrap();
    assert_eq!(receipt["status"], "0x1");
    assert_eq!(receipt["type"], "0x2");
    assert_eq!(receipt["to"], json!(recorder()));
    assert_eq!(receipt["logs"][0]["topics"], json!([word(1)]));
    let bloom = receipt["logsBloom"].as_str().unwrap();
    assert!(bloom.contains(['1', '2', '4', '8']));
    let receipt = ask(chain, "eth_getTransactionReceipt", json!([failed])).unwrap();
    assert_eq!(
        (&receipt["status"], &receipt["logs"]),
        (&json!("0x0"), &json!([]))
    );
    let transaction = ask(chain, "eth_getTransactionByHash", json!([called])).unwrap();
    assert_eq!(transaction["nonce"], "0x1");
    assert_eq!(transaction["blockNumber"], "0x2");
    for method in ["eth_getTransactionReceipt", "eth_getTransactionByHash"] {
        assert_eq!(ask(chain, method, json!([word(0)])), Ok(Value::Null));
        for bad in [
            json!([]),
            json!([1]),
            json!(["0x12"]),
            json!([null]),
            json!([[called]]),
        ] {
            assert_eq!(code(chain, method, bad), -32602);
        }
    }
}

#[test]
fn logs_are_filtered() {
    let chain = &mut chain();
    let second = chain.block(2).unwrap().unwrap().hash;
    let blocks = |chain: &mut Chain, filter: Value| -> Vec<String> {
        let logs = ask(chain, "eth_getLogs", json!([filter])).unwrap();
        let numbers = logs.as_array().unwrap().iter();
        numbers
            .map(|l| l["blockNumber"].as_str().unwrap().to_owned())
            .collect()
    };
    for (filter, found) in [
        (json!({"fromBlock": "0x0"}), &["0x2", "0x6"][..]),
        // like other nodes: where nothing is said, the newest
        (json!({}), &["0x6"]),
        (json!({"fromBlock": "earliest", "toBlock": "0x5"}), &["0x2"]),
        (json!({"fromBlock": "0x6", "toBlock": "0x2"}), &[]),
        (
            json!({"fromBlock": "0x7", "toBlock": "0xffffffffffffffff"}),
            &[],
        ),
        (json!({"blockHash": second}), &["0x2"]),
        (
            json!({"fromBlock": "0x0", "address": recorder()}),
            &["0x2", "0x6"],
        ),
        (json!({"fromBlock": "0x0", "address": [friend()]}), &[]),
        (json!({"fromBlock": "0x0", "topics": [word(2)]}), &["0x6"]),
        (
            json!({"fromBlock": "0x0", "topics": [[word(1), word(2)]]}),
            &["0x2", "0x6"],
        ),
        (json!({"fromBlock": "0x0", "topics": [null, word(1)]}), &[]),
    ] {
        assert_eq!(blocks(chain, filter.clone()), found, "{filter}");
    }
    assert_eq!(
        code(chain, "eth_getLogs", json!([{"blockHash": word(9)}])),
        -32000
    );
    for bad in [
        json!([]),
        json!(["0x1"]),
        json!([{"fromBlock": "0x1ffffffffffffffff"}]),
        json!([{"fromBlock": "soon"}]),
        json!([{"toBlock": []}]),
        json!([{"address": "0x12"}]),
        json!([{"address": [[recorder()]]}]),
        json!([{"topics": "0x"}]),
        json!([{"topics": [null, null, null, null, null]}]),
        json!([{"topics": [["0x1"]]}]),
        json!([{"blockHash": 5}]),
    ] {
        assert_eq!(code(chain, "eth_getLogs", bad), -32602);
    }
}

#[test]
fn accounts_are_read_at_the_newest_state_only() {
    let chain = &mut chain();
    let me = key().address();
    assert_eq!(
        ask(chain, "eth_getBalance", json!([me])),
        Ok(json!("0x3e1"))
    );
    assert_eq!(
        ask(chain, "eth_getTransactionCount", json!([me, "pending"])),
        Ok(json!("0x5"))
    );
    let runtime = ask(chain, "eth_getCode", json!([recorder(), "latest"])).unwrap();
    assert!(runtime.as_str().unwrap().starts_with("0x366001"));
    assert_eq!(
        ask(chain, "eth_getCode", json!([friend()])),
        Ok(json!("0x"))
    );
    let slot = ask(
        chain,
        "eth_getStorageAt",
        json!([recorder(), "0x0", "latest"]),
    );
    assert_eq!(slot, Ok(json!(word(2))));
    let nowhere = ask(chain, "eth_getStorageAt", json!([friend(), word(u64::MAX)]));
    assert_eq!(nowhere, Ok(json!(word(0))));
    for (method, at) in [
        ("eth_getBalance", 1),
        ("eth_getTransactionCount", 1),
        ("eth_getCode", 1),
        ("eth_getStorageAt", 2),
    ] {
        let mut params = vec![json!(recorder()), json!("0x0"), Value::Null];
        params.truncate(at);
        let mut with = |block: Value| code(chain, method, [&params[..], &[block]].concat().into());
        assert_eq!(with(json!("0x5")), -32000, "{method}");
        assert_eq!(with(json!("0x63")), -32000, "{method}");
        for bad in bad_blocks() {
            assert_eq!(with(bad), -32602, "{method}");
        }
        for bad in [
            json!([]),
            json!(["0x12"]),
            json!([7]),
            json!([{}]),
            json!([null, "latest"]),
        ] {
            assert_eq!(code(chain, method, bad), -32602, "{method}");
        }
    }
    let huge = format!("0x1{}", "0".repeat(64));
    for bad in [json!(huge), json!("slot"), json!([]), json!(null)] {
        assert_eq!(code(chain, "eth_getStorageAt", json!([me, bad])), -32602);
    }
}

#[test]
fn calls_return_revert_or_are_no_calls() {
    let chain = &mut chain();
    let good = json!({"to": recorder(), "data": word(1), "gas": "0x30d40"});
    let output = ask(chain, "eth_call", json!([good, "latest"])).unwrap();
    assert_eq!(output.as_str().unwrap().len(), 2 + 2 * 128);
    assert!(
        output
            .as_str()
            .unwrap()
            .contains(&bytes_hex::encode(chain.block(1).unwrap().unwrap().hash))
    );
    let gas = ask(chain, "eth_estimateGas", json!([good])).unwrap();
    assert!(gas.as_str().unwrap().starts_with("0x"));
    for method in ["eth_call", "eth_estimateGas"] {
        let reverting = json!([{"to": recorder(), "input": "0x00", "data": "0x"}]);
        let error = ask(chain, method, reverting).unwrap_err();
        assert_eq!((error.code, error.data), (3, Some(Bytes::new())));
        for bad in [
            json!([]),
            json!(["0x"]),
            json!([null]),
            json!([[good]]),
            json!([{"to": "0x12"}]),
            json!([{"from": 1}]),
            json!([{"data": "0x1"}]),
            json!([{"data": "0xzz"}]),
            json!([{"value": "-1"}]),
            json!([{"value": format!("0x1{}", "0".repeat(64))}]),
            json!([{"gas": "0x1ffffffffffffffff"}]),
            json!([{"gas": 1.5}]),
            json!([{"gas": -1}]),
        ] {
            assert_eq!(code(chain, method, bad), -32602);
        }
        assert_eq!(code(chain, method, json!([good, "0x1"])), -32000);
    }
    // gas that does not even pay for the transaction, and a halt
    assert_eq!(
        code(chain, "eth_call", json!([{"to": recorder(), "gas": "0x0"}])),
        -32000
    );
    assert_eq!(code(chain, "eth_call", json!([{"data": "0xfe"}])), -32000);
    // more coin than the caller has is lent, more than there can be is not
    let paying = |wei: U256| json!([{"to": friend(), "value": wei}]);
    assert_eq!(
        ask(chain, "eth_call", paying(U256::from(1) << 255)),
        Ok(json!("0x"))
    );
    assert_eq!(code(chain, "eth_call", paying(U256::MAX)), -32000);
}

#[test]
fn transactions_are_taken_once_and_nonsense_is_not() {
    let chain = &mut chain();
    let raw = pay(5, 1);
    let hash = json!(keccak256(&raw));
    for _ in 0..2 {
        assert_eq!(
            ask(chain, "eth_sendRawTransaction", json!([raw])),
            Ok(hash.clone())
        );
    }
    assert_eq!(ask(chain, "eth_blockNumber", json!([])), Ok(json!("0x7")));
    let error = ask(chain, "eth_sendRawTransaction", json!([pay(5, 2)])).unwrap_err();
    assert_eq!(error.code, -32000);
    assert!(error.message.starts_with("nonce too low"), "{error}");
    let huge = format!("0x{}", "00".repeat(1 << 20));
    for bad in [json!(["0x"]), json!(["0x02"]), json!([huge])] {
        assert_eq!(code(chain, "eth_sendRawTransaction", bad), -32000);
    }
    for bad in [
        json!([]),
        json!([0]),
        json!(["0x0"]),
        json!(["raw"]),
        json!([[raw]]),
    ] {
        assert_eq!(code(chain, "eth_sendRawTransaction", bad), -32602);
    }
    assert_eq!(chain.head().number, 7);
}

#[test]
fn fees_are_nothing_for_as_many_blocks_as_there_are() {
    let chain = &mut chain();
    let mut of = |params| ask(chain, "eth_feeHistory", params);
    let two = of(json!(["0x2", "latest", [25, 75]])).unwrap();
    assert_eq!(two["oldestBlock"], "0x5");
    assert_eq!(two["baseFeePerGas"], json!(["0x0", "0x0", "0x0"]));
    assert_eq!(two["reward"], json!([["0x0", "0x0"], ["0x0", "0x0"]]));
    let all = of(json!([u64::MAX, "0x3"])).unwrap();
    assert_eq!(all["oldestBlock"], "0x0");
    assert_eq!(all["gasUsedRatio"].as_array().unwrap().len(), 4);
    let none = of(json!([0, "latest"])).unwrap();
    assert_eq!(none["gasUsedRatio"], json!([]));
    assert_eq!(of(json!([1, "0x63"])).unwrap_err().code, -32000);
    assert_eq!(of(json!(["many"])).unwrap_err().code, -32602);
    assert_eq!(of(json!([1, "soon"])).unwrap_err().code, -32602);
}

#[test]
fn the_clock_is_moved_and_never_off_its_end() {
    let chain = &mut chain();
    let now = chain.now();
    assert_eq!(
        ask(chain, "evm_increaseTime", json!([60])),
        Ok(json!("0x3c"))
    );
    assert_eq!(chain.now(), now + 60);
    ask(
        chain,
        "evm_setNextBlockTimestamp",
        json!([format!("{:#x}", now + 100)]),
    )
    .unwrap();
    assert_eq!(ask(chain, "evm_mine", json!([])), Ok(json!("0x0")));
    assert_eq!(chain.head().time, now + 100);
    assert_eq!(
        code(chain, "evm_setNextBlockTimestamp", json!([now + 100])),
        -32602
    );
    ask(chain, "evm_mine", json!([now + 200])).unwrap();
    assert_eq!(chain.head().time, now + 200);
    for method in ["evm_increaseTime", "evm_setNextBlockTimestamp", "evm_mine"] {
        assert!(matches!(
            code(chain, method, json!([u64::MAX])),
            -32602 | -32000
        ));
        for bad in [
            json!(["soon"]),
            json!([-1]),
            json!([1.5]),
            json!([{}]),
            json!(["0x1ffffffffffffffff"]),
        ] {
            assert_eq!(code(chain, method, bad), -32602, "{method}");
        }
    }
    assert_eq!(code(chain, "evm_increaseTime", json!([])), -32602);
    ask(chain, "evm_mine", json!([])).unwrap();
    assert_eq!(chain.head().time, now + 201);
}

#[test]
fn history_is_taken_back() {
    let chain = &mut chain();
    let snapshot = ask(chain, "evm_snapshot", json!([])).unwrap();
    ask(chain, "eth_sendRawTransaction", json!([pay(5, 1)])).unwrap();
    let dropped = ask(chain, "gavel_reorg", json!([1])).unwrap();
    assert_eq!(dropped, json!([pay(5, 1)]));
    ask(chain, "evm_mine", json!([])).unwrap();
    assert_eq!(ask(chain, "evm_revert", json!([snapshot])), Ok(json!(true)));
    assert_eq!(chain.head().number, 6);
    for gone in [json!(0), json!(99), json!(u64::MAX)] {
        assert_eq!(ask(chain, "evm_revert", json!([gone])), Ok(json!(false)));
    }
    for depth in [json!(7), json!(u64::MAX)] {
        assert_eq!(code(chain, "gavel_reorg", json!([depth])), -32000);
    }
    for method in ["evm_revert", "gavel_reorg"] {
        for bad in [json!([]), json!(["x"]), json!([-1]), json!([null])] {
            assert_eq!(code(chain, method, bad), -32602, "{method}");
        }
    }
    assert_eq!(chain.head().number, 6);
}

#[test]
fn unknown_methods_are_named_briefly() {
    let chain = &mut chain();
    let long = "ü".repeat(100_000);
    for method in [
        "",
        "eth_mining",
        "ETH_CHAINID",
        "evm_",
        "gavel_",
        "evm_mine ",
        "debug_traceCall",
        &long,
    ] {
        let error = ask(chain, method, json!([])).unwrap_err();
        assert_eq!(error.code, -32601, "{method}");
        assert!(error.message.len() < 200);
    }
}

#[test]
fn named_parameters_are_refused_not_ignored() {
    let chain = &mut chain();
    for params in [json!({"block": "0x1"}), json!("0x1"), json!(1), json!(true)] {
        assert_eq!(code(chain, "eth_getBlockByNumber", params), -32602);
    }
}

fn handle(chain: &mut Chain, body: &[u8]) -> Option<Value> {
    read(body).told(chain).answer
}

fn handled(chain: &mut Chain, body: &[u8]) -> Value {
    handle(chain, body).unwrap()
}

fn request_with(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}
