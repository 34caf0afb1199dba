//! A way to reach a chain: the embedded one in this process, or any JSON-RPC node.

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, Log};
use alloy::providers::{DynProvider, Provider as _, RootProvider};
use alloy::rpc::client::RpcClient;
use alloy::rpc::types::Filter;
use alloy::transports::http::{Http, reqwest};
use alloy::transports::{BoxTransport, TransportError, TransportErrorKind, utils::guess_local_url};

use crate::account::SendPolicy;
use crate::chain::{Chain, LogEntry, LogFilter};
use crate::network::{Head, NetworkError};
use crate::quorum::{Answer, Disagreement, Question, Quorum, ToAll, Witness};
use crate::shared::SharedChain;
use crate::transport::{AskAgain, InProcess};

/// How long an answer may take: longer than a public node's slowest, shorter than any clock of the game.
const ANSWER_MOST: Duration = Duration::from_secs(10);

/// Depth of the reorgs that a client of an HTTP node is prepared for.
pub const REORG_DEPTH: u64 = 8;

/// A connection to a chain. Clones share it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    provider: DynProvider,
    embedded: Option<SharedChain>,
    patience: Patience,
    policy: SendPolicy,
    quorum: Option<Arc<Quorum>>,
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
            policy: SendPolicy::default(),
            quorum: None,
        }
    }

    /// A node behind an HTTP JSON-RPC address, or several of one chain with commas between: see [`Endpoint::quorum`].
    /// Nothing is sent yet. Questions whose answers are lost, or do not come in time, are asked again. Reorgs of up to
    /// [`REORG_DEPTH`] blocks are seen through.
    ///
    /// # Errors
    /// Not a URL.
    pub fn http(urls: &str) -> Result<Endpoint, NetworkError> {
        let not_usable = |url: &str| NetworkError::Url(url.to_owned());
        let client = reqwest::Client::builder()
            .timeout(ANSWER_MOST)
            .build()
            .map_err(|_| not_usable(urls))?;
        let mut nodes = Vec::new();
        for url in urls.split(',').map(str::trim) {
            let parsed: reqwest::Url = url.parse().map_err(|_| not_usable(url))?;
            let name = shown(&parsed);
            nodes.push((name, Http::with_client(client.clone(), parsed)));
        }
        let policy = SendPolicy {
            confirmations: REORG_DEPTH,
            ..SendPolicy::default()
        };
        let endpoint = match <[_; 1]>::try_from(nodes) {
            Ok([(_, http)]) => {
                let is_local = guess_local_url(urls);
                Endpoint::over(RpcClient::new(AskAgain::new(http), is_local))
            }
            Err(nodes) => {
                let witness = |(name, http)| Witness::new(name, BoxTransport::new(http));
                Endpoint::quorum(nodes.into_iter().map(witness).collect())
            }
        };
        Ok(endpoint.with_policy(policy))
    }

    /// Several nodes of one chain. What is sent goes to all of them; questions go to the one that answered last, and to the
    /// next where it does not answer; and [`confirm`](Self::confirm) asks a majority.
    pub fn quorum(witnesses: Vec<Witness>) -> Endpoint {
        let quorum = Arc::new(Quorum::new(witnesses));
        let client = RpcClient::new(AskAgain::new(ToAll(Arc::clone(&quorum))), false);
        Endpoint {
            quorum: Some(quorum),
            ..Endpoint::over(client)
        }
    }

    /// Before something that costs stake: what a majority of the nodes answers to these questions at a block, if they agree
    /// that it is the block. `None` where there is only one node, which is not asked.
    ///
    /// # Errors
    /// They do not agree. Nothing should be decided now; ask again later.
    pub async fn confirm(
        &self,
        head: Head,
        questions: &[Question],
    ) -> Result<Option<Vec<Answer>>, Disagreement> {
        match &self.quorum {
            Some(quorum) => quorum.confirm(head, questions).await.map(Some),
            None => Ok(None),
        }
    }

    /// Counts what somebody found out by comparing.
    pub fn disagreement(&self, found: Disagreement) -> Disagreement {
        match &self.quorum {
            Some(quorum) => quorum.count(found),
            None => found,
        }
    }

    /// Times that the nodes did not agree.
    pub fn disagreements(&self) -> u64 {
        self.quorum
            .as_ref()
            .map_or(0, |quorum| quorum.disagreements())
    }

    /// Any client, over a transport of the caller's.
    pub fn over(client: RpcClient) -> Endpoint {
        Endpoint {
            provider: RootProvider::new(client).erased(),
            embedded: None,
            patience: Patience::default(),
            policy: SendPolicy::default(),
            quorum: None,
        }
    }

    /// The same connection, waiting differently.
    pub fn with_patience(mut self, patience: Patience) -> Endpoint {
        self.patience = patience;
        self
    }

    /// The same connection, paying and waiting for depth differently.
    pub fn with_policy(mut self, policy: SendPolicy) -> Endpoint {
        self.policy = policy;
        self
    }

    pub(crate) fn policy(&self) -> SendPolicy {
        self.policy
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
            return Ok(told(chain, |chain| Head::from(chain.head())).await?);
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

    /// A block; none where the chain is shorter.
    ///
    /// # Errors
    /// The node cannot be reached.
    pub async fn block(&self, number: u64) -> Result<Option<Head>, NetworkError> {
        if let Some(chain) = &self.embedded {
            let block = told(chain, |chain| chain.block(number)).await?;
            let block = block.map_err(TransportErrorKind::custom)?;
            return Ok(block.as_ref().map(Head::from));
        }
        let block = self.provider.get_block_by_number(number.into()).await?;
        Ok(block.map(|block| Head {
            number: block.header.number,
            hash: block.header.hash,
            time: block.header.timestamp,
        }))
    }

    /// Transactions that an address has sent, those that wait for a block included: the median where several nodes count.
    pub(crate) async fn count_of(&self, address: Address) -> Result<u64, TransportError> {
        match &self.quorum {
            Some(quorum) => quorum.count_of(address).await,
            None => self.provider.get_transaction_count(address).pending().await,
        }
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
            let logs = told(chain, |chain| chain.logs(&filter)).await?;
            return logs.map_err(TransportErrorKind::custom);
        }
        let filter = Filter::new()
            .address(addresses)
            .from_block(from)
            .to_block(to);
        let logs = self.provider.get_logs(&filter).await?;
        Ok(logs.into_iter().filter_map(entry).collect())
    }
}

/// What a chain says, when what it can have said it from is on disk.
pub(crate) async fn told<T>(
    chain: &SharedChain,
    what: impl FnOnce(&mut Chain) -> T,
) -> Result<T, TransportError> {
    let (value, shown) = {
        let mut chain = chain.lock();
        (what(&mut chain), chain.shown())
    };
    let on_disk = chain.on_disk(shown).await;
    on_disk.map_err(TransportErrorKind::custom)?;
    Ok(value)
}

/// What may be shown of an address: user, path and query may hold keys.
fn shown(url: &reqwest::Url) -> String {
    let port = url
        .port()
        .map_or_else(String::new, |port| format!(":{port}"));
    format!(
        "{}://{}{port}",
        url.scheme(),
        url.host_str().unwrap_or_default()
    )
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Genesis;

    #[tokio::test]
    async fn what_could_not_be_written_is_told_to_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let mut chain = Chain::open(folder.path(), Genesis::default()).unwrap();
        chain.stop_writing(folder.path());
        let chain = SharedChain::new(chain);
        let endpoint = Endpoint::in_process(chain.clone());
        assert_eq!(endpoint.head().await.unwrap().number, 0);
        chain.mine().unwrap_err();
        assert_eq!(chain.lock().head().number, 1);
        endpoint.head().await.unwrap_err();
        endpoint.block(1).await.unwrap_err();
        endpoint.logs(Vec::new(), 0, 1).await.unwrap_err();
        endpoint.provider().get_block_number().await.unwrap_err();
    }
}
