//! The last revealer of a beacon that is made of secrets, against the contracts.

use std::sync::Arc;

use gavel_economics::{beacon_bond_min, suited};
use gavel_node::board::AuditState;
use gavel_node::roles::{self, JoinOptions, Order, Provider, ProviderPolicy};
use gavel_node::{Address, B256, Blobs, Board, Mirror, Party, Protection, Role as _, U256};
use gavel_settlement::account::dev_key;
use gavel_settlement::alloy::primitives::keccak256;
use gavel_settlement::alloy::sol_types::{SolCall, SolValue as _};
use gavel_settlement::bindings::{CommitRevealBeacon, DevBeacon, DevToken, IAudits};
use gavel_settlement::{Account, BeaconChoice, CommitRevealChoice, Network, SendError};

use super::arena::{Arena, Played};
use super::audits::alone;
use super::ledger::{Entry, Outcome, Side, of_world, ours, told};
use super::{AttackError, Found, Weakened};
use crate::reader::{Reader, units};
use crate::world::runtime;
use crate::{Amount, Change, Stage};

/// The cheat's friend, who reveals last.
const LAST: &str = "Mordred";
/// Honest participants: enough for a round without it.
const HONEST: usize = 3;
/// The bond that is too small.
const TOO_SMALL: u128 = 1;

pub(super) fn last_revealer(arena: &Arena) -> Result<Found, AttackError> {
    let cases = alone(arena)?;
    let params = arena.solved();
    let (numbers, _) = suited(&params, false);
    let stage = &cases[0].stage;
    let least = CommitRevealChoice {
        bond: beacon_bond_min(&params),
        ..numbers
    };
    let small = CommitRevealChoice {
        bond: TOO_SMALL,
        ..numbers
    };
    for choice in [least, small] {
        runtime()?.block_on(Rounds::play(arena, choice))?;
    }
    let (draws, twice) = redrawn(stage)?;
    if draws < 2 || twice {
        return Err(unexpected(
            "a development beacon whose publisher chooses the block, once",
            format!("{draws} values, published twice: {twice}"),
        ));
    }
    Ok(Found {
        at: withheld(arena, &cases, least.bond),
        weakened: Weakened::mechanism(
            "a bond of one unit, which the contract takes and `gavel chain deploy` refuses (P-B4)",
            withheld(arena, &cases, small.bond),
        ),
        evidence: vec![
            "the last of four to reveal knew the value before; without its secret the round was spoiled, and the result \
             audited by another value; its bond and place were lost"
                .into(),
            format!("the least bond is {} tokens", told(Amount(least.bond))),
            format!(
                "no commit-reveal, and worse: one round of the development beacon had {draws} values in {draws} blocks \
                 that it might have been published in"
            ),
        ],
    })
}

/// What withholding brings beyond revealing, to a ring one of whose results an honest auditor was drawn for: the next draw is
/// an audit for certain, and by a friend with the colluding share.
fn withheld(arena: &Arena, cases: &[Arc<Played>; 2], bond: u128) -> Outcome {
    let [caught, escaped] = cases;
    let honest = arena.seen(arena.assumed().colluding_bps);
    let bond = || ours(LAST, "bond of the beacon, burned", -(bond as i128));
    let mut spared = of_world(arena, escaped, &["Mallory"]);
    spared.extend(
        of_world(arena, caught, &["Mallory"])
            .into_iter()
            .map(undone),
    );
    spared.push(bond());
    Outcome::of(vec![
        ("a friend is drawn", honest.not(), spared),
        ("somebody honest is drawn again", honest, vec![bond()]),
    ])
}

/// An entry of what would have come of revealing.
fn undone(entry: Entry) -> Entry {
    Entry {
        what: match entry.side {
            Side::Attacker => format!("spared: {}", entry.what),
            Side::Victim => format!("instead of: {}", entry.what),
        },
        change: Change(-entry.change.0),
        ..entry
    }
}

async fn send<C: SolCall>(who: &Account, to: Address, call: C) -> Result<(), AttackError> {
    who.send(to, call).await?;
    Ok(())
}

fn unexpected(what: &'static str, found: String) -> AttackError {
    let seed = None;
    AttackError::Unexpected { seed, what, found }
}

/// A network that draws by secrets, with a result whose round somebody waits for, honest participants and the last revealer.
struct Rounds {
    stage: Stage,
    reader: Reader,
    beacon: Address,
    people: Vec<Account>,
    task: u64,
}

impl Rounds {
    /// Plays the attack: the value is known before; without the last secret it is gone, and with it the bond; and the result is
    /// audited, whatever is drawn instead.
    async fn play(arena: &Arena, choice: CommitRevealChoice) -> Result<(), AttackError> {
        let rounds = Rounds::open(arena, choice).await?;
        let board = rounds.board().await?;
        let round = board.audit_round(rounds.task);
        let round =
            round.ok_or_else(|| unexpected("a round", "a result without one".to_owned()))?;
        rounds.wait_for(round - 1)?;
        rounds.commit(HONEST + 1, round).await?;
        rounds.wait_for(round)?;
        rounds.reveal_honestly(round).await?;
        // what whoever is left can compute from what is on the chain and its own secret
        let foreseen = rounds.value(round);
        let other = rounds.elsewhere();
        other.reveal(HONEST, round).await?;
        let value = other.valued(round)?;
        rounds.wait_for(round + 1)?;
        rounds.commit(HONEST, round + 2).await?;
        let is_spoiled = rounds.ask(CommitRevealBeacon::spoiledCall { round })?;
        let is_out = rounds.is_refused(HONEST).await?;
        rounds.wait_for(round + 2)?;
        rounds.reveal_honestly(round + 2).await?;
        let drawn = rounds.valued(round)?;
        let is_audited = rounds.is_audited().await?;
        for who in 0..HONEST {
            rounds.leave(who).await?;
        }
        let burned = rounds.bonds()?;
        let seen = [
            value == foreseen,
            drawn != foreseen,
            is_spoiled,
            is_out,
            is_audited,
        ];
        if seen != [true; 5] || burned != choice.bond {
            return Err(unexpected(
                "a value that is foreseen, gone with its last secret and the bond, and an audit all the same",
                format!("{seen:?}, {burned} burned of a bond of {}", choice.bond),
            ));
        }
        Ok(())
    }

    async fn open(arena: &Arena, choice: CommitRevealChoice) -> Result<Rounds, AttackError> {
        let params = arena.after_probation();
        let workload = arena.digits();
        let beacon = BeaconChoice::CommitReveal(choice);
        let stage = Stage::drawn_by(beacon, &params, workload.model()).await?;
        let network = Network::in_process(stage.chain.clone(), stage.deployment.clone());
        let (token, beacon) = (stage.deployment.token, stage.deployment.beacon);
        let deployer = stage.deployer();
        let account = |i: usize| Account::new(dev_key("revealers", i as u32), network.clone());
        let people: Vec<Account> = (0..=HONEST).map(account).collect();
        for who in &people {
            let value = U256::from(choice.bond);
            let to = who.address();
            send(&deployer, token, DevToken::transferCall { to, value }).await?;
            let spender = beacon;
            send(who, token, DevToken::approveCall { spender, value }).await?;
            send(who, beacon, CommitRevealBeacon::joinCall {}).await?;
        }
        let blobs = Blobs::memory();
        let mut parties = Vec::new();
        for (i, name) in ["Rosa", "Mallory", "Ada"].into_iter().enumerate() {
            let account = account(HONEST + 1 + i);
            let value = U256::from(2 * params.stake.minStake);
            let to = account.address();
            send(&deployer, token, DevToken::transferCall { to, value }).await?;
            account.approve_vault().await?;
            parties.push(Party {
                name: name.to_owned(),
                protection: Protection::for_account(&account),
                account,
                executor: Arc::clone(workload.honest()) as _,
                blobs: blobs.clone(),
            });
        }
        let mut mirror = Mirror::new(network.clone());
        let options = JoinOptions {
            stake: params.stake.minStake,
            concurrency: 1,
            classes: vec![workload.model().model_id()],
        };
        for provider in &parties[1..] {
            while roles::join(provider, mirror.refresh().await?, &options)
                .await?
                .is_some()
            {}
        }
        let order = Order {
            model: workload.model().model_id(),
            family: None,
            inputs: workload
                .inputs
                .first()
                .map(|i| i.tensors.clone())
                .unwrap_or_default(),
            seed: 1,
            min_price: params.market.maxTaskPrice / 2,
            max_price: params.market.maxTaskPrice,
            ramp_seconds: 300,
            exec_seconds: None,
        };
        let (task, _) = roles::post(&parties[0], mirror.refresh().await?, &order).await?;
        let policy = ProviderPolicy::honest(1, options.classes);
        let mut cheat = Provider::new(parties[1].clone(), policy);
        // it claims, and commits
        for _ in 0..2 {
            cheat.tick(mirror.refresh().await?).await?;
        }
        Ok(Rounds {
            reader: Reader::new(stage.chain.clone(), stage.deployment.clone()),
            stage,
            beacon,
            people,
            task,
        })
    }

    /// The same on a chain that goes on from here.
    fn elsewhere(&self) -> Rounds {
        let stage = self.stage.fork();
        let network = Network::in_process(stage.chain.clone(), stage.deployment.clone());
        let people = self.people.iter();
        let people = people.map(|a| Account::new(a.signer().clone(), network.clone()));
        Rounds {
            reader: Reader::new(stage.chain.clone(), stage.deployment.clone()),
            beacon: self.beacon,
            people: people.collect(),
            task: self.task,
            stage,
        }
    }

    async fn board(&self) -> Result<Board, AttackError> {
        let network = Network::in_process(self.stage.chain.clone(), self.stage.deployment.clone());
        Ok(Mirror::new(network).refresh().await?.clone())
    }

    /// Has the beacon decide about the result; whether an auditor was drawn.
    async fn is_audited(&self) -> Result<bool, AttackError> {
        let decide = IAudits::decideCall {
            taskId: U256::from(self.task),
        };
        send(&self.people[0], self.stage.deployment.audits, decide).await?;
        let board = self.board().await?;
        let audit = board.audits.get(&(self.task, 0));
        Ok(audit.is_some_and(|entry| entry.audit.state == AuditState::Drawn))
    }

    fn ask<C: SolCall>(&self, call: C) -> Result<C::Return, AttackError> {
        Ok(self.reader.ask(self.beacon, call)?)
    }

    fn secret(who: usize, round: u64) -> B256 {
        keccak256((U256::from(who), U256::from(round)).abi_encode())
    }

    /// P-B3: the value of everybody's secrets.
    fn value(&self, round: u64) -> B256 {
        let people = self.people.iter().enumerate();
        let hashes = people
            .map(|(i, who)| keccak256((who.address(), Rounds::secret(i, round)).abi_encode()));
        let mix = hashes.fold(B256::ZERO, |mix, hash| mix ^ hash);
        let chain = U256::from(self.stage.deployment.chain_id);
        let whole = keccak256((chain, self.beacon, U256::from(round), mix).abi_encode());
        let low = U256::from_be_bytes(whole.0) & ((U256::from(1) << 168) - U256::from(1));
        B256::from(low)
    }

    /// The first so many commit to a round.
    async fn commit(&self, count: usize, round: u64) -> Result<(), AttackError> {
        for (i, who) in self.people.iter().enumerate().take(count) {
            let commitment = self.ask(CommitRevealBeacon::commitmentOfCall {
                round,
                participant: who.address(),
                secret: Rounds::secret(i, round),
            })?;
            let call = CommitRevealBeacon::commitCall { round, commitment };
            send(who, self.beacon, call).await?;
        }
        Ok(())
    }

    async fn reveal(&self, who: usize, round: u64) -> Result<(), AttackError> {
        let secret = Rounds::secret(who, round);
        let call = CommitRevealBeacon::revealCall { secret };
        send(&self.people[who], self.beacon, call).await
    }

    async fn reveal_honestly(&self, round: u64) -> Result<(), AttackError> {
        for who in 0..HONEST {
            self.reveal(who, round).await?;
        }
        Ok(())
    }

    async fn leave(&self, who: usize) -> Result<(), SendError> {
        let leave = CommitRevealBeacon::leaveCall {};
        self.people[who].send(self.beacon, leave).await.map(drop)
    }

    fn wait_for(&self, round: u64) -> Result<(), AttackError> {
        let time = self.ask(CommitRevealBeacon::timeOfCall { round })?;
        self.stage.chain.advance_to(time)?;
        Ok(())
    }

    fn valued(&self, round: u64) -> Result<B256, AttackError> {
        self.ask(CommitRevealBeacon::valueOfCall { round })
    }

    /// Whether it gets no bond back, and commits no more.
    async fn is_refused(&self, who: usize) -> Result<bool, AttackError> {
        let time = self.stage.chain.now();
        let round = self.ask(CommitRevealBeacon::roundAfterCall { time })?;
        let commitment = B256::repeat_byte(1);
        let left = self.leave(who).await;
        let again = CommitRevealBeacon::commitCall { round, commitment };
        let again = self.people[who].send(self.beacon, again).await.map(drop);
        let refused = |sent: &Result<(), SendError>| matches!(sent, Err(SendError::Reverted { error, .. }) if error.starts_with("WithheldSecret"));
        Ok(refused(&left) && refused(&again))
    }

    /// What the beacon holds.
    fn bonds(&self) -> Result<u128, AttackError> {
        let account = self.beacon;
        let held = DevToken::balanceOfCall { account };
        Ok(units(self.reader.ask(self.stage.deployment.token, held)?))
    }
}

/// How many values one round of the development beacon has by the block that publishes it, and whether it can be published twice.
fn redrawn(stage: &Stage) -> Result<(usize, bool), AttackError> {
    let mut values = std::collections::BTreeSet::new();
    let mut twice = false;
    for wait in 0..3 {
        let stage = stage.fork();
        let reader = Reader::new(stage.chain.clone(), stage.deployment.clone());
        let beacon = stage.deployment.beacon;
        let time = stage.chain.now();
        let round = reader.ask(beacon, DevBeacon::roundAfterCall { time })?;
        stage.chain.advance_to(time + 60)?;
        for _ in 0..wait {
            stage.chain.mine()?;
        }
        let publisher = stage.deployer();
        let publish = || publisher.send(beacon, DevBeacon::publishCall { round });
        let (first, again) = runtime()?.block_on(async {
            let first = publish().await.is_ok();
            (first, publish().await.is_ok())
        });
        twice |= again;
        if first {
            values.insert(reader.ask(beacon, DevBeacon::valueOfCall(round))?);
        }
    }
    Ok((values.len(), twice))
}
