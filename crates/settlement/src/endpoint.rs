//! A way to reach a chain: the embedded one in this process, or any JSON-RPC node.

use std::time::Duration;

use alloy::primitives::{Address, Log};
use alloy::providers::{DynProvider, Provider as _, RootProvider};
use alloy::rpc::client::RpcClient;
use alloy::rpc::types::Filter;
use alloy::transports::http::{Http, reqwest};
use alloy::transports::{TransportError, utils::guess_local_url};

use crate::chain::{LogEntry, LogFilter};
use crate::network::{Head, NetworkError};
use crate::shared::SharedChain;
use crate::transport::{AskAgain, InProcess};

/// How long an answer may take: longer than a public node's slowest, shorter than any clock of the game.
const ANSWER_MOST: Duration = Duration::from_secs(10);

/// A connection to a chain. Clones share it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    provider: DynProvider,
    embedded: Option<SharedChain>,
    patience: Patience,
}

/// How long to wait for a remote chain; the embedded one answers at once.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// First pause after a failed request or before a receipt is asked for again; doubles up to `pause_max`.
    pub pause: Duration,
    /// Longest pause.
    pub pause_max: Duration,
    /// Tries of one request before giving up.
    pub tries: u32,
    /// Times that a receipt is asked for before giving up.
    pub receipt_tries: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            pause: Duration::from_millis(20),
            pause_max: Duration::from_secs(2),
            tries: 6,
            receipt_tries: 120,
        }
    }
}

impl Patience {
    /// The pause after the try number `tries`, from 0.
    pub(crate) fn pause_after(&self, tries: u32) -> Duration {
        self.pause
            .saturating_mul(1 << tries.min(16))
            .min(self.pause_max)
    }
}

impl Endpoint {
    /// The embedded chain.
    pub fn in_process(chain: SharedChain) -> Endpoint {
        let client = RpcClient::new(InProcess::new(chain.clone()), true)
            .with_poll_interval(Duration::from_millis(1));
        Endpoint {
            provider: RootProvider::new(client).erased(),
            embedded: Some(chain),
            patience: Patience::default(),
        }
    }

    /// A node behind an HTTP JSON-RPC address. Nothing is sent yet. Questions whose answers are lost, or do not come
    /// in time, are asked again.
    ///
    /// # Errors
    /// Not a URL.
    pub fn http(url: &str) -> Result<Endpoint, NetworkError> {
        let not_usable = || NetworkError::Url(url.to_owned());
        let client = reqwest::Client::builder()
            .timeout(ANSWER_MOST)
            .build()
            .map_err(|_| not_usable())?;
        let http = Http::with_client(client, url.parse().map_err(|_| not_usable())?);
        let is_local = guess_local_url(url);
        Ok(Endpoint::over(RpcClient::new(
            AskAgain::new(http),
            is_local,
        )))
    }

    /// Any client, over a transport of the caller's.
    pub fn over(client: RpcClient) -> Endpoint {
        Endpoint {
            provider: RootProvider::new(client).erased(),
            embedded: None,
            patience: Patience::default(),
        }
    }

    /// The same connection, waiting differently.
    pub fn with_patience(mut self, patience: Patience) -> Endpoint {
        self.patience = patience;
        self
    }

    pub(crate) fn patience(&self) -> Patience {
        self.patience
    }

    /// The alloy provider.
    pub fn provider(&self) -> &DynProvider {
        &self.provider
    }

    /// The embedded chain, if this is one.
    pub fn embedded(&self) -> Option<&SharedChain> {
        self.embedded.as_ref()
    }

    /// Chain id.
    ///
    /// # Errors
    /// The node cannot be reached.
    pub async fn chain_id(&self) -> Result<u64, NetworkError> {
        match &self.embedded {
            Some(chain) => Ok(chain.lock().chain_id()),
            None => Ok(self.provider.get_chain_id().await?),
        }
    }

    /// The newest block.
    ///
    /// # Errors
    /// The node cannot be reached.
    pub async fn head(&self) -> Result<Head, NetworkError> {
        if let Some(chain) = &self.embedded {
            let chain = chain.lock();
            let block = chain.head();
            return Ok(Head {
                number: block.number,
                hash: block.hash,
                time: block.time,
            });
        }
        let block = self
            .provider
            .get_block(alloy::eips::BlockId::latest())
            .await?
            .ok_or(NetworkError::NoHead)?;
        Ok(Head {
            number: block.header.number,
            hash: block.header.hash,
            time: block.header.timestamp,
        })
    }

    /// Logs of these contracts in blocks `from..=to`.
    pub(crate) async fn logs(
        &self,
        addresses: Vec<Address>,
        from: u64,
        to: u64,
    ) -> Result<Vec<LogEntry>, TransportError> {
        if let Some(chain) = &self.embedded {
            let filter = LogFilter {
                from_block: from,
                to_block: to,
                addresses,
                topics: Vec::new(),
            };
            return Ok(chain.lock().logs(&filter).into_iter().cloned().collect());
        }
        let filter = Filter::new()
            .address(addresses)
            .from_block(from)
            .to_block(to);
        let logs = self.provider.get_logs(&filter).await?;
        Ok(logs.into_iter().filter_map(entry).collect())
    }
}

/// A log that is in a block; pending ones are none.
pub(crate) fn entry(log: alloy::rpc::types::Log) -> Option<LogEntry> {
    Some(LogEntry {
        block_number: log.block_number?,
        block_hash: log.block_hash?,
        transaction_hash: log.transaction_hash?,
        index: log.log_index?,
        log: Log {
            address: log.inner.address,
            data: log.inner.data,
        },
    })
}
