//! Keeping a board in step with a chain.

use std::collections::BTreeSet;

use gavel_settlement::alloy::primitives::U256;
use gavel_settlement::alloy::sol_types::SolCall;
use gavel_settlement::bindings::{
    CommitRevealBeacon, FallbackBeacon, IAppealLevels, IAudits, IBeacon, ICourt, Market, StakeVault,
};
use gavel_settlement::{Network, NetworkError};

use crate::{Address, B256, NodeError};

use super::history::{Touched, apply};
use super::records;
use super::{
    AuditEntry, AuditState, BeaconScheme, Board, ChallengeKey, Contracts, Head, SecretRounds,
};

/// Blocks asked for in one request: what public nodes accept.
const BLOCKS_AT_ONCE: u64 = 2_000;
/// Times that a range is read again because the chain was reorganised meanwhile.
const TRIES: u32 = 5;
/// Deepest reorg after which not everything is read again.
const DEEPEST: u64 = 256;

/// A board and the chain that it mirrors. Reads logs forward from where it stands, and again the records that
/// they touch; after a reorg it goes back to a board before it, and to the first block only if it must. What is read
/// replaces what was there when all of it has been read. A process has one mirror and shows its board to all its roles.
///
/// Records are read at the chain's newest state, which may be a block ahead of the logs: decisions made on such
/// a board are refused by the contracts at worst, and the next refresh heals it.
#[derive(Debug)]
pub struct Mirror {
    network: Network,
    at: Read,
    /// Where it stood before, the oldest first.
    past: Vec<Read>,
}

/// What has been read of the chain.
#[derive(Clone, Debug)]
struct Read {
    board: Board,
    /// First block that has not been read.
    next: u64,
    /// Events read so far.
    events: u64,
    /// The newest block that records can have been read at: they are of the chain as long as it is in it.
    seen: (u64, B256),
    /// Records that were read while the chain moved on, and are read once more.
    again: Touched,
}

impl Read {
    fn nothing(network: &Network) -> Read {
        let deployment = network.deployment();
        Read {
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
                    demands: deployment.demands,
                    traps: deployment.traps,
                },
                ..Board::default()
            },
            events: 0,
            seen: (0, B256::ZERO),
            again: Touched::default(),
        }
    }
}

impl Mirror {
    /// A mirror that has read nothing.
    pub fn new(network: Network) -> Mirror {
        Mirror {
            at: Read::nothing(&network),
            past: Vec::new(),
            network,
        }
    }

    /// The board as of the last refresh.
    pub fn board(&self) -> &Board {
        &self.at.board
    }

    /// Brings the board up to the newest block.
    ///
    /// # Errors
    /// The chain cannot be asked, or does not stand still. The board stays what it was, or is further on; the next
    /// refresh goes on.
    pub async fn refresh(&mut self) -> Result<&Board, NodeError> {
        if self.at.board.beacon.period == 0 {
            read_beacon(&self.network, &mut self.at.board).await?;
        }
        'again: for _ in 0..TRIES {
            let head = self.head().await?;
            if head.hash == self.at.board.head.hash && self.at.again.is_empty() {
                self.at.board.head.time = head.time;
                return Ok(&self.at.board);
            }
            if self.is_of_chain(&self.at, head.number).await? {
                // one range after the other, so that an error does not lose those before it
                loop {
                    let Some(read) = self.read_on(&self.at, head).await? else {
                        continue 'again;
                    };
                    self.stand(read);
                    if self.at.next > head.number {
                        return Ok(&self.at.board);
                    }
                }
            }
            // a reorg is made up for as a whole
            let (mut read, kept) = self.before_the_fork(head.number).await?;
            while read.next <= head.number || !read.again.is_empty() {
                match self.read_on(&read, head).await? {
                    Some(further) => read = further,
                    None => continue 'again,
                }
                if read.next > head.number {
                    break;
                }
            }
            // also where nothing was left to read
            read.board.head = head;
            self.past.truncate(kept);
            self.at = read;
            return Ok(&self.at.board);
        }
        Err(NodeError::Read {
            what: "the chain".to_owned(),
            reason: format!("it was reorganised {TRIES} times while it was read"),
        })
    }

    /// What was read and is still of the chain, and how many of the boards before it.
    async fn before_the_fork(&self, head: u64) -> Result<(Read, usize), NodeError> {
        for (i, read) in self.past.iter().enumerate().rev() {
            if self.is_of_chain(read, head).await? {
                return Ok((read.clone(), i + 1));
            }
        }
        let mut nothing = Read::nothing(&self.network);
        read_beacon(&self.network, &mut nothing.board).await?;
        Ok((nothing, 0))
    }

    /// Whether the blocks that something was read at are in the chain.
    async fn is_of_chain(&self, read: &Read, head: u64) -> Result<bool, NodeError> {
        let stood = read.board.head;
        if stood.hash.is_zero() {
            return Ok(true);
        }
        let (seen, seen_hash) = read.seen;
        // a chain that is shorter now has lost what was seen
        Ok(seen <= head
            && self.hash_of(seen).await? == Some(seen_hash)
            && (seen == stood.number || self.hash_of(stood.number).await? == Some(stood.hash)))
    }

    /// Reads one more range. `None` where the chain was reorganised meanwhile.
    async fn read_on(&self, from: &Read, head: Head) -> Result<Option<Read>, NodeError> {
        let to = head
            .number
            .min(from.next.saturating_add(BLOCKS_AT_ONCE - 1));
        let mut read = from.clone();
        let mut touched = std::mem::take(&mut read.again);
        if from.next <= to {
            let mut news = Touched::default();
            for logged in &self.network.logs(from.next, to).await? {
                apply(&mut read.board, &mut news, logged, read.events)?;
                read.events += 1;
            }
            read.next = to + 1;
            touched.join(&news);
            read.again = news;
        }
        let before = self.network.head().await?;
        records_of(&self.network, &mut read.board, &touched).await?;
        let after = self.network.head().await?;
        if before.hash == after.hash {
            read.again = Touched::default();
        }
        read.seen = (after.number, after.hash);
        read.board.head = match to == head.number {
            true => head,
            false => match self.network.block(to).await? {
                Some(block) => Head {
                    number: block.number,
                    hash: block.hash,
                    time: block.time,
                },
                None => return Ok(None),
            },
        };
        // what was read is of the chain that `head` ends, if it began on it and ends on it
        let is_whole = (after.hash == head.hash
            || self.hash_of(head.number).await? == Some(head.hash))
            && (from.board.head.hash.is_zero()
                || self.hash_of(from.board.head.number).await? == Some(from.board.head.hash));
        Ok(is_whole.then_some(read))
    }

    /// Goes on to what was read, and keeps where it stood: few boards near by, fewer far back.
    fn stand(&mut self, read: Read) {
        let stood = std::mem::replace(&mut self.at, read);
        let next = self.at.next;
        if stood.next < next && !stood.board.head.hash.is_zero() {
            self.past.push(stood);
        }
        let distance = |read: &Read| next.saturating_sub(read.next);
        self.past
            .retain(|read| read.next < next && distance(read) <= DEEPEST);
        // of those that are about as far back, the oldest
        let class = |read: &Read| distance(read).max(1).ilog2() / 2;
        self.past.dedup_by_key(|read| class(read));
    }

    async fn hash_of(&self, number: u64) -> Result<Option<B256>, NodeError> {
        let block = self.network.block(number).await?;
        Ok(block.map(|block| block.hash))
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
}

async fn read_beacon(network: &Network, board: &mut Board) -> Result<(), NodeError> {
    let beacon = network.beacon();
    let failed = |e| unread("the beacon", e);
    board.beacon.genesis = beacon.genesis().call().await.map_err(failed)?;
    board.beacon.drift = beacon.drift().call().await.map_err(failed)?;
    let scheme = BeaconScheme::of(&beacon.scheme().call().await.map_err(failed)?);
    let at = match scheme {
        BeaconScheme::CommitReveal => Some(*beacon.address()),
        BeaconScheme::Fallback => {
            let whole = FallbackBeacon::new(*beacon.address(), network.provider());
            board.beacon.slack = whole.slack().call().await.map_err(failed)?;
            let other = whole.other().call().await.map_err(failed)?;
            let behind = IBeacon::new(other, network.provider());
            let name = behind.scheme().call().await.map_err(failed)?;
            let other_scheme = BeaconScheme::of(&name);
            (other_scheme == BeaconScheme::CommitReveal).then_some(other)
        }
        _ => None,
    };
    board.beacon.secrets = match at {
        Some(address) => Some(secret_rounds(network, address).await?),
        None => None,
    };
    board.beacon.scheme = scheme;
    // last: with it the beacon has been read
    board.beacon.period = beacon.period().call().await.map_err(failed)?;
    Ok(())
}

async fn secret_rounds(network: &Network, address: Address) -> Result<SecretRounds, NodeError> {
    let contract = CommitRevealBeacon::new(address, network.provider());
    let failed = |e| unread("the commit-reveal beacon", e);
    Ok(SecretRounds {
        address,
        genesis: contract.genesis().call().await.map_err(failed)?,
        period: contract.period().call().await.map_err(failed)?,
        quorum: contract.quorum().call().await.map_err(failed)?,
        bond: contract.bond().call().await.map_err(failed)?,
    })
}

pub(crate) fn unread(what: impl Into<String>, error: impl std::fmt::Display) -> NodeError {
    NodeError::Read {
        what: what.into(),
        reason: error.to_string(),
    }
}

/// Reads everything again that logs have touched.
async fn records_of(
    network: &Network,
    board: &mut Board,
    touched: &Touched,
) -> Result<(), NodeError> {
    let contracts = board.contracts;
    let tasks = touched.tasks.iter().copied();
    let tasks: Vec<u64> = tasks.filter(|id| board.tasks.contains_key(id)).collect();
    let is_new = |id: &u64| board.tasks.get(id).is_some_and(|entry| entry.rules == 0);
    let new: Vec<u64> = tasks.iter().copied().filter(is_new).collect();
    let name = |id: &u64| format!("task {id}");
    let call = |id: &u64| Market::taskCall {
        taskId: U256::from(*id),
    };
    for (id, found) in read(network, contracts.market, tasks.clone(), call, name).await? {
        if let Some(entry) = board.tasks.get_mut(&id) {
            entry.task = records::task(&found)?;
        }
    }
    let call = |id: &u64| Market::rulesOfCall {
        taskId: U256::from(*id),
    };
    for (id, found) in read(network, contracts.market, new, call, name).await? {
        if let Some(entry) = board.tasks.get_mut(&id) {
            entry.rules = found;
        }
    }
    let call = |id: &u64| Market::level1RootOfCall {
        taskId: U256::from(*id),
    };
    for (id, found) in read(network, contracts.market, tasks, call, name).await? {
        if let Some(entry) = board.tasks.get_mut(&id) {
            entry.level1_root = records::digest(found);
        }
    }
    let disputes = touched.disputes.iter().copied().collect();
    let name = |id: &u64| format!("dispute {id}");
    let call = |id: &u64| ICourt::disputeCall {
        disputeId: U256::from(*id),
    };
    for (id, found) in read(network, contracts.court, disputes, call, name).await? {
        if let Some(entry) = board.disputes.get_mut(&id) {
            entry.dispute = records::dispute(&found)?;
        }
    }
    let appeals = touched.appeals.iter().copied().collect();
    let name = |id: &u64| format!("the appeal of dispute {id}");
    let call = |id: &u64| IAppealLevels::gameCall {
        court: contracts.court,
        disputeId: U256::from(*id),
    };
    for (id, found) in read(network, contracts.appeal_levels, appeals, call, name).await? {
        if let Some(entry) = board.disputes.get_mut(&id) {
            entry.appeal.game = Some(records::appeal_game(&found)?);
        }
    }
    let providers = touched.providers.iter().copied().collect();
    let name = |key: &Address| format!("provider {key}");
    let call = |key: &Address| StakeVault::providerCall { key: *key };
    for (key, found) in read(network, contracts.vault, providers, call, name).await? {
        let found = records::provider(&found);
        // a challenger is not always a provider
        if found.registered_at != 0 {
            board.providers.insert(key, found);
        }
    }
    let attempts = |id: u64| 0..=board.task(id).map_or(0, |task| task.attempt);
    let audits = touched.audits.iter();
    let audits = audits.flat_map(|&id| attempts(id).map(move |attempt| (id, attempt)));
    let seeded = board.audits.iter().filter(|(_, entry)| {
        entry.audit.state == AuditState::Committed
            && board.beacon.round_after(entry.audit.committed_at) <= touched.newest_round
    });
    let audits: BTreeSet<_> = audits.chain(seeded.map(|(key, _)| *key)).collect();
    let audits = audits.into_iter().collect();
    let name = |(id, _): &(u64, u8)| format!("the audits of task {id}");
    let call = |(id, attempt): &(u64, u8)| IAudits::auditCall {
        taskId: U256::from(*id),
        attempt: *attempt,
    };
    for (key, found) in read(network, contracts.audits, audits, call, name).await? {
        let audit = records::audit(&found)?;
        // an attempt that nothing was decided about has a record of zeros
        match audit.state {
            AuditState::None => board.audits.remove(&key),
            _ => board.audits.insert(key, AuditEntry { audit }),
        };
    }
    if touched.bonds {
        let open = board.challenges.iter().filter(|(_, c)| !c.closed);
        let open = open.map(|(key, _)| *key).collect();
        let name = |(task, ..): &ChallengeKey| format!("a challenge of task {task}");
        let call = |(task, attempt, challenger): &ChallengeKey| ICourt::challengeOfCall {
            taskId: U256::from(*task),
            attempt: *attempt,
            challenger: *challenger,
        };
        for (key, found) in read(network, contracts.court, open, call, name).await? {
            if let Some(entry) = board.challenges.get_mut(&key) {
                entry.closed = found.bond == 0;
            }
        }
    }
    Ok(())
}

/// Reads one record of a contract for each key.
async fn read<K, C: SolCall>(
    network: &Network,
    contract: Address,
    keys: Vec<K>,
    call: impl Fn(&K) -> C,
    name: impl Fn(&K) -> String,
) -> Result<Vec<(K, C::Return)>, NodeError> {
    let calls = keys.iter().map(|key| call(key).abi_encode().into());
    let calls = calls.map(|data| (contract, data)).collect();
    let answers = network.endpoint().calls(calls).await;
    let answers = answers.map_err(NetworkError::from)?;
    let read = keys.into_iter().zip(answers).map(|(key, answer)| {
        let answer = answer.map_err(|e| unread(name(&key), e))?;
        let found = C::abi_decode_returns(&answer).map_err(|e| unread(name(&key), e))?;
        Ok((key, found))
    });
    read.collect()
}
