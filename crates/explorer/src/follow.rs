//! Following a chain: its logs into the index, its records into the board, what is new onto the bus.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gavel_node::{B256, Mirror, NodeError};
use gavel_settlement::alloy::providers::Provider as _;
use gavel_settlement::{FullBlock, LoggedEvent, Network, NetworkError, ProtocolEvent};
use serde_json::json;
use tokio::task::JoinSet;

use crate::asset::Asset;
use crate::catalogue::Catalogue;
use crate::forks::Forks;
use crate::index::Index;
use crate::index::ledger::Ledger;
use crate::index::transaction::Transaction;
use crate::news::{News, Telling};
use crate::pulse::Pulse;
use crate::state::{Options, Shared, wall_ms};
use crate::trust::Trust;
use crate::{Limits, views};

/// Blocks asked for in one request: what public nodes accept.
const BLOCKS_AT_ONCE: u64 = 2_000;
/// Between two signs of life to those who listen.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// Longest pause after a chain that cannot be read.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Reads a chain into what the server answers from.
#[derive(Debug)]
pub struct Follower {
    network: Network,
    mirror: Mirror,
    shared: Arc<Shared>,
    catalogue: Arc<Catalogue>,
    limits: Limits,
    forks: Option<Forks>,
    /// First block whose logs have not been read.
    next: u64,
    /// The newest block that was read.
    stood: Option<(u64, B256)>,
    /// Whether what was read up to there is not all in the answers: a read broke off.
    unfinished: bool,
    /// Whether parameters have changed since it was asked who may change them.
    trust_is_old: bool,
    /// Newer blocks that held events, to find where a reorg began.
    trail: Vec<(u64, B256)>,
    /// After a reorg: the index that takes the old one's place once it is there, and the last block that both have.
    rebuilt: Option<(Index, u64)>,
    /// What nobody has been told yet.
    news: News,
}

/// Blocks remembered to find where a reorg began.
const TRAIL: usize = 256;

fn index(catalogue: &Arc<Catalogue>, limits: Limits, network: &Network) -> Index {
    let d = network.deployment();
    Index::new(Arc::clone(catalogue), limits, d.vault, d.audits)
}

fn replaced(block: u64) -> NodeError {
    NodeError::Read {
        what: format!("block {block}"),
        reason: "it was replaced while it was read".to_owned(),
    }
}

/// Tells those who listen that the server is there, whatever it is busy with.
async fn show_life(shared: Arc<Shared>) {
    let mut beat = tokio::time::interval(SIGN_OF_LIFE);
    loop {
        beat.tick().await;
        shared.bus.comment();
    }
}

async fn look_for_forks(mut forks: Forks, shared: Arc<Shared>, pause: Duration) {
    loop {
        forks.look(&shared).await;
        tokio::time::sleep(pause).await;
    }
}

impl Follower {
    pub(crate) fn new(network: Network, options: &Options) -> (Follower, Arc<Shared>) {
        let catalogue = Arc::new(options.catalogue.clone());
        let empty = index(&catalogue, options.limits, &network);
        let deployment = network.deployment().clone();
        let next = deployment.deploy_block;
        let shared = Shared::new(empty, deployment, options, Arc::clone(&catalogue));
        let shared = Arc::new(shared);
        let follower = Follower {
            mirror: Mirror::new(network.clone()),
            network,
            shared: Arc::clone(&shared),
            catalogue,
            limits: options.limits,
            forks: None,
            next,
            stood: None,
            unfinished: true,
            trust_is_old: true,
            trail: Vec::new(),
            rebuilt: None,
            news: News::default(),
        };
        (follower, shared)
    }

    /// Computes the values at the forks of disputes with what this party has.
    pub fn with_party(mut self, party: gavel_node::Party) -> Follower {
        self.forks = Some(Forks::new(party));
        self
    }

    /// The books, as they stand.
    pub fn books(&self) -> Ledger {
        self.shared.read().index.ledger().clone()
    }

    /// How the server is, for whoever watches it.
    pub fn pulse(&self) -> Pulse {
        Pulse(Arc::clone(&self.shared))
    }

    /// Reads until `stop` resolves, looking every `pause` while nothing is new.
    pub async fn run(mut self, stop: impl Future<Output = ()>, pause: Duration) {
        let mut stop = std::pin::pin!(stop);
        // beside the reading: a fork costs whole inferences; dropped, and with that stopped, at the end
        let mut aside = JoinSet::new();
        aside.spawn(show_life(Arc::clone(&self.shared)));
        if let Some(forks) = self.forks.take() {
            aside.spawn(look_for_forks(forks, Arc::clone(&self.shared), pause));
        }
        let mut wait = pause;
        loop {
            let read = tokio::select! {
                biased;
                () = &mut stop => return,
                read = self.refresh() => read,
            };
            wait = match read {
                Ok(()) => pause,
                Err(_) => (2 * wait).min(PAUSE_MAX),
            };
            tokio::select! {
                () = &mut stop => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Brings what the server answers from up to the newest block.
    ///
    /// # Errors
    /// The chain cannot be read; it is said in `/status`, and the next refresh goes on.
    pub async fn refresh(&mut self) -> Result<(), NodeError> {
        let read = self.read().await;
        if let Err(error) = &read {
            let mut state = self.shared.write();
            state.error = Some(error.to_string());
        }
        read?;
        self.shared.looks.fetch_add(1, Ordering::Relaxed);
        if let Some(forks) = &mut self.forks {
            forks.look(&self.shared).await;
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), NodeError> {
        let board = self.mirror.refresh().await?;
        let head = board.head;
        if self.stood == Some((head.number, head.hash)) && !self.unfinished {
            let mut state = self.shared.write();
            state.error = None;
            // the embedded chain's clock runs between blocks as well
            if state.board.head.time != head.time {
                Arc::make_mut(&mut state.board).head.time = head.time;
                state.wall_ms = wall_ms();
                state.version += 1;
            }
            return Ok(());
        }
        let board = Arc::new(board.clone());
        self.unfinished = true;
        if let Some(common) = self.reorganised().await? {
            // a second reorg while the first is made up for: what is shown is older than both
            let shown = self.rebuilt.as_ref().map(|(_, common)| *common);
            let common = shown.map_or(common, |shown| shown.min(common));
            (self.next, self.stood) = (self.network.deployment().deploy_block, None);
            self.trail.clear();
            self.news.clear();
            let empty = index(&self.catalogue, self.limits, &self.network);
            self.rebuilt = Some((empty, common));
        }
        // a first sync and what comes back after a reorg are nobody's news
        let is_news = self.shared.read().read && self.rebuilt.is_none();
        while self.next <= head.number {
            let to = head
                .number
                .min(self.next.saturating_add(BLOCKS_AT_ONCE - 1));
            // asked for before its logs: where it is replaced between the two, the next read finds that out
            let end = match to == head.number {
                true => (to, head.hash),
                false => self.block_at(to).await?,
            };
            let transactions = self.transactions(self.next, to).await?;
            let mut state = self.shared.write();
            let own = match &mut self.rebuilt {
                Some((rebuilt, _)) => rebuilt,
                None => &mut state.index,
            };
            for tx in &transactions {
                let line = own.apply(tx, &board);
                if is_news {
                    self.news.add(line);
                }
                self.trail.push((tx.block, tx.block_hash));
                self.trust_is_old |= tx
                    .events
                    .iter()
                    .any(|event| matches!(event, ProtocolEvent::Parameters(_)));
            }
            state.behind = head.number - to;
            drop(state);
            self.next = to + 1;
            self.stood = Some(end);
            let old = self.trail.len().saturating_sub(TRAIL);
            self.trail.drain(..old);
        }
        let trust = match self.trust_is_old {
            true => Some(Trust::read(&self.network).await?),
            false => None,
        };
        let is_unnamed = self.shared.read().asset.is_none();
        let asset = match is_unnamed {
            true => Some(Asset::read(&self.network).await),
            false => None,
        };
        (self.trust_is_old, self.unfinished) = (false, false);
        let mut state = self.shared.write();
        let common = self.rebuilt.take().map(|(rebuilt, common)| {
            state.index = rebuilt;
            state.forks.clear();
            common
        });
        state.board = board;
        state.trust = trust.or(state.trust.take());
        state.asset = asset.or(state.asset.take());
        (state.wall_ms, state.read, state.behind, state.error) = (wall_ms(), true, 0, None);
        state.version += 1;
        let bus = &self.shared.bus;
        match (common, self.news.take()) {
            (Some(common), _) => {
                self.shared.reorgs.fetch_add(1, Ordering::Relaxed);
                bus.send("reorg", &json!({ "to": common }));
            }
            (None, Telling::Reset) => bus.send("reset", &json!({})),
            (None, Telling::Lines(lines)) => {
                for line in &lines {
                    bus.send("activity", &views::line(&state.index, line));
                }
            }
            (None, Telling::Newest(line, before)) => {
                let mut told = views::line(&state.index, &line);
                told["skipped"] = before.into();
                bus.send("activity", &told);
            }
        }
        bus.send(
            "head",
            &json!({"number": head.number, "hash": head.hash, "time": head.time, "clock": self.shared.clock(&state)}),
        );
        Ok(())
    }

    /// Where a reorg began, if blocks that were read have left the chain.
    async fn reorganised(&self) -> Result<Option<u64>, NodeError> {
        let Some(stood) = self.stood else {
            return Ok(None);
        };
        if self.is_on_chain(stood).await? {
            return Ok(None);
        }
        for block in self.trail.iter().rev() {
            if self.is_on_chain(*block).await? {
                return Ok(Some(block.0));
            }
        }
        Ok(Some(self.network.deployment().deploy_block))
    }

    async fn is_on_chain(&self, (number, hash): (u64, B256)) -> Result<bool, NodeError> {
        let block = self.network.block(number).await?;
        Ok(block.is_some_and(|block| block.hash == hash))
    }

    async fn block_at(&self, number: u64) -> Result<(u64, B256), NodeError> {
        let block = self.network.block(number).await?;
        let block = block.ok_or_else(|| replaced(number))?;
        Ok((number, block.hash))
    }

    /// The protocol's transactions in a range of blocks.
    async fn transactions(&self, from: u64, to: u64) -> Result<Vec<Transaction>, NodeError> {
        let logs = self.network.logs(from, to).await?;
        let mut blocks: Vec<Vec<LoggedEvent>> = Vec::new();
        for logged in logs {
            match blocks.last_mut() {
                Some(block)
                    if block
                        .first()
                        .is_some_and(|l| l.block_number == logged.block_number) =>
                {
                    block.push(logged);
                }
                _ => blocks.push(vec![logged]),
            }
        }
        let number = |logs: &Vec<LoggedEvent>| logs.first().map(|l| l.block_number);
        let numbers = blocks.iter().filter_map(number).collect();
        let full = self.network.endpoint().full_blocks(numbers).await;
        let full = full.map_err(NetworkError::from)?;
        let mut out = Vec::new();
        for (logs, block) in blocks.into_iter().zip(full) {
            out.extend(self.block(logs, block).await?);
        }
        Ok(out)
    }

    /// The transactions of one block, from its logs.
    async fn block(
        &self,
        logs: Vec<LoggedEvent>,
        block: Option<FullBlock>,
    ) -> Result<Vec<Transaction>, NodeError> {
        let Some((number, hash)) = logs.first().map(|l| (l.block_number, l.block_hash)) else {
            return Ok(Vec::new());
        };
        let moved = || replaced(number);
        let block = block.filter(|block| block.hash == hash).ok_or_else(moved)?;
        let sent = &block.transactions;
        let mut out: Vec<Transaction> = Vec::new();
        for logged in logs {
            match out.last_mut() {
                Some(tx) if tx.hash == logged.transaction_hash => tx.events.push(logged.event),
                _ => {
                    let own = sent.iter().find(|tx| tx.hash == logged.transaction_hash);
                    let own = own.ok_or_else(moved)?;
                    out.push(Transaction {
                        hash: logged.transaction_hash,
                        block: number,
                        block_hash: hash,
                        time: block.time,
                        from: own.from,
                        input: own.input.clone(),
                        gas: (sent.len() == 1).then_some(block.gas_used),
                        events: vec![logged.event],
                    });
                }
            }
        }
        for tx in out.iter_mut().filter(|tx| tx.gas.is_none()) {
            let is_game = |e: &ProtocolEvent| {
                matches!(e, ProtocolEvent::Court(_) | ProtocolEvent::Appeals(_))
            };
            if tx.events.iter().any(is_game) {
                let provider = self.network.provider();
                let receipt = provider.get_transaction_receipt(tx.hash).await;
                tx.gas = receipt.map_err(NetworkError::from)?.map(|r| r.gas_used);
            }
        }
        Ok(out)
    }
}
