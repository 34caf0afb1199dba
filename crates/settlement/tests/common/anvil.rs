//! anvil behind its URL, where `GAVEL_ANVIL` names the binary.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use alloy::primitives::Address;
use alloy::providers::Provider as _;
use gavel_settlement::Endpoint;
use serde_json::{Value, json};

/// A node that ends with the test.
pub(crate) struct Anvil {
    child: Child,
    pub(crate) url: String,
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Anvil {
    /// A node on a free port of loopback; says that the test is skipped where there is no binary.
    pub(crate) fn start() -> Option<Anvil> {
        let Some(binary) = std::env::var_os("GAVEL_ANVIL") else {
            println!("skipped: GAVEL_ANVIL names no anvil");
            return None;
        };
        let mut child = Command::new(binary)
            .args(["--host", "127.0.0.1", "--port", "0", "--chain-id", "31337"])
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut anvil = Anvil {
            child,
            url: String::new(),
        };
        let mut line = String::new();
        while stdout.read_line(&mut line).unwrap() > 0 {
            if let Some((_, address)) = line.split_once("Listening on ") {
                anvil.url = format!("http://{}", address.trim());
                // whatever else it says must not fill the pipe
                std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
                return Some(anvil);
            }
            line.clear();
        }
        panic!("anvil never listened");
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::http(&self.url).unwrap()
    }

    pub(crate) async fn tell(&self, method: &'static str, params: Value) -> Value {
        let endpoint = self.endpoint();
        let client = endpoint.provider().client();
        client.request(method, params).await.unwrap()
    }

    pub(crate) async fn give_coin(&self, to: Address) {
        let coin = json!([to, "0x3635c9adc5dea00000"]);
        self.tell("anvil_setBalance", coin).await;
    }

    /// Transactions wait in the pool until [`mine`](Self::mine).
    pub(crate) async fn stop_mining(&self) {
        self.tell("evm_setAutomine", json!([false])).await;
    }

    pub(crate) async fn mine(&self, blocks: u64) {
        self.tell("anvil_mine", json!([format!("{blocks:#x}")]))
            .await;
    }

    /// Replaces the newest blocks by empty ones; their transactions are gone.
    pub(crate) async fn reorg(&self, depth: u64) {
        self.tell("anvil_reorg", json!([depth, []])).await;
    }
}
