//! Keeping a board in step with a chain.

use gavel_settlement::alloy::primitives::U256;
use gavel_settlement::alloy::providers::Provider as _;
use gavel_settlement::bindings::StakeVault;
use gavel_settlement::{Network, NetworkError};

use crate::NodeError;

use super::history::{Touched, apply};
use super::records;
use super::{AuditEntry, Board, Contracts, Head};

/// Blocks asked for in one request: what public nodes accept.
const BLOCKS_AT_ONCE: u64 = 2_000;

/// A board and the chain that it mirrors. Reads logs forward from where it stands, and again the records that
/// they touch; after a reorg it starts over. A process has one mirror and shows its board to all its roles.
///
/// Records are read at the chain's newest state, which may be a block ahead of the logs: decisions made on such
/// a board are refused by the contracts at worst, and the next refresh heals it.
#[derive(Debug)]
pub struct Mirror {
    network: Network,
    board: Board,
    /// First block that has not been read.
    next: u64,
    /// Events read so far.
    events: u64,
}

impl Mirror {
    /// A mirror that has read nothing.
    pub fn new(network: Network) -> Mirror {
        let deployment = network.deployment();
        Mirror {
            next: deployment.deploy_block,
            board: Board {
                chain_id: deployment.chain_id,
                contracts: Contracts {
                    asset: deployment.token,
                    parameters: deployment.parameters,
                    beacon: deployment.beacon,
                    vault: deployment.vault,
                    pool: deployment.pool,
                    market: deployment.market,
                    court: deployment.court,
                    audits: deployment.audits,
                    appeal_levels: deployment.appeal_levels,
                },
                ..Board::default()
            },
            events: 0,
            network,
        }
    }

    /// The board as of the last refresh.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Brings the board up to the newest block.
    ///
    /// # Errors
    /// The chain cannot be asked. The board stays what it was, or is further on; the next refresh goes on.
    pub async fn refresh(&mut self) -> Result<&Board, NodeError> {
        if self.board.beacon.period == 0 {
            self.read_beacon().await?;
        }
        let head = self.head().await?;
        if head.hash == self.board.head.hash {
            self.board.head.time = head.time;
            return Ok(&self.board);
        }
        if self.is_reorganised().await? {
            *self = Mirror::new(self.network.clone());
            self.read_beacon().await?;
        }
        while self.next <= head.number {
            let to = head
                .number
                .min(self.next.saturating_add(BLOCKS_AT_ONCE - 1));
            let logs = self.network.logs(self.next, to).await?;
            // Everything of a range is put into a copy first: an error in the middle loses nothing and doubles nothing.
            let (mut board, mut touched, mut events) =
                (self.board.clone(), Touched::default(), self.events);
            for logged in &logs {
                apply(&mut board, &mut touched, logged, events)?;
                events += 1;
            }
            read(&self.network, &mut board, &touched).await?;
            (self.board, self.events, self.next) = (board, events, to + 1);
        }
        self.board.head = head;
        Ok(&self.board)
    }

    async fn head(&self) -> Result<Head, NodeError> {
        let head = self.network.head().await?;
        // the embedded chain's clock runs ahead of its blocks, and a block made now has its time
        let clock = self.network.embedded().map_or(0, |chain| chain.now());
        Ok(Head {
            number: head.number,
            hash: head.hash,
            time: head.time.max(clock),
        })
    }

    /// Whether the block that the board stands on has left the chain.
    async fn is_reorganised(&self) -> Result<bool, NodeError> {
        let stood = self.board.head;
        if stood.hash.is_zero() {
            return Ok(false);
        }
        let block = self
            .network
            .provider()
            .get_block_by_number(stood.number.into())
            .await
            .map_err(NetworkError::from)?;
        Ok(block.is_none_or(|block| block.header.hash != stood.hash))
    }

    async fn read_beacon(&mut self) -> Result<(), NodeError> {
        let beacon = self.network.beacon();
        let failed = |e| unread("the beacon", e);
        self.board.beacon.genesis = beacon.genesis().call().await.map_err(failed)?;
        self.board.beacon.period = beacon.period().call().await.map_err(failed)?;
        Ok(())
    }
}

fn unread(what: impl Into<String>, error: impl std::fmt::Display) -> NodeError {
    NodeError::Read {
        what: what.into(),
        reason: error.to_string(),
    }
}

/// Reads everything again that logs have touched.
async fn read(network: &Network, board: &mut Board, touched: &Touched) -> Result<(), NodeError> {
    let market = network.market();
    for number in &touched.tasks {
        let failed = |e| unread(format!("task {number}"), e);
        let key = U256::from(*number);
        let Some(entry) = board.tasks.get_mut(number) else {
            continue;
        };
        entry.task = records::task(&market.task(key).call().await.map_err(failed)?)?;
        if entry.rules == 0 {
            entry.rules = market.rulesOf(key).call().await.map_err(failed)?;
        }
        let root = market.level1RootOf(key).call().await.map_err(failed)?;
        entry.level1_root = records::digest(root);
    }
    let court = network.court();
    for number in &touched.disputes {
        let failed = |e| unread(format!("dispute {number}"), e);
        let found = court.dispute(U256::from(*number)).call().await;
        if let Some(entry) = board.disputes.get_mut(number) {
            entry.dispute = records::dispute(&found.map_err(failed)?)?;
        }
    }
    let levels = network.appeal_levels();
    for number in &touched.appeals {
        let failed = |e| unread(format!("the appeal of dispute {number}"), e);
        let court = board.contracts.court;
        let found = levels.game(court, U256::from(*number)).call().await;
        if let Some(entry) = board.disputes.get_mut(number) {
            entry.appeal.game = Some(records::appeal_game(&found.map_err(failed)?)?);
        }
    }
    let vault = network.vault();
    for key in &touched.providers {
        let failed = |e| unread(format!("provider {key}"), e);
        let call = StakeVault::providerCall { key: *key };
        let found = records::provider(&vault.call_builder(&call).call().await.map_err(failed)?);
        // a challenger is not always a provider
        if found.registered_at != 0 {
            board.providers.insert(*key, found);
        }
    }
    let audits = network.audits();
    for number in &touched.audits {
        let failed = |e| unread(format!("the audits of task {number}"), e);
        for attempt in 0..=board.task(*number).map_or(0, |task| task.attempt) {
            let found = audits.audit(U256::from(*number), attempt).call().await;
            let audit = records::audit(&found.map_err(failed)?)?;
            board
                .audits
                .insert((*number, attempt), AuditEntry { audit });
        }
    }
    if touched.bonds {
        let open = board.challenges.iter_mut();
        for ((task, attempt, challenger), entry) in open.filter(|(_, c)| !c.closed) {
            let failed = |e| unread(format!("a challenge of task {task}"), e);
            let found = court
                .challengeOf(U256::from(*task), *attempt, *challenger)
                .call()
                .await
                .map_err(failed)?;
            entry.closed = found.bond == 0;
        }
    }
    Ok(())
}
