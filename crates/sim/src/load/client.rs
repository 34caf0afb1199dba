//! A key that sends calls to the chain, in this process or over HTTP, with as little between as there may be.

use gavel_node::{Address, B256, U256};
use gavel_settlement::alloy::consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use gavel_settlement::alloy::eips::eip2718::Encodable2718 as _;
use gavel_settlement::alloy::primitives::{Bytes, TxKind};
use gavel_settlement::alloy::rpc::types::TransactionReceipt;
use gavel_settlement::alloy::signers::SignerSync as _;
use gavel_settlement::alloy::signers::local::PrivateKeySigner;
use gavel_settlement::alloy::transports::http::reqwest;
use gavel_settlement::events::ProtocolEvent;
use gavel_settlement::{Endpoint, Network, Sender};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::WorldError;

/// Gas of every transaction over HTTP: more than any action takes.
const GAS: u64 = 3_000_000;

/// How transactions get to the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Submission {
    /// By a call in the same process.
    Direct,
    /// By JSON-RPC over HTTP: the signed transaction, then its receipt.
    Rpc,
}

/// A key and its way to the chain.
pub(super) struct Client {
    key: PrivateKeySigner,
    network: Network,
    way: Way,
}

enum Way {
    Direct(Box<Sender>),
    Rpc {
        http: reqwest::Client,
        url: String,
        /// The key's next nonce: it is used here alone.
        nonce: Mutex<u64>,
    },
}

/// What an answer says that a transaction did.
pub(super) struct Done {
    pub(super) events: Vec<ProtocolEvent>,
    pub(super) transaction: B256,
    /// Hash of its block.
    pub(super) block: B256,
}

impl Client {
    pub(super) fn new(
        submission: Submission,
        key: PrivateKeySigner,
        network: &Network,
        url: &str,
    ) -> Client {
        let way = match (submission, network.embedded()) {
            (Submission::Direct, Some(chain)) => Way::Direct(Box::new(Sender::new(
                key.clone(),
                Endpoint::in_process(chain.clone()),
            ))),
            _ => Way::Rpc {
                http: reqwest::Client::new(),
                url: url.to_owned(),
                nonce: Mutex::new(0),
            },
        };
        Client {
            key,
            network: network.clone(),
            way,
        }
    }

    pub(super) fn address(&self) -> Address {
        self.key.address()
    }

    /// Sends a call and tells what it did when that is on disk.
    pub(super) async fn send(&self, to: Address, data: Vec<u8>) -> Result<Done, WorldError> {
        let deployment = self.network.deployment();
        match &self.way {
            Way::Direct(sender) => {
                let mined = sender.send(to, data.into()).await?;
                let events = mined.logs.iter().map(|entry| {
                    ProtocolEvent::decode(deployment, entry.log.address, &entry.log.data)
                });
                Ok(Done {
                    events: events.collect(),
                    transaction: mined.hash,
                    block: mined.block_hash,
                })
            }
            Way::Rpc { http, url, nonce } => {
                let mut nonce = nonce.lock().await;
                let raw = self.sign(to, data.into(), *nonce)?;
                let hash: B256 = ask(http, url, "eth_sendRawTransaction", json!([raw])).await?;
                *nonce += 1;
                let receipt: TransactionReceipt =
                    ask(http, url, "eth_getTransactionReceipt", json!([hash])).await?;
                if !receipt.status() {
                    return Err(WorldError::View(format!("transaction {hash} failed")));
                }
                let events = receipt.inner.logs().iter().map(|log| {
                    ProtocolEvent::decode(deployment, log.inner.address, &log.inner.data)
                });
                let block = receipt.block_hash.ok_or_else(|| {
                    WorldError::View(format!("transaction {hash} is in no block"))
                })?;
                Ok(Done {
                    events: events.collect(),
                    transaction: hash,
                    block,
                })
            }
        }
    }

    fn sign(&self, to: Address, input: Bytes, nonce: u64) -> Result<Bytes, WorldError> {
        let transaction = TxEip1559 {
            chain_id: self.network.deployment().chain_id,
            nonce,
            gas_limit: GAS,
            max_fee_per_gas: 0,
            max_priority_fee_per_gas: 0,
            to: TxKind::Call(to),
            value: U256::ZERO,
            access_list: Default::default(),
            input,
        };
        let signature = self.key.sign_hash_sync(&transaction.signature_hash());
        let signature = signature.map_err(|e| WorldError::View(e.to_string()))?;
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        Ok(envelope.encoded_2718().into())
    }
}

async fn ask<T: serde::de::DeserializeOwned>(
    http: &reqwest::Client,
    url: &str,
    method: &str,
    params: Value,
) -> Result<T, WorldError> {
    let failed = |e: &dyn std::fmt::Display| WorldError::View(format!("{method}: {e}"));
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let body = serde_json::to_vec(&request).map_err(|e| failed(&e))?;
    let sent = http
        .post(url)
        .header("content-type", "application/json")
        .body(body);
    let answer = sent.send().await.map_err(|e| failed(&e))?;
    let bytes = answer.bytes().await.map_err(|e| failed(&e))?;
    let mut answer: Value = serde_json::from_slice(&bytes).map_err(|e| failed(&e))?;
    match answer.get("error") {
        Some(error) => Err(failed(error)),
        None => serde_json::from_value(answer["result"].take()).map_err(|e| failed(&e)),
    }
}
