//! Where attacks are played: worlds on the real contracts, under solved parameters or weakened ones.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use gavel_economics::{Assumptions, dispute_seconds_max, solve};
use gavel_node::{B256, Blobs, Bytes, Fault};
use gavel_settlement::alloy::primitives::keccak256;
use gavel_settlement::alloy::sol_types::SolValue as _;
use gavel_settlement::amount::TOKEN;
use gavel_settlement::bindings::Parameters::Params;
use gavel_settlement::params::{ParamsError, Tokens, check};

use super::AttackError;
use super::ledger::Chance;
use crate::world::runtime;
use crate::{
    Amount, ProviderSpec, Report, Scenario, Stage, TaskPlan, WatcherSpec, Workload, World,
    WorldError, cast,
};

/// Seeds that are tried for a world in which the beacon draws what a case is about.
const SEEDS: u64 = 64;
/// The cheapest honest provider: sure to win what no cheat wants.
pub(super) const ADA: &str = "Ada";
/// The honest watcher.
pub(super) const WANDA: &str = crate::cast::WATCHERS[0];

/// A world that was played.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) report: Report,
    /// Gas by who paid it.
    pub(super) gas: BTreeMap<String, u64>,
    /// Levy on every task.
    pub(super) levy: u128,
    /// Its chain, as it was left.
    pub(super) stage: Stage,
}

impl Played {
    /// Every transaction of its chain, as it was sent.
    pub(super) fn said(&self) -> Result<Vec<Bytes>, WorldError> {
        let chain = self.stage.chain.lock();
        let mut said = Vec::new();
        for number in 0..=chain.head().number {
            let Some(hash) = chain.block(number)?.and_then(|block| block.transaction) else {
                continue;
            };
            said.extend(chain.receipt_of(hash)?.map(|receipt| receipt.raw.clone()));
        }
        Ok(said)
    }
}

/// Solved parameters, and what worlds share.
pub struct Arena {
    assumed: Assumptions,
    solved: Params,
    digits: Arc<Workload>,
    language: Arc<Workload>,
    stages: Mutex<BTreeMap<B256, Arc<Stage>>>,
    played: Mutex<BTreeMap<(B256, String), Arc<Played>>>,
}

impl std::fmt::Debug for Arena {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arena")
            .field("assumed", &self.assumed)
            .finish_non_exhaustive()
    }
}

/// What the suite assumes: the solver's defaults, with a wrong result worth three times the honest work.
pub fn assumptions() -> Assumptions {
    Assumptions {
        gain: Tokens(3 * TOKEN),
        ..Assumptions::default()
    }
}

impl Arena {
    /// Solves the suite's assumptions.
    ///
    /// # Errors
    /// A shipped model cannot be loaded.
    pub fn new() -> Result<Arena, AttackError> {
        let assumed = assumptions();
        let solution = solve(&assumed)?;
        Ok(Arena {
            assumed,
            solved: solution.params,
            digits: Arc::new(Workload::shipped("digits-small")?),
            language: Arc::new(super::computation::language()?),
            stages: Mutex::default(),
            played: Mutex::default(),
        })
    }

    /// The solver's parameters: every newcomer's first results are audited.
    pub(super) fn solved(&self) -> Params {
        self.solved.clone()
    }

    /// The same after probation: results are audited at the solved rate.
    pub(super) fn after_probation(&self) -> Params {
        let mut params = self.solved();
        params.audit.probationTasks = 0;
        params
    }

    pub(super) fn assumed(&self) -> &Assumptions {
        &self.assumed
    }

    pub(super) fn digits(&self) -> &Arc<Workload> {
        &self.digits
    }

    pub(super) fn language(&self) -> &Arc<Workload> {
        &self.language
    }

    /// D.
    pub(super) fn gain(&self) -> u128 {
        self.assumed.gain.0
    }

    /// What gas costs, in the asset.
    pub(super) fn gas(&self, units: u64) -> u128 {
        (self.assumed.gas_price.0 * u128::from(units)).div_ceil(1_000_000)
    }

    /// What a machine's hours are worth.
    pub(super) fn idle(&self, seconds: u64) -> u128 {
        self.assumed.hour.0 * u128::from(seconds) / 3_600
    }

    /// The longest a dispute may last, in seconds.
    pub(super) fn dispute_seconds_max(&self) -> u64 {
        dispute_seconds_max(&self.solved.court)
    }

    /// p: that a result is drawn for an audit.
    pub(super) fn audited(&self) -> Chance {
        Chance::of_ppm(self.solved.audit.ratePpm)
    }

    /// d (1-r): that an honest machine looks and sees.
    pub(super) fn seen(&self, colluding_bps: u16) -> Chance {
        let honest = 10_000 - u128::from(colluding_bps);
        Chance(u128::from(self.assumed.detection_bps) * honest * 1_000_000)
    }

    /// p'.
    pub(super) fn caught(&self) -> Chance {
        self.audited().and(self.seen(self.assumed.colluding_bps))
    }

    /// What the constructor says to parameters where it refuses them.
    pub(super) fn refusal(&self, params: &Params) -> Result<Option<String>, AttackError> {
        match runtime()?.block_on(check(params)) {
            Ok(()) => Ok(None),
            Err(ParamsError::Refused(refusal)) => Ok(Some(refusal.error)),
            Err(other) => Err(other.into()),
        }
    }

    /// Plays a world, once for all attacks that ask for it.
    pub(super) fn play(
        &self,
        params: &Params,
        scenario: &Scenario,
    ) -> Result<Arc<Played>, AttackError> {
        self.play_on(&self.digits, params, scenario)
    }

    /// The same with another model.
    pub(super) fn play_on(
        &self,
        workload: &Arc<Workload>,
        params: &Params,
        scenario: &Scenario,
    ) -> Result<Arc<Played>, AttackError> {
        let rules = keccak256(params.abi_encode());
        let key = (rules, format!("{} {scenario:?}", workload.name));
        let known = |played: &Mutex<BTreeMap<_, Arc<Played>>>| {
            let played = played.lock().unwrap_or_else(PoisonError::into_inner);
            played.get(&key).cloned()
        };
        if let Some(found) = known(&self.played) {
            return Ok(found);
        }
        let stage = self.stage(params, workload)?;
        let (scenario, workload) = (scenario.clone(), Arc::clone(workload));
        let world = World::open(scenario, workload, stage.clone(), Blobs::memory());
        let played = Arc::new(run(params, stage.clone(), world, |world| world)?);
        let mut all = self.played.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(key, Arc::clone(&played));
        Ok(played)
    }

    /// Plays a world whose inputs vanish once there is a result: the requester's copy and that of the ring. `hidden` ones nobody but
    /// requester and ring has ever seen.
    pub(super) fn play_vanishing(
        &self,
        params: &Params,
        scenario: &Scenario,
        ring: &[&str],
        hidden: bool,
    ) -> Result<Played, AttackError> {
        let stage = self.stage(params, &self.digits)?;
        let (private, public) = (Blobs::memory(), Blobs::memory());
        // each is a process of its own, which keeps what it has read
        let blobs = |name: &str| match hidden && name != cast::REQUESTER && !ring.contains(&name) {
            true => public.apart(),
            false => private.apart(),
        };
        let workload = Arc::clone(&self.digits);
        let world = World::open_over(scenario.clone(), workload, stage.clone(), &blobs);
        run(params, stage.clone(), world, |world| world.vanishing(ring))
    }

    fn stage(&self, params: &Params, workload: &Workload) -> Result<Stage, AttackError> {
        let model = workload.model();
        let key = (params.clone(), B256::from(model.model_id().0)).abi_encode();
        let key = keccak256(key);
        let known = || self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known().get(&key).cloned();
        if let Some(stage) = found {
            return Ok(stage.fork());
        }
        let unchecked = self.refusal(params)?.is_some();
        let stage = runtime()?.block_on(Stage::under(params, unchecked, model))?;
        let stage = Arc::new(stage);
        known().insert(key, Arc::clone(&stage));
        Ok(stage.fork())
    }

    /// The first world, by seed, in which chance fell as the case wants it.
    pub(super) fn first(
        &self,
        params: &Params,
        scenario: &Scenario,
        what: &'static str,
        wanted: impl Fn(&Report) -> bool,
    ) -> Result<Arc<Played>, AttackError> {
        for seed in 1..=SEEDS {
            let at = Scenario {
                seed,
                ..scenario.clone()
            };
            let played = self.play(params, &at)?;
            if wanted(&played.report) {
                return Ok(played);
            }
        }
        Err(AttackError::Unexpected {
            seed: Some(SEEDS),
            what,
            found: "no such world".to_owned(),
        })
    }

    /// A world with three honest providers, one task, and these parties.
    pub(super) fn world(&self, parties: &[ProviderSpec], watchers: &[WatcherSpec]) -> Scenario {
        let mut providers = parties.to_vec();
        for (name, reserve) in [(ADA, 4), ("Ben", 5), ("Cleo", 6)] {
            providers.push(ProviderSpec {
                fault: None,
                reserve: Amount::tokens(reserve),
                appeals: true,
                ..self.cheat(name, Fault::Weight)
            });
        }
        let task = TaskPlan {
            input: 0,
            min_price: Amount::tokens(1),
            max_price: Amount(self.solved.market.maxTaskPrice),
            ramp_seconds: 300,
            posted_after: 0,
        };
        Scenario {
            seed: 1,
            providers,
            watchers: watchers.to_vec(),
            tasks: vec![task],
            audit_ppm: self.solved.audit.ratePpm,
            probation_tasks: 0,
            crash_ppm: 0,
            drop_ppm: 0,
            reorg_ppm: 0,
            notes: Vec::new(),
        }
    }

    /// A provider with the least stake that is sure to win a task.
    pub(super) fn cheat(&self, name: &str, fault: Fault) -> ProviderSpec {
        ProviderSpec {
            name: name.to_owned(),
            stake: Amount(self.solved.stake.minStake),
            reserve: Amount::tokens(1),
            fault: Some(fault),
            concurrency: 1,
            wrong_on_duty: false,
            appeals: false,
        }
    }

    /// A provider that never bids: it is there to be drawn.
    pub(super) fn on_duty(&self, name: &str, fault: Fault) -> ProviderSpec {
        ProviderSpec {
            reserve: Amount::tokens(1_000_000),
            wrong_on_duty: true,
            ..self.cheat(name, fault)
        }
    }

    /// A cheat's own lie, told where no audit was drawn.
    pub(super) fn unaudited(&self, fault: Fault) -> Result<Arc<Played>, AttackError> {
        let params = self.after_probation();
        let scenario = self.world(&[self.cheat("Mallory", fault)], &[]);
        self.first(&params, &scenario, "a wrong result that settles", |r| {
            r.facts.wrong_settled == 1
        })
    }
}

fn run(
    params: &Params,
    stage: Stage,
    world: impl Future<Output = Result<World, WorldError>>,
    change: impl FnOnce(World) -> World,
) -> Result<Played, AttackError> {
    let mut gas = BTreeMap::<String, u64>::new();
    let mut count = |line: &crate::timeline::Line| {
        *gas.entry(line.who.clone()).or_default() += line.gas;
    };
    let report = runtime()?.block_on(async { change(world.await?).run(&mut count).await })?;
    if !report.conserved || !report.finished {
        return Err(AttackError::Unexpected {
            seed: Some(report.seed),
            what: "books that balance and a world that ends",
            found: format!("{:?}", report.broken_guarantees()),
        });
    }
    Ok(Played {
        report,
        gas,
        levy: params.market.auditLevy,
        stage,
    })
}

/// Somebody who challenges.
pub(super) fn watcher(name: &str, fault: Option<Fault>, appeals: bool) -> WatcherSpec {
    WatcherSpec {
        name: name.to_owned(),
        fault,
        appeals,
    }
}
