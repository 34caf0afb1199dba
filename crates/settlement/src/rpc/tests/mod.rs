//! What every method answers, and that nothing in a request can do more than be refused.

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
    call(chain, method, &params)
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

#[test]
fn bodies_that_are_no_requests_are_answered_with_the_right_code() {
    let chain = &mut chain();
    let deep = "[".repeat(100_000);
    for body in [
        &b""[..],
        b"{",
        b"\xff\xfe",
        b"nonsense",
        b"{}{}",
        deep.as_bytes(),
    ] {
        assert_eq!(handled(chain, body)["error"]["code"], -32700);
    }
    for body in [
        &b"{}"[..],
        b"null",
        b"5",
        b"\"eth_chainId\"",
        b"[]",
        b"{\"id\":1}",
        b"{\"id\":1,\"method\":5}",
        b"{\"id\":{},\"method\":\"eth_chainId\"}",
        b"{\"id\":[1],\"method\":\"eth_chainId\"}",
    ] {
        let answer = handled(chain, body);
        assert_eq!(answer["error"]["code"], -32600, "{body:?}");
        assert_eq!(answer["id"], Value::Null);
    }
    let large = vec![b' '; REQUEST_BYTES_MAX + 1];
    assert_eq!(handled(chain, &large)["error"]["code"], -32600);
}

#[test]
fn ids_come_back_as_they_were_and_notifications_are_not_answered() {
    let chain = &mut chain();
    for id in [
        json!(1),
        json!("seven"),
        json!(null),
        json!(-1.5),
        json!(u64::MAX),
    ] {
        let body = json!({"jsonrpc": "2.0", "id": id, "method": "eth_chainId"}).to_string();
        let answer = handled(chain, body.as_bytes());
        assert_eq!(
            answer,
            json!({"jsonrpc": "2.0", "id": id, "result": "0x7a69"})
        );
    }
    let note = json!({"jsonrpc": "2.0", "method": "evm_mine"}).to_string();
    assert_eq!(handle(chain, note.as_bytes()), None);
    assert_eq!(handle(chain, format!("[{note},{note}]").as_bytes()), None);
    assert_eq!(chain.head().number, 9);
}

#[test]
fn a_batch_is_answered_in_order_whatever_is_in_it() {
    let chain = &mut chain();
    let request = |id: u64, method: &str| json!({"id": id, "method": method});
    let batch = json!([
        request(1, "evm_mine"),
        request(2, "eth_blockNumber"),
        {"method": "evm_mine"},
        7,
        [request(3, "evm_mine")],
        request(4, "eth_blockNumber"),
        request(5, "no_such"),
    ]);
    let answers = handled(chain, batch.to_string().as_bytes());
    let ids: Vec<&Value> = answers
        .as_array()
        .unwrap()
        .iter()
        .map(|a| &a["id"])
        .collect();
    assert_eq!(json!(ids), json!([1, 2, null, null, 4, 5]));
    assert_eq!(answers[1]["result"], "0x7");
    assert_eq!(answers[2]["error"]["code"], -32600);
    assert_eq!(answers[3]["error"]["code"], -32600);
    assert_eq!(answers[4]["result"], "0x8");
    assert_eq!(answers[5]["error"]["code"], -32601);
    let many = |n| json!(vec![request(0, "eth_chainId"); n]).to_string();
    let most = handled(chain, many(BATCH_MAX).as_bytes());
    assert_eq!(most.as_array().unwrap().len(), BATCH_MAX);
    let more = handled(chain, many(BATCH_MAX + 1).as_bytes());
    assert_eq!(more["error"]["code"], -32600);
}

#[test]
fn a_chain_that_cannot_write_does_not_say_that_it_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let chain = &mut Chain::open(folder.path(), genesis()).unwrap();
    lived(chain);
    chain.stop_writing(folder.path());
    for _ in 0..2 {
        let raw = json!([pay(5, 1)]);
        assert_eq!(code(chain, "eth_sendRawTransaction", raw), INTERNAL);
        assert_eq!(code(chain, "evm_mine", json!([])), INTERNAL);
    }
}

#[tokio::test]
async fn what_could_not_be_written_is_told_to_nobody_over_http() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = Chain::open(folder.path(), genesis()).unwrap();
    lived(&mut chain);
    chain.stop_writing(folder.path());
    let server = http::Server::bind(SharedChain::new(chain), 0).await;
    let server = server.unwrap();
    let url = format!("http://{}", server.address().unwrap());
    let serving = tokio::spawn(server.serve(std::future::pending()));
    let client = Client::new();
    let status = async |method: &str, params: Value| {
        let body = request_with(method, params).to_string();
        let sent = client.post(&url).body(body).send().await;
        sent.unwrap().status().as_u16()
    };
    assert_eq!(status("eth_blockNumber", json!([])).await, 200);
    let raw = pay(5, 1);
    let receipt = json!([keccak256(&raw)]);
    assert_eq!(status("eth_sendRawTransaction", json!([raw])).await, 503);
    // it is in memory, and on no disk
    assert_eq!(status("eth_getTransactionReceipt", receipt).await, 503);
    assert_eq!(status("eth_blockNumber", json!([])).await, 503);
    serving.abort();
}

#[test]
fn what_is_told_of_one_transaction_waits_for_its_block_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = Chain::open(folder.path(), genesis()).unwrap();
    lived(&mut chain);
    let head = chain.head().number;
    let transaction = |chain: &Chain, block| chain.block(block).unwrap().unwrap().transaction;
    let (older, newest) = (transaction(&chain, 2), transaction(&chain, head));
    let mut shown = |method: &str, params: Value| {
        let body = request_with(method, params).to_string();
        read(body.as_bytes()).told(&mut chain).shown.unwrap()
    };
    let all = shown("eth_blockNumber", json!([]));
    for method in ["eth_getTransactionReceipt", "eth_getTransactionByHash"] {
        assert!(shown(method, json!([older])) < all, "{method}");
        assert_eq!(shown(method, json!([newest])), all);
        // that there is none can be because of the newest record
        assert_eq!(shown(method, json!([word(7)])), all);
    }
    assert!(shown("eth_sendRawTransaction", json!([pay(5, 1)])) > all);
}

fn request_with(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}
