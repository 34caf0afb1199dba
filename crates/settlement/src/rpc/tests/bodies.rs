//! What a request body is answered, and what waits for the disk before it is.

use super::*;

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
