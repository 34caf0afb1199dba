//! Whoever takes part in a beacon of secrets: commits one to the rounds that somebody waits for, and reveals it.
//!
//! A secret that is not revealed in time costs the bond. So it is in the database before its commitment is signed, it follows
//! from the key where the database is lost, and nothing is committed to that there may be no time or no coin to reveal.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use gavel_settlement::Network;
use gavel_settlement::alloy::primitives::{U256, keccak256};
use gavel_settlement::alloy::providers::Provider as _;
use gavel_settlement::alloy::sol_types::SolValue as _;
use gavel_settlement::amount::{exact, tokens};
use gavel_settlement::bindings::{CommitRevealBeacon, DevToken};
use gavel_state::{Change, Table};
use serde::{Deserialize, Serialize};

use super::keeper::awaited;
use crate::board::{SecretRounds, unread};
use crate::protection::ProtectionError;
use crate::{Act, Address, B256, Board, NodeError, Party, Role};

/// Shortest round to take part in, unless told otherwise.
pub const LEAST_REVEAL_SECONDS: u64 = 3;
/// Gas of a commitment and of the reveal that makes the value, and more: `contracts/snapshots/beacon.json`.
const GAS: u128 = 200_000;
/// Times today's price that a reveal may have to pay.
const DEARER: u128 = 4;

/// What the contract knows of a participant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// It has put up the bond.
    pub joined: bool,
    /// The round that it committed to last; 0 before the first.
    pub round: u64,
    /// The commitment.
    pub commitment: B256,
    /// Its secret was revealed.
    pub revealed: bool,
    /// Commitments to that round, its own included.
    pub commits: u32,
    /// The round before the one that is open for commitments waits for secrets, and has all it needs if they come.
    pub under_way: bool,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Put up the bond.
    Join,
    /// Commit to this round.
    Commit(u64),
    /// Reveal the secret of this round.
    Reveal(u64),
    /// Take the bond back.
    Leave,
    /// Nothing yet: a commitment binds, or nobody waits for a round.
    Wait,
    /// Nothing any more: nothing is owed.
    Done,
    /// The secret of this round was not revealed in time.
    Out(u64),
}

impl Standing {
    /// What a participant does at `now`, where somebody waits for these rounds. Who is `ending` commits to nothing more, and
    /// takes the bond back if it `leaves`.
    pub fn step(
        &self,
        rounds: &SecretRounds,
        awaited: &[u64],
        now: u64,
        ending: bool,
        leaves: bool,
    ) -> Step {
        let round = self.round;
        if self.joined && round != 0 && !self.revealed {
            if now < rounds.time_of(round) {
                return Step::Wait;
            }
            // below the quorum nothing is owed
            if self.commits >= rounds.quorum {
                return match now <= rounds.closes(round) {
                    true => Step::Reveal(round),
                    false => Step::Out(round),
                };
            }
        }
        if ending {
            return match self.joined && leaves {
                true => Step::Leave,
                false => Step::Done,
            };
        }
        if !self.joined {
            return Step::Join;
        }
        let open = rounds.round_after(now);
        // a commitment that comes late is refused, and paid for
        if rounds.time_of(open).saturating_sub(now) <= rounds.period / 8 {
            return Step::Wait;
        }
        let opened = rounds.time_of(open.saturating_sub(1));
        // what is under way is likely to come to a value: a commitment in case it does not comes in the second half
        let is_late = now >= opened.saturating_add(rounds.period / 2);
        let wanted = |first: &u64| match first.cmp(&open) {
            std::cmp::Ordering::Less => !self.under_way || is_late,
            std::cmp::Ordering::Equal => true,
            std::cmp::Ordering::Greater => false,
        };
        match awaited.iter().any(wanted) {
            true => Step::Commit(open),
            false => Step::Wait,
        }
    }
}

/// A secret as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    secret: B256,
    /// It may be known to others: nothing is committed to it any more, whatever a reorg makes undone.
    shown: bool,
}

/// Takes part in the beacon.
pub struct Participant {
    party: Party,
    least_reveal: u64,
    ending: Arc<AtomicBool>,
    leaves: bool,
    free: Arc<AtomicBool>,
    /// What was read last: at which block, and with which round open.
    seen: Option<((B256, u64), Standing)>,
    /// Rounds whose secrets are kept, once that was looked up.
    kept: Option<BTreeSet<u64>>,
}

impl Participant {
    /// Somebody who takes part until its process ends.
    pub fn new(party: Party) -> Participant {
        Participant {
            party,
            least_reveal: LEAST_REVEAL_SECONDS,
            ending: Arc::default(),
            leaves: false,
            free: Arc::default(),
            seen: None,
            kept: None,
        }
    }

    /// Takes part only where rounds are this long, in seconds.
    pub fn with_least_reveal(mut self, seconds: u64) -> Participant {
        self.least_reveal = seconds;
        self
    }

    /// From when the flag is set on commits to nothing more.
    pub fn ending(mut self, flag: Arc<AtomicBool>) -> Participant {
        self.ending = flag;
        self
    }

    /// Takes its bond back when it ends.
    pub fn leaving(mut self) -> Participant {
        self.leaves = true;
        self
    }

    /// Set while it may end: it owes nothing, and has its bond back where it leaves, or has lost it.
    pub fn is_free(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.free)
    }

    async fn look(&mut self, board: &Board, rounds: &SecretRounds) -> Result<Standing, NodeError> {
        let open = rounds.round_after(board.now());
        let at = (board.head.hash, open);
        if let Some((seen, standing)) = &self.seen
            && *seen == at
        {
            return Ok(*standing);
        }
        let network = self.party.account.network();
        let standing = standing(network, rounds, self.party.address(), open).await?;
        self.seen = Some((at, standing));
        Ok(standing)
    }

    /// Approves exactly the bond, then puts it up.
    async fn join(&self, board: &Board, rounds: &SecretRounds) -> Result<Option<Act>, NodeError> {
        if rounds.period < self.least_reveal {
            let (period, least) = (rounds.period, self.least_reveal);
            return Err(NodeError::ShortRounds { period, least });
        }
        let (me, at) = (self.party.address(), rounds.address);
        let token = self.party.account.network().token();
        let failed = |e| unread("the wallet", e);
        let wallet = token.balanceOf(me).call().await.map_err(failed)?;
        if wallet < U256::from(rounds.bond) {
            let (bond, found) = (exact(rounds.bond), exact(wallet.saturating_to()));
            return Err(NodeError::BeaconBond { bond, found });
        }
        let allowed = token.allowance(me, at).call().await.map_err(failed)?;
        if allowed < U256::from(rounds.bond) {
            let call = DevToken::approveCall {
                spender: at,
                value: U256::from(rounds.bond),
            };
            let what = "allows the beacon to take its bond";
            return self.party.act(board, *token.address(), call, what).await;
        }
        let what = format!("joins the beacon with a bond of {}", tokens(rounds.bond));
        let call = CommitRevealBeacon::joinCall {};
        self.party.act(board, at, call, what).await
    }

    async fn commit(
        &mut self,
        board: &Board,
        rounds: &SecretRounds,
        round: u64,
    ) -> Result<Option<Act>, NodeError> {
        if rounds.period < self.least_reveal {
            let (period, least) = (rounds.period, self.least_reveal);
            return Err(NodeError::ShortRounds { period, least });
        }
        self.can_pay(round).await?;
        let kept = self.keep(rounds, round).await?;
        if kept.shown {
            return Ok(None);
        }
        let commitment = self.commitment(rounds, round, &kept.secret);
        let what = format!("commits a secret to round {round} of the beacon");
        let call = CommitRevealBeacon::commitCall { round, commitment };
        // a commitment that comes later is refused
        let party = (self.party).until(Some(rounds.time_of(round).saturating_sub(1)));
        party.act(board, rounds.address, call, what).await
    }

    async fn reveal(
        &mut self,
        board: &Board,
        rounds: &SecretRounds,
        standing: &Standing,
    ) -> Result<Option<Act>, NodeError> {
        let round = standing.round;
        let kept = self.keep(rounds, round).await?;
        if self.commitment(rounds, round, &kept.secret) != standing.commitment {
            let reason = "this key has committed to another secret than the one that is kept here: the process that did so \
                          has to reveal it"
                .to_owned();
            return Err(NodeError::Beacon { round, reason });
        }
        if !kept.shown {
            let shown = Kept {
                shown: true,
                ..kept
            };
            let change = Change::Put(Table::Secrets, key(round), written(&shown));
            self.party.protection.store().write(&[change]).await?;
        }
        let what = format!("reveals its secret of round {round} of the beacon");
        let call = CommitRevealBeacon::revealCall {
            secret: kept.secret,
        };
        let party = self.party.until(Some(rounds.closes(round)));
        party.act(board, rounds.address, call, what).await
    }

    /// The secret of a round, on disk when this returns: the one that is there, or the one that follows from the key.
    async fn keep(&mut self, rounds: &SecretRounds, round: u64) -> Result<Kept, NodeError> {
        let purpose = format!("beacon {:#x}", rounds.address);
        let new = Kept {
            secret: self.party.secret(&purpose, round, 0)?,
            shown: false,
        };
        let store = self.party.protection.store();
        let there = store
            .insert(Table::Secrets, &key(round), &written(&new))
            .await?;
        if let Some(kept) = &mut self.kept {
            kept.insert(round);
        }
        there.map_or(Ok(new), |text| read(&key(round), &text))
    }

    /// Forgets what is over; a round longer than that it may be made undone by a reorg.
    async fn forget(&mut self, rounds: &SecretRounds, now: u64) -> Result<(), NodeError> {
        let store = Arc::clone(self.party.protection.store());
        let kept = match &mut self.kept {
            Some(kept) => kept,
            none => {
                let rows = store.scan(Table::Secrets).await?;
                let parse = |(key, _): &(String, String)| key.parse().map_err(|_| unreadable(key));
                none.insert(rows.iter().map(parse).collect::<Result<_, _>>()?)
            }
        };
        let is_over = |round: &&u64| now >= rounds.time_of(round.saturating_add(2));
        let over: Vec<u64> = kept.iter().filter(is_over).copied().collect();
        if over.is_empty() {
            return Ok(());
        }
        let gone = over
            .iter()
            .map(|round| Change::Delete(Table::Secrets, key(*round)));
        store.write(&gone.collect::<Vec<_>>()).await?;
        kept.retain(|round| !over.contains(round));
        Ok(())
    }

    /// P-B3: `keccak256(abi.encode(chainId, beacon, round, participant, secret))`.
    fn commitment(&self, rounds: &SecretRounds, round: u64, secret: &B256) -> B256 {
        let chain = U256::from(self.party.contracts().chain_id);
        let bound = (
            chain,
            rounds.address,
            U256::from(round),
            self.party.address(),
            *secret,
        );
        keccak256(bound.abi_encode())
    }

    /// Whether there is coin for a reveal that is much dearer than it would be now.
    async fn can_pay(&self, round: u64) -> Result<(), NodeError> {
        let network = self.party.account.network();
        if network.embedded().is_some() {
            return Ok(());
        }
        let provider = network.provider();
        let failed = |e| unread("the wallet", e);
        let price = provider.get_gas_price().await.map_err(failed)?;
        let coin = provider
            .get_balance(self.party.address())
            .await
            .map_err(failed)?;
        let wanted = U256::from(price.saturating_mul(GAS * DEARER));
        match coin >= wanted {
            true => Ok(()),
            false => Err(NodeError::Beacon {
                round,
                reason: format!(
                    "no secret is committed to it: the wallet has {coin} wei, and to reveal one may take {wanted}"
                ),
            }),
        }
    }
}

/// What the contract knows of somebody, with this round open for commitments.
///
/// # Errors
/// The chain cannot be asked.
pub async fn standing(
    network: &Network,
    rounds: &SecretRounds,
    who: Address,
    open: u64,
) -> Result<Standing, NodeError> {
    let contract = CommitRevealBeacon::new(rounds.address, network.provider());
    let failed = |e| unread("the participants of the beacon", e);
    let found = contract.participants(who).call().await.map_err(failed)?;
    let last = contract.rounds(found.round).call().await.map_err(failed)?;
    let before = contract.rounds(open.saturating_sub(1)).call().await;
    let before = before.map_err(failed)?;
    Ok(Standing {
        joined: found.joined,
        round: found.round,
        commitment: found.commitment,
        revealed: found.revealed,
        commits: last.commits,
        under_way: before.commits >= rounds.quorum && before.reveals < before.commits,
    })
}

fn key(round: u64) -> String {
    format!("{round:020}")
}

fn written(kept: &Kept) -> String {
    serde_json::json!(kept).to_string()
}

fn unreadable(what: &str) -> NodeError {
    let what = format!("secret {what}");
    ProtectionError::Unreadable { what }.into()
}

fn read(key: &str, text: &str) -> Result<Kept, NodeError> {
    // the text stays untold: it is a secret
    serde_json::from_str(text).map_err(|_| unreadable(key))
}

#[async_trait]
impl Role for Participant {
    fn name(&self) -> &str {
        &self.party.name
    }

    fn address(&self) -> Address {
        self.party.address()
    }

    async fn tick(&mut self, board: &Board) -> Result<Option<Act>, NodeError> {
        let Some(rounds) = board.beacon.secrets else {
            let address = board.contracts.beacon;
            return Err(NodeError::NoSecrets { address });
        };
        let now = board.now();
        self.forget(&rounds, now).await?;
        let awaited: Vec<u64> = awaited(board)
            .into_iter()
            .filter_map(|round| board.beacon.secrets_for(round, now))
            .collect();
        let ending = self.ending.load(Ordering::Relaxed);
        let standing = self.look(board, &rounds).await?;
        let step = standing.step(&rounds, &awaited, now, ending, self.leaves);
        let left = standing.step(&rounds, &[], now, true, self.leaves);
        let is_free = matches!(left, Step::Done | Step::Out(_));
        self.free.store(is_free, Ordering::Relaxed);
        let act = match step {
            Step::Wait | Step::Done => None,
            Step::Out(round) => return Err(NodeError::SecretWithheld { round }),
            Step::Join => self.join(board, &rounds).await?,
            Step::Commit(round) => self.commit(board, &rounds, round).await?,
            Step::Reveal(_) => self.reveal(board, &rounds, &standing).await?,
            Step::Leave => {
                let what = format!(
                    "takes its bond of {} out of the beacon",
                    tokens(rounds.bond)
                );
                let call = CommitRevealBeacon::leaveCall {};
                self.party.act(board, rounds.address, call, what).await?
            }
        };
        if act.is_some() {
            self.seen = None;
            self.free.store(false, Ordering::Relaxed);
        }
        Ok(act)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUNDS: SecretRounds = SecretRounds {
        address: Address::ZERO,
        genesis: 1_000,
        period: 100,
        quorum: 2,
        bond: 1,
    };

    /// In the middle of the time in which round 8 is open and the secrets of round 7 are revealed.
    const NOW: u64 = 1_000 + 6 * 100 + 20;

    fn joined() -> Standing {
        Standing {
            joined: true,
            ..Standing::default()
        }
    }

    fn committed(round: u64, commits: u32) -> Standing {
        Standing {
            round,
            commits,
            ..joined()
        }
    }

    fn step(standing: Standing, awaited: &[u64], now: u64) -> Step {
        standing.step(&ROUNDS, awaited, now, false, false)
    }

    #[test]
    fn it_commits_to_a_round_that_somebody_waits_for_and_to_no_other() {
        assert_eq!(ROUNDS.round_after(NOW), 8);
        assert_eq!(step(Standing::default(), &[], NOW), Step::Join);
        assert_eq!(step(joined(), &[], NOW), Step::Wait);
        assert_eq!(
            step(joined(), &[9, 12], NOW),
            Step::Wait,
            "they are to come"
        );
        assert_eq!(step(joined(), &[8], NOW), Step::Commit(8));
        let left = |seconds| ROUNDS.time_of(8) - seconds;
        assert_eq!(step(joined(), &[8], left(13)), Step::Commit(8));
        assert_eq!(step(joined(), &[8], left(12)), Step::Wait, "too late");
        // a spoiled round draws by the next that is not
        assert_eq!(step(joined(), &[3], NOW), Step::Commit(8));
        let under_way = Standing {
            under_way: true,
            ..joined()
        };
        assert_eq!(
            step(under_way, &[7], NOW),
            Step::Wait,
            "it may come to a value"
        );
        assert_eq!(step(under_way, &[7], NOW + 30), Step::Commit(8), "or not");
        assert_eq!(step(under_way, &[7, 8], NOW), Step::Commit(8));
    }

    #[test]
    fn a_secret_is_revealed_in_its_period_and_nothing_is_committed_before() {
        let owing = committed(8, 2);
        let opens = ROUNDS.time_of(8);
        for now in opens - 100..opens {
            assert_eq!(step(owing, &[8, 9], now), Step::Wait, "{now}");
        }
        for now in opens..opens + 100 {
            assert_eq!(step(owing, &[8, 9], now), Step::Reveal(8), "{now}");
        }
        assert_eq!(step(owing, &[9], opens + 100), Step::Out(8));
        let revealed = Standing {
            revealed: true,
            ..owing
        };
        assert_eq!(step(revealed, &[9], opens), Step::Commit(9));
        // alone in a round it owes nothing, and goes on to the next
        assert_eq!(step(committed(8, 1), &[8], opens), Step::Commit(9));
        assert_eq!(step(committed(8, 1), &[], opens + 500), Step::Wait);
    }

    #[test]
    fn who_ends_reveals_what_it_owes_and_commits_to_nothing_more() {
        let opens = ROUNDS.time_of(8);
        let ends =
            |standing: Standing, now, leaves| standing.step(&ROUNDS, &[8, 9], now, true, leaves);
        for leaves in [false, true] {
            assert_eq!(ends(committed(8, 2), opens - 1, leaves), Step::Wait);
            assert_eq!(ends(committed(8, 2), opens, leaves), Step::Reveal(8));
            assert_eq!(ends(committed(8, 2), opens + 100, leaves), Step::Out(8));
            assert_eq!(ends(Standing::default(), NOW, leaves), Step::Done);
        }
        assert_eq!(ends(joined(), NOW, false), Step::Done);
        assert_eq!(ends(joined(), NOW, true), Step::Leave);
        assert_eq!(ends(committed(8, 1), opens, true), Step::Leave);
    }

    #[test]
    fn a_row_that_nobody_can_read_is_told_without_its_text() {
        let kept = Kept {
            secret: B256::repeat_byte(7),
            shown: true,
        };
        assert_eq!(read("1", &written(&kept)).unwrap(), kept);
        let text = written(&kept).replace("shown", "seen");
        let told = read("00000000000000000001", &text).unwrap_err().to_string();
        assert!(told.contains("secret 00000000000000000001"), "{told}");
        assert!(!told.contains("0707"), "{told}");
    }
}
