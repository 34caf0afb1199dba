//! A client without a key: `gavel gateway sign` makes headers, a plain HTTP client sends them to a gateway that runs, and
//! they are taken once, also by the process that comes after it.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/net.rs"]
mod net;
#[path = "common/telling.rs"]
mod telling;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use common::text;
use net::Net;
use serde_json::{Value, json};
use telling::Running;

const MODEL: &str = "llm@48";
/// Seconds that a signature is good for: longer than a slow machine takes.
const PATIENCE: &str = "3600";

impl Net<'_> {
    /// For people.
    fn told(&self, args: &[&str]) -> Command {
        net::command(self.dir, &self.url, args)
    }

    /// A gateway, and where it listens.
    fn gateway(&self) -> (Running, String, Value) {
        let args = ["gateway", "run", "--key", "gate.json", "--model", MODEL];
        let loopback = ["--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0"];
        let more = ["--poll", "100", "--horizon", PATIENCE];
        let args = [&args[..], &loopback, &more].concat();
        let gateway = Running::start(self.command(&args));
        let told = gateway.event("listening");
        let api = told["api"].as_str().unwrap().to_owned();
        (gateway, api, told["requester"].clone())
    }
}

/// Sends a request as it is told, and gives the status and the body.
fn send(method: &str, url: &str, headers: &str, body: &str) -> (u16, Value) {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let mut stream = TcpStream::connect(host).unwrap();
    let lines: String = headers.lines().map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n{lines}\r\n{body}"
    )
    .unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    let (head, body) = said.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {said}"));
    (status, body)
}

#[test]
fn a_client_signs_in_a_shell_and_is_answered_once() {
    let dir = tempfile::tempdir().unwrap();
    let (net, _chain) = Net::up(dir.path(), "1");
    let [ann, gate] = net.deploy(&["ann", "gate"], &[]).try_into().unwrap();
    let client = net.key("client");
    net.register(MODEL);
    let serve = [
        "provider", "run", "--model", MODEL, "--key", "ann.json", "--poll", "100",
    ];
    let provider = Running::start(net.command(&serve));
    provider.event("serving");
    let added = [
        "gateway",
        "key",
        "new",
        "--name",
        "client",
        "--account",
        &client,
    ];
    let added = net.run(&[&added[..], &["--budget", "50"]].concat());
    assert!(added["key"].is_null(), "{added}");
    let listed = net.run(&["gateway", "key", "list"]);
    assert_eq!(listed["keys"][0]["account"], added["account"]);
    let (gateway, api, requester) = net.gateway();
    assert_eq!(
        requester.as_str().unwrap().to_lowercase(),
        gate.to_lowercase()
    );

    let question =
        json!({"model": MODEL, "prompt": "A cat.", "max_tokens": 4, "seed": 7}).to_string();
    std::fs::write(dir.path().join("ask.json"), &question).unwrap();
    let url = format!("{api}/completions");
    let sign = [
        "gateway",
        "sign",
        &url,
        "--gateway",
        &gate,
        "--key",
        "client.json",
        "--body",
        "ask.json",
        "--valid-for",
        PATIENCE,
    ];
    let signed = net.told(&sign).output().unwrap();
    assert!(signed.status.success(), "{}", text(&signed.stderr));
    let headers = text(&signed.stdout);
    assert_eq!(headers.lines().count(), 5, "{headers}");
    // somebody changes a byte of it first
    let (status, said) = send("POST", &url, &headers, &question.replace("cat", "dog"));
    assert_eq!(
        (status, &said["error"]["code"]),
        (401, &json!("body_digest_mismatch"))
    );
    let (status, answer) = send("POST", &url, &headers, &question);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["usage"]["completion_tokens"], 4, "{answer}");
    let (status, said) = send("POST", &url, &headers, &question);
    assert_eq!(
        (status, &said["error"]["code"]),
        (401, &json!("nonce_used"))
    );

    // without a body, as an object and as a command
    let tasks = format!("{api}/tasks?limit=3");
    let sign = [
        "gateway",
        "sign",
        &tasks,
        "--gateway",
        &gate,
        "--key",
        "client.json",
    ];
    let object = net.run(&sign);
    assert_eq!(object["route"], "GET /v1/tasks?limit=3");
    let curl = text(
        &net.told(&[&sign[..], &["--curl"]].concat())
            .output()
            .unwrap()
            .stdout,
    );
    assert!(
        curl.starts_with("curl ") && curl.contains(&format!("'{tasks}'")),
        "{curl}"
    );
    let of_object: String = object["headers"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", value.as_str().unwrap()))
        .collect();
    let (status, listed) = send("GET", &tasks, &of_object, "");
    assert_eq!(
        (status, listed["data"].as_array().unwrap().len()),
        (200, 1),
        "{listed}"
    );

    // another gateway's address was signed
    let sign = [
        "gateway",
        "sign",
        &tasks,
        "--gateway",
        &ann,
        "--key",
        "client.json",
    ];
    let headers_of_other = text(&net.told(&sign).output().unwrap().stdout);
    let (status, said) = send("GET", &tasks, &headers_of_other, "");
    assert_eq!(
        (status, &said["error"]["code"]),
        (401, &json!("invalid_signature"))
    );
    let message = said["error"]["message"].as_str().unwrap().to_lowercase();
    assert!(
        message.contains(&format!("gateway {}", gate.to_lowercase())),
        "{message}"
    );

    // the process that comes after it has not forgotten
    let used = (url.clone(), headers, question);
    gateway.signal("-KILL");
    drop(gateway);
    let (_gateway, api, _) = net.gateway();
    let url = format!("{api}/completions");
    let (status, said) = send("POST", &url, &used.1, &used.2);
    assert_eq!(
        (status, &said["error"]["code"]),
        (401, &json!("nonce_used")),
        "{said}"
    );
}
