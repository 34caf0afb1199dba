//! Random requests: answered, and the chain works on.

use proptest::prelude::*;
use serde_json::{Map, Number};

use super::*;

const METHODS: [&str; 26] = [
    "web3_clientVersion",
    "net_version",
    "eth_chainId",
    "eth_blockNumber",
    "eth_syncing",
    "eth_accounts",
    "eth_gasPrice",
    "eth_feeHistory",
    "eth_getBlockByNumber",
    "eth_getBlockByHash",
    "eth_getTransactionByHash",
    "eth_getTransactionReceipt",
    "eth_getLogs",
    "eth_getBalance",
    "eth_getTransactionCount",
    "eth_getCode",
    "eth_getStorageAt",
    "eth_call",
    "eth_estimateGas",
    "eth_sendRawTransaction",
    "evm_increaseTime",
    "evm_setNextBlockTimestamp",
    "evm_mine",
    "evm_snapshot",
    "evm_revert",
    "gavel_reorg",
];

/// Fields that mean something somewhere, so that random objects are not all ignored.
const FIELDS: [&str; 14] = [
    "to",
    "from",
    "data",
    "input",
    "value",
    "gas",
    "fromBlock",
    "toBlock",
    "blockHash",
    "blockNumber",
    "address",
    "topics",
    "method",
    "id",
];

fn leaf() -> impl Strategy<Value = Value> {
    let known = vec![
        json!(recorder()),
        json!(friend()),
        json!(key().address()),
        json!(word(1)),
        json!(keccak256(record(1, 0))),
        json!(pay(5, 1)),
        json!("latest"),
        json!("earliest"),
        json!(u64::MAX),
        json!("0xffffffffffffffff"),
        json!(U256::MAX),
    ];
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0u64..12).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|f| Number::from_f64(f).map_or(Value::Null, Value::Number)),
        any::<u64>().prop_map(|n| json!(format!("{n:#x}"))),
        (0u64..12).prop_map(|n| json!(format!("{n:#x}"))),
        prop::collection::vec(any::<u8>(), 0..80).prop_map(|b| json!(Bytes::from(b))),
        ".{0,24}".prop_map(Value::from),
        prop::sample::select(known),
    ]
}

fn tree() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 24, 5, |inner| {
        let name = prop_oneof![
            4 => prop::sample::select(&FIELDS[..]).prop_map(str::to_owned),
            1 => ".{0,6}".prop_map(|s| s),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn request() -> impl Strategy<Value = Value> {
    let method = prop_oneof![
        12 => prop::sample::select(&METHODS[..]).prop_map(Value::from),
        1 => tree(),
    ];
    let params = prop_oneof![
        8 => prop::collection::vec(tree(), 0..4).prop_map(Value::from),
        1 => tree(),
    ];
    (leaf(), method, params)
        .prop_map(|(id, method, params)| json!({"id": id, "method": method, "params": params}))
}

/// An answer is a result or an error with a code that JSON-RPC or its users know.
fn well_formed(answer: &Value) {
    assert_eq!(answer["jsonrpc"], "2.0");
    assert!(answer.get("id").is_some());
    let (result, error) = (answer.get("result"), answer.get("error"));
    assert!(result.is_some() ^ error.is_some(), "{answer}");
    if let Some(error) = error {
        let code = error["code"].as_i64().unwrap();
        assert!(
            [3, -32000, -32600, -32601, -32602].contains(&code),
            "{answer}"
        );
        assert!(error["message"].is_string());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_requests_are_answered_and_leave_a_chain_that_works(
        requests in prop::collection::vec(request(), 1..12),
    ) {
        let mut chain = chain();
        for request in &requests {
            well_formed(&handled(&mut chain, request.to_string().as_bytes()));
        }
        for number in 1..=chain.head().number {
            let [before, after] = [number - 1, number].map(|n| chain.block(n).unwrap().unwrap());
            prop_assert!(before.time < after.time);
            prop_assert_eq!(before.hash, after.parent);
        }
        prop_assert!(chain.now() >= chain.head().time);
        let nonce = chain.nonce(key().address()).unwrap();
        chain.submit(&pay(nonce, 0)).unwrap();
    }

    #[test]
    fn any_json_is_answered_or_is_a_notification(value in tree()) {
        let mut chain = Chain::in_memory(genesis());
        match handle(&mut chain, value.to_string().as_bytes()) {
            Some(Value::Array(answers)) => answers.iter().for_each(well_formed),
            Some(answer) => well_formed(&answer),
            None => {}
        }
    }

    #[test]
    fn any_bytes_are_answered(body in prop::collection::vec(any::<u8>(), 0..256)) {
        let mut chain = Chain::in_memory(genesis());
        let answer = handle(&mut chain, &body);
        prop_assert!(answer.is_none_or(|a| a.is_array() || a["error"].is_object() || a["result"].is_string()));
    }
}
