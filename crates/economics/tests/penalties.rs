//! What convicts lose with the others of their time, and the rate of audits by record: the contracts and the functions in Rust
//! say the same over random histories.
#![allow(clippy::unwrap_used)]

use gavel_economics::penalty::{Attack, Conviction, audit_rate};
use gavel_settlement::account::dev_key;
use gavel_settlement::alloy::primitives::{Address, B256, Bytes, U256, hex, keccak256};
use gavel_settlement::alloy::sol_types::SolValue as _;
use gavel_settlement::amount::TOKEN;
use gavel_settlement::artifacts::bytecode;
use gavel_settlement::bindings::{DevToken, IAudits, StakeVault};
use gavel_settlement::chain::Genesis;
use gavel_settlement::{
    Account, DeployOptions, DevParams, Endpoint, Network, SendError, Sender, SharedChain, deploy,
    dev_params,
};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

const PROVIDERS: usize = 6;
const HISTORIES: u64 = 6;
const STEPS: usize = 120;

/// A provider as the model has it.
#[derive(Default)]
struct Stake {
    free: u128,
    /// Amount and when it may leave.
    entries: Vec<(U256, u128, u64)>,
    conviction: Option<usize>,
    paid: bool,
}

impl Stake {
    fn whole(&self) -> u128 {
        self.free
            + self
                .entries
                .iter()
                .map(|(_, amount, _)| amount)
                .sum::<u128>()
    }

    /// The same share of every part, each rounded down.
    fn take(&mut self, share: impl Fn(u128) -> u128) -> u128 {
        let parts = self.entries.iter_mut().map(|(_, amount, _)| amount);
        let mut taken = 0;
        for part in std::iter::once(&mut self.free).chain(parts) {
            let cut = share(*part);
            *part -= cut;
            taken += cut;
        }
        taken
    }
}

struct History {
    network: Network,
    chain: SharedChain,
    court: Account,
    keys: Vec<Account>,
    model: Vec<Stake>,
    convictions: Vec<Conviction>,
    half: u64,
    multiplier: u16,
    unbonding: u64,
    rng: ChaCha8Rng,
    burned: u128,
    causes: u64,
    /// How often each thing happened.
    seen: std::collections::BTreeMap<&'static str, u32>,
}

impl History {
    async fn new(seed: u64) -> History {
        let chain = SharedChain::in_memory(Genesis::default());
        let endpoint = Endpoint::in_process(chain.clone());
        let key = |n| dev_key("penalties", n);
        let deployer = Sender::new(key(0), endpoint.clone());
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut params = dev_params(DevParams::default());
        params.stake.correlationMultiplier = [1, 2, 3, 5][rng.random_range(0..4)];
        params.stake.minStake = 10 * TOKEN;
        params.market.maxTaskPrice = TOKEN;
        let options = DeployOptions {
            stand_ins: Some((key(1).address(), key(2).address())),
            ..DeployOptions::default()
        };
        let deployment = deploy(&deployer, &params, &options).await.unwrap();
        let network = Network::new(endpoint, deployment);
        let bank = Account::new(key(0), network.clone());
        let court = Account::new(key(1), network.clone());
        let mut history = History {
            chain,
            court,
            keys: Vec::new(),
            model: Vec::new(),
            convictions: Vec::new(),
            half: u64::from(params.stake.correlationWindowSeconds / 2),
            multiplier: params.stake.correlationMultiplier,
            unbonding: params.stake.unbondingSeconds.into(),
            rng,
            burned: 0,
            causes: 0,
            seen: Default::default(),
            network,
        };
        for n in 0..PROVIDERS as u32 {
            let account = Account::new(key(10 + n), history.network.clone());
            let transfer = DevToken::transferCall {
                to: account.address(),
                value: U256::from(100_000 * TOKEN),
            };
            let token = history.network.deployment().token;
            bank.send(token, transfer).await.unwrap();
            account.approve_vault().await.unwrap();
            // one in three is much larger than the rest
            let size = if n % 3 == 0 { 50_000 } else { 1_000 } * TOKEN;
            let stake = history.rng.random_range(10 * TOKEN..size);
            let register = StakeVault::registerCall {
                owner: account.address(),
                payout: account.address(),
                maxConcurrency: 1,
                stakeAmount: stake,
            };
            let vault = history.network.deployment().vault;
            account.send(vault, register).await.unwrap();
            history.keys.push(account);
            history.model.push(Stake {
                free: stake,
                ..Stake::default()
            });
        }
        history
    }

    fn vault(&self) -> Address {
        self.network.deployment().vault
    }

    /// The time of the next block.
    fn next(&self) -> u64 {
        let chain = self.chain.lock();
        chain.now().max(chain.head().time + 1)
    }

    fn active(&self) -> u128 {
        let innocent = self.model.iter().filter(|p| p.conviction.is_none());
        innocent.map(Stake::whole).sum()
    }

    fn attack(&self, who: usize) -> Attack {
        let conviction = self.model[who].conviction.unwrap();
        let at = self.convictions[conviction].at;
        Attack::of(at, self.half, &self.convictions)
    }

    /// What the model takes when the contract applies the penalty; whether it is refused.
    fn penalise(&mut self, who: usize, now: u64) -> bool {
        let Some(conviction) = self.model[who].conviction else {
            return true;
        };
        if self.model[who].paid {
            return true;
        }
        if now <= self.convictions[conviction].at + self.half {
            return false;
        }
        let (attack, multiplier) = (self.attack(who), self.multiplier);
        let taken = self.model[who].take(|part| attack.takes(multiplier, part));
        self.burned += taken;
        self.model[who].paid = true;
        let all = u128::from(multiplier) * attack.slashed >= attack.total;
        *self
            .seen
            .entry(if all { "all" } else { "a share" })
            .or_default() += 1;
        true
    }

    async fn step(&mut self) {
        let who = self.rng.random_range(0..PROVIDERS);
        let account = self.keys[who].clone();
        let (me, vault, now) = (account.address(), self.vault(), self.next());
        match self.rng.random_range(0..10) {
            0 | 1 => {
                let by = self.rng.random_range(0..self.half);
                self.chain.lock().advance_to(now + by).unwrap();
            }
            // to the last second before a penalty is due, and the first
            2 => {
                if let Some(conviction) = self.model[who].conviction {
                    let due = self.convictions[conviction].at + self.half;
                    let at = due + self.rng.random_range(0..2);
                    self.chain.lock().advance_to(at).unwrap();
                }
            }
            3 if self.model[who].conviction.is_none() => {
                let amount = self.rng.random_range(1..100 * TOKEN);
                let call = StakeVault::stakeCall { key: me, amount };
                account.send(vault, call).await.unwrap();
                self.model[who].free += amount;
            }
            4 if self.model[who].free > 1 && self.model[who].entries.len() < 8 => {
                let amount = self.rng.random_range(1..self.model[who].free);
                let call = StakeVault::requestUnbondCall { amount };
                let receipt = account.send(vault, call).await.unwrap();
                let id = receipt.logs.iter().find_map(|l| match &l.event {
                    gavel_settlement::ProtocolEvent::Vault(
                        StakeVault::StakeVaultEvents::UnbondRequested(e),
                    ) => Some(e.entry),
                    _ => None,
                });
                self.model[who].free -= amount;
                let entry = (id.unwrap(), amount, now + self.unbonding);
                self.model[who].entries.push(entry);
            }
            5 => {
                let Some(at) = self.model[who].entries.iter().position(|e| e.2 <= now) else {
                    return;
                };
                let entry = self.model[who].entries[at].0;
                let call = StakeVault::withdrawUnbondedCall { entry };
                let sent = account.send(vault, call).await;
                if self.penalise(who, now) {
                    sent.unwrap();
                    self.model[who].entries.swap_remove(at); // as the vault does
                    *self.seen.entry("withdrawn").or_default() += 1;
                } else {
                    self.refused(sent.unwrap_err());
                }
            }
            6 => {
                self.causes += 1;
                let amount = self.rng.random_range(1..5 * TOKEN);
                let cause = keccak256(self.causes.to_be_bytes());
                let call = StakeVault::penaliseCall {
                    key: me,
                    cause,
                    amount,
                    toPot: B256::ZERO,
                };
                self.court.send(vault, call).await.unwrap();
                let p = &mut self.model[who];
                let mut left = amount;
                let parts = p.entries.iter_mut().map(|(_, part, _)| part);
                for part in std::iter::once(&mut p.free).chain(parts) {
                    let cut = left.min(*part);
                    *part -= cut;
                    left -= cut;
                }
                self.burned += amount - left;
            }
            // a verdict; the first convicts
            7 if self.rng.random_ratio(1, 2) => {
                self.causes += 1;
                let bps = self.rng.random_range(0..=10_000);
                let call = StakeVault::slashTaskCall {
                    key: me,
                    taskId: U256::from(self.causes),
                    safety: true,
                    bps,
                    toPot: B256::ZERO,
                };
                self.court.send(vault, call).await.unwrap();
                if self.model[who].conviction.is_none() {
                    let stake = self.model[who].whole();
                    self.model[who].conviction = Some(self.convictions.len());
                    self.convictions.push(Conviction {
                        at: now,
                        stake,
                        active_after: self.active(),
                    });
                }
                let taken = self.model[who].take(|part| part * u128::from(bps) / 10_000);
                self.burned += taken;
            }
            _ => {
                let call = StakeVault::penaliseCorrelatedCall { key: me };
                let sent = self.court.send(vault, call).await;
                match self.penalise(who, now) {
                    true => drop(sent.unwrap()),
                    false => self.refused(sent.unwrap_err()),
                }
            }
        }
    }

    fn refused(&mut self, error: SendError) {
        let SendError::Reverted { error, .. } = error else {
            panic!("{error}");
        };
        assert!(error.starts_with("CorrelationNotDue("), "{error}");
        *self.seen.entry("refused").or_default() += 1;
    }

    /// Model and contract have the same books.
    async fn compare(&self) {
        let vault = self.network.vault();
        for (who, account) in self.keys.iter().enumerate() {
            let (me, p) = (account.address(), &self.model[who]);
            let told = vault.totalStake(me).call().await.unwrap();
            assert_eq!(told, p.whole(), "stake of {who}");
            for (entry, amount, _) in &p.entries {
                let told = vault.unbondingEntry(me, *entry).call().await.unwrap();
                assert_eq!(told.amount, *amount, "entry {entry} of {who}");
            }
            let c = vault.correlationOf(me).call().await.unwrap();
            match p.conviction {
                Some(conviction) if !p.paid => {
                    let attack = self.attack(who);
                    assert_eq!(c.slashedAt, self.convictions[conviction].at);
                    assert_eq!(c.dueAt, c.slashedAt + self.half + 1);
                    assert_eq!(
                        (c.slashedStake, c.totalStake),
                        (attack.slashed, attack.total)
                    );
                    let parts = p.entries.iter().map(|(_, amount, _)| *amount);
                    let parts = parts.chain([p.free]);
                    let told: u128 = parts.map(|a| attack.takes(self.multiplier, a)).sum();
                    assert_eq!(c.penalty, told);
                }
                conviction => {
                    let at = conviction.map_or(0, |c| self.convictions[c].at);
                    assert_eq!((c.slashedAt, c.dueAt, c.penalty), (at, 0, 0));
                }
            }
        }
        let active = vault.totalActiveStake().call().await.unwrap();
        assert_eq!(active, self.active(), "active stake");
        assert_eq!(vault.burned().call().await.unwrap(), self.burned, "burned");
    }
}

#[tokio::test]
async fn contract_and_function_take_the_same_over_random_histories() {
    let mut seen = std::collections::BTreeMap::<&str, u32>::new();
    for seed in 0..HISTORIES {
        let mut history = History::new(seed).await;
        for _ in 0..STEPS {
            history.step().await;
            history.compare().await;
        }
        for (what, times) in history.seen {
            *seen.entry(what).or_default() += times;
        }
    }
    for what in ["all", "a share", "refused", "withdrawn"] {
        assert!(seen.contains_key(what), "{what} is missing of {seen:?}");
    }
}

/// A vault whose providers have settled as many tasks as their address says: `provider(key).settledTasks == key`.
fn counting_vault() -> Bytes {
    // the eleventh of twelve words is the first argument
    let runtime = hex!("600435610140526101806000f3");
    let len = runtime.len() as u8;
    // copies what follows it, and returns that
    let init = [
        0x60, len, 0x80, 0x60, 0x0b, 0x60, 0x00, 0x39, 0x60, 0x00, 0xf3,
    ];
    [&init[..], &runtime[..]].concat().into()
}

#[tokio::test]
async fn contract_and_function_audit_at_the_same_rates() {
    let endpoint = Endpoint::in_process(SharedChain::in_memory(Genesis::default()));
    let sender = Sender::new(dev_key("penalties", 0), endpoint.clone());
    let created = async |code: Bytes| sender.create(code).await.unwrap().created.unwrap();
    let vault = created(counting_vault()).await;
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut seen = [0; 3];
    for _ in 0..24 {
        let mut params = dev_params(DevParams {
            audit_rate_ppm: rng.random_range(10_000..=1_000_000),
            probation_tasks: rng.random_range(0..50),
            record_tasks: [0, 1, 2, 7, 1_000, u32::MAX][rng.random_range(0..6)],
            ..DevParams::default()
        });
        params.audit.freshRatePpm = rng.random_range(params.audit.ratePpm..=1_000_000);
        params.stake.registrationFee = u128::MAX;
        let place = Address::repeat_byte(1);
        let arguments = (place, place, params.clone()).abi_encode_params();
        let code = [&bytecode("Parameters").unwrap()[..], &arguments].concat();
        let parameters = created(code.into()).await;
        let system = (parameters, place, vault, place, place, place, place, place);
        let code = [
            &bytecode("Audits").unwrap()[..],
            &system.abi_encode_params(),
        ]
        .concat();
        let audits = IAudits::new(created(code.into()).await, endpoint.provider().clone());
        let a = &params.audit;
        let (probation, end) = (
            u64::from(a.probationTasks),
            u64::from(a.probationTasks) + u64::from(a.recordTasks),
        );
        let edges = [
            probation.saturating_sub(1),
            probation,
            probation + 1,
            end.saturating_sub(1),
            end,
            end + 1,
        ];
        let random = std::iter::repeat_with(|| rng.random_range(0..=end + 2)).take(12);
        for settled in edges.into_iter().chain(random) {
            let key = Address::from_word(U256::from(settled).into());
            let told = audits.rateOf(key, 1).call().await.unwrap();
            assert_eq!(
                told,
                U256::from(audit_rate(a, settled)),
                "{settled} of {a:?}"
            );
            seen[usize::from(settled >= probation) + usize::from(settled >= end)] += 1;
        }
    }
    assert!(seen.iter().all(|times| *times > 10), "{seen:?}");
}
