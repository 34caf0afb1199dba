//! One world: set up, run in virtual time, and read off the chain.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gavel_dispute::appeal::MAX_BATCHES;
use gavel_node::evidence::{deciding_step, gather};
use gavel_node::roles::{JoinOptions, Order, join, post};
use gavel_node::{Address, Blobs, Executor, Mirror, NodeError, Party, Protection, U256};
use gavel_settlement::account::dev_key;
use gavel_settlement::bindings::DevToken;
use gavel_settlement::{Account, Network};
use gavel_trace::Evidence;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;

use crate::books::{self, holdings};
use crate::chronicle::{Chronicle, Person, Told};
use crate::party::{Member, Seat, provider_executor, seats};
use crate::reader::Reader;
use crate::timeline::Line;
use crate::{
    Amount, BalanceReport, Books, Change, Fault, Holdings, LedgerReport, ModelFacts, PartyFacts,
    REPORT_FORMAT, Report, Scenario, Stage, TOKEN, Workload, WorldError,
};
use crate::{cast, facts, lossy, schedule};

/// Stream of the seed that the order of ticks follows from.
const STREAM: u64 = 2;
/// Stream of the seed that crashes follow from: the order of ticks is the same with and without them.
const CRASHES: u64 = 4;
/// Stream of the seed that reorgs follow from.
const REORGS: u64 = 5;
/// Most blocks that leave the chain at once.
const DEPTH_MAX: u64 = 4;
/// Rounds and virtual seconds after which a world counts as unfinished.
const ROUNDS_MAX: u32 = 20_000;
const SECONDS_MAX: u64 = 14 * 86_400;
/// Rounds without an act, after everything has ended, in which last duties are seen to.
const LAST_ROUNDS: u32 = 2;
/// What everybody has in the wallet beside the stake.
const POCKET: u128 = 1_000 * TOKEN;
/// Errors kept for the report.
const ERRORS_KEPT: usize = 32;

/// A world that is set up.
pub struct World {
    scenario: Scenario,
    workload: Arc<Workload>,
    network: Network,
    reader: Reader,
    mirror: Mirror,
    members: Vec<Member>,
    seats: Vec<Seat>,
    chronicle: Chronicle,
    deployer: Address,
    order: ChaCha12Rng,
    crashes: ChaCha12Rng,
    reorgs: ChaCha12Rng,
    reorged: u32,
    rounds: u32,
    restarts: u32,
    errors: Vec<String>,
    evidence: Option<PathBuf>,
    vanishing: Vec<String>,
}

impl World {
    /// Gives everybody in a scenario a key, tokens and a place on the stage.
    ///
    /// # Errors
    /// The contracts refuse the set-up.
    pub async fn open(
        scenario: Scenario,
        workload: Arc<Workload>,
        stage: Stage,
        blobs: Blobs,
    ) -> Result<World, WorldError> {
        World::open_over(scenario, workload, stage, &|_| blobs.clone()).await
    }

    /// [`open`](Self::open), where each party has its own blobs, by its name.
    pub(crate) async fn open_over(
        scenario: Scenario,
        workload: Arc<Workload>,
        stage: Stage,
        blobs: &dyn Fn(&str) -> Blobs,
    ) -> Result<World, WorldError> {
        let network = Network::in_process(stage.chain.clone(), stage.deployment.clone());
        let reader = Reader::new(stage.chain.clone(), stage.deployment.clone());
        let members = members(&scenario, &workload, &network, blobs);
        let deployer = stage.deployer();
        for member in &members {
            let call = DevToken::transferCall {
                to: member.address(),
                value: U256::from(purse(&scenario, member)),
            };
            deployer.send(stage.deployment.token, call).await?;
            // set-up is not what is tried here: it does not go over lossy connections
            Account::new(member.key.clone(), network.clone())
                .approve_vault()
                .await?;
        }
        let mut mirror = Mirror::new(network.clone());
        for _ in ["register", "join the pool"] {
            let board = mirror.refresh().await?;
            for member in &members {
                let Some(spec) = &member.provider else {
                    continue;
                };
                let options = JoinOptions {
                    stake: spec.stake.0,
                    concurrency: spec.concurrency,
                    classes: vec![workload.model().model_id()],
                };
                let party = Party {
                    account: Account::new(member.key.clone(), network.clone()),
                    ..member.party.clone()
                };
                join(&party, board, &options).await?;
            }
        }
        mirror.refresh().await?;
        let levy = mirror
            .board()
            .newest_rules()
            .map_or(0, |r| r.market.audit_levy);
        let people = members.iter().map(|member| {
            let person = Person {
                facts: member.facts.clone(),
                executor: Some(Arc::clone(&member.party.executor)),
            };
            (member.address(), person)
        });
        let chronicle = Chronicle::new(
            stage.chain,
            stage.deployment,
            Arc::clone(&workload),
            people.collect(),
            levy,
        );
        let dice = |stream| {
            let mut dice = ChaCha12Rng::seed_from_u64(scenario.seed);
            dice.set_stream(stream);
            dice
        };
        let (order, crashes, reorgs) = (dice(STREAM), dice(CRASHES), dice(REORGS));
        Ok(World {
            seats: seats(&members, &scenario, &workload),
            scenario,
            workload,
            network,
            reader,
            mirror,
            members,
            chronicle,
            deployer: deployer.address(),
            order,
            crashes,
            reorgs,
            reorged: 0,
            rounds: 0,
            restarts: 0,
            errors: Vec::new(),
            evidence: None,
            vanishing: Vec::new(),
        })
    }

    /// Has the inputs of tasks vanish from the requester's store as soon as there is a result, and the copies of these parties with
    /// them. All others compute on what they have read themselves.
    pub(crate) fn vanishing(mut self, ring: &[&str]) -> World {
        self.vanishing = ring.iter().map(|&name| name.to_owned()).collect();
        let others = self.seats.iter_mut();
        others
            .filter(|seat| !ring.contains(&seat.name()))
            .for_each(Seat::forgets_runs);
        self
    }

    /// Writes evidence of every dispute that isolates a place to this folder.
    pub fn keep_evidence(&mut self, folder: PathBuf) {
        self.evidence = Some(folder);
    }

    /// Lets everybody act until everything has ended, and tells each transaction.
    ///
    /// # Errors
    /// The chain fails, or the first task cannot be posted.
    pub async fn run(mut self, tell: &mut dyn FnMut(&Line)) -> Result<Report, WorldError> {
        let played = self.play(tell).await?;
        if let Some(folder) = &self.evidence {
            std::fs::create_dir_all(folder)?;
            for (id, evidence) in self.shown().await? {
                let file = folder.join(format!("dispute-{id}.json"));
                std::fs::write(file, evidence.to_json().map_err(std::io::Error::other)?)?;
            }
        }
        self.report(played)
    }

    /// [`run`](Self::run), with the evidence of every dispute that isolated a place.
    pub(crate) async fn run_showing(
        mut self,
        tell: &mut dyn FnMut(&Line),
    ) -> Result<(Report, Vec<(u64, Evidence)>), WorldError> {
        let played = self.play(tell).await?;
        let shown = self.shown().await?;
        Ok((self.report(played)?, shown))
    }

    async fn play(&mut self, tell: &mut dyn FnMut(&Line)) -> Result<Played, WorldError> {
        let (before, books) = self.balances()?;
        let mut waiting = self.scenario.tasks.clone();
        waiting.sort_by_key(|plan| std::cmp::Reverse(plan.posted_after));
        let began = self.chronicle.began();
        let mut posted = Vec::new();
        let (mut idle, mut finished) = (0, false);
        while self.rounds < ROUNDS_MAX {
            self.rounds += 1;
            let reorged = self.reorg()?;
            let tasks = self.mirror.refresh().await?.tasks.len();
            if reorged {
                // what is no longer on the chain is posted again, as its requester would
                waiting.extend(posted.drain(tasks.min(posted.len())..).rev());
            }
            self.vanish().await?;
            let now = self.mirror.board().now();
            let mut acted = false;
            while let Some(plan) = waiting.pop_if(|plan| began + plan.posted_after <= now) {
                self.post(plan).await?;
                posted.push(plan);
                acted = true;
            }
            acted |= self.tick_all().await;
            for mut line in self.chronicle.catch_up() {
                if let Some(dispute) = line.decided {
                    self.explain(dispute, &mut line).await?;
                }
                tell(&line);
            }
            idle = if acted { 0 } else { idle + 1 };
            if acted {
                continue;
            }
            finished = waiting.is_empty() && schedule::is_over(self.mirror.board());
            if (finished && idle >= LAST_ROUNDS) || now - began > SECONDS_MAX {
                break;
            }
            let planned = waiting.last().map(|plan| began + plan.posted_after);
            let step = schedule::step(self.mirror.board(), idle, planned);
            let chain = self.reader.chain();
            chain.advance_to(now + step)?;
            chain.mine()?;
        }
        Ok(Played {
            before,
            books,
            finished,
        })
    }

    /// Says in words what the contract has just executed, as the requester, who is honest, computes it.
    async fn explain(&mut self, dispute: u64, line: &mut Line) -> Result<(), WorldError> {
        let Some(requester) = self.members.first() else {
            return Ok(());
        };
        let board = self.mirror.refresh().await?;
        let evidence = match gather(&requester.party, board, dispute).await {
            // a provider that made its trace up has nothing to compute on but its own
            Err(NodeError::Evidence(_)) => None,
            other => other?,
        };
        if let Some(step) = evidence
            .as_ref()
            .and_then(|evidence| deciding_step(evidence, MAX_BATCHES))
        {
            // what was executed comes before what follows from it
            line.details
                .splice(0..0, self.chronicle.step(dispute, &step));
        }
        Ok(())
    }

    /// What the requester, who is honest, can show of the disputes.
    async fn shown(&self) -> Result<Vec<(u64, Evidence)>, WorldError> {
        let (Some(requester), board) = (self.members.first(), self.mirror.board()) else {
            return Ok(Vec::new());
        };
        let mut shown = Vec::new();
        for id in board.disputes.keys() {
            match gather(&requester.party, board, *id).await {
                Ok(evidence) => shown.extend(evidence.map(|evidence| (*id, evidence))),
                // the provider has shown too little of a run that went wrong before
                Err(NodeError::Evidence(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Ok(shown)
    }

    /// The newest blocks may leave the chain; most of their transactions come back. Whether they did.
    fn reorg(&mut self) -> Result<bool, WorldError> {
        let chance = self.scenario.reorg_ppm.min(1_000_000);
        let chain = self.reader.chain().clone();
        let above = chain.lock().head().number - self.chronicle.first_block();
        if !self.reorgs.random_ratio(chance, 1_000_000) || above == 0 {
            return Ok(false);
        }
        let depth = self.reorgs.random_range(1..=DEPTH_MAX.min(above));
        let dropped = chain.reorg(depth as usize)?;
        self.reorged += 1;
        self.chronicle.read_again();
        for raw in dropped {
            if self.reorgs.random_bool(0.7) {
                // one that no longer fits is refused, which is what a node would do
                let _ = chain.lock().submit(&raw);
            }
        }
        Ok(true)
    }

    async fn vanish(&mut self) -> Result<(), WorldError> {
        let Some(requester) = self.members.first().filter(|_| !self.vanishing.is_empty()) else {
            return Ok(());
        };
        let tasks = self.mirror.board().tasks.values();
        let committed = tasks.filter(|entry| entry.task.state.is_committed());
        for entry in committed {
            let digest = &entry.task.input_digest;
            requester.party.blobs.remove_inputs(digest).await?;
            let ring = self.seats.iter_mut();
            ring.filter(|seat| self.vanishing.iter().any(|name| name == seat.name()))
                .for_each(Seat::forgets_inputs);
        }
        Ok(())
    }

    async fn post(&self, plan: crate::TaskPlan) -> Result<(), WorldError> {
        let (Some(requester), Some(input)) =
            (self.members.first(), self.workload.inputs.get(plan.input))
        else {
            return Ok(());
        };
        let order = Order {
            model: self.workload.model().model_id(),
            family: None,
            inputs: input.tensors.clone(),
            seed: self.scenario.seed,
            min_price: plan.min_price.0,
            max_price: plan.max_price.0,
            ramp_seconds: plan.ramp_seconds,
            exec_seconds: None,
        };
        let party = Party {
            account: Account::new(requester.key.clone(), self.network.clone()),
            ..requester.party.clone()
        };
        post(&party, self.mirror.board(), &order).await?;
        Ok(())
    }

    /// Everybody acts at most once, in an order of the seed's. Whether anybody did.
    async fn tick_all(&mut self) -> bool {
        let mut order: Vec<usize> = (0..self.seats.len()).collect();
        order.shuffle(&mut self.order);
        let board = self.mirror.board();
        let mut acted = false;
        for index in order {
            let crashes = self
                .crashes
                .random_ratio(self.scenario.crash_ppm.min(1_000_000), 1_000_000);
            let Some(seat) = self.seats.get_mut(index) else {
                continue;
            };
            if crashes {
                seat.restart();
                self.restarts += 1;
            }
            match seat.role.tick(board).await {
                Ok(act) => acted |= act.is_some(),
                Err(error) => note(&mut self.errors, seat.role.name(), &error),
            }
        }
        acted
    }

    /// What everybody has, in the order of the members, and the books.
    fn balances(&self) -> Result<(Vec<(Holdings, bool)>, Books), WorldError> {
        let own = |member: &Member| holdings(&self.reader, member.address());
        let everybody = self.members.iter().map(own).collect::<Result<_, _>>()?;
        let holders = self.members.iter().map(Member::address);
        let holders = holders.chain([self.deployer]).collect();
        let books = books::books(&self.reader, &self.chronicle.extent(holders))?;
        Ok((everybody, books))
    }

    fn report(self, played: Played) -> Result<Report, WorldError> {
        let Played {
            before,
            books: books_before,
            finished,
        } = played;
        let (after, books_after) = self.balances()?;
        let holdings = before.iter().zip(&after);
        let balances: Vec<BalanceReport> = (self.members.iter().zip(holdings))
            .map(|(member, (before, after))| BalanceReport {
                party: member.facts.name.clone(),
                role: member.facts.role.clone(),
                before: before.0,
                after: after.0,
                change: Change::between(before.0.total(), after.0.total()),
                tombstoned: after.1,
            })
            .collect();
        let ledger = LedgerReport {
            before: books_before,
            after: books_after,
        };
        let began = self.chronicle.began();
        let told: Told = self.chronicle.close();
        let parties: Vec<PartyFacts> = self.members.into_iter().map(|m| m.facts).collect();
        let paid: u128 = told.tasks.iter().map(|task| task.paid.0).sum();
        let facts = facts::facts(
            &parties,
            &told.tasks,
            &told.slashes,
            &balances,
            paid + told.levies,
        );
        let model = self.workload.model();
        Ok(Report {
            format: REPORT_FORMAT,
            seed: self.scenario.seed,
            faults: self.scenario.faults(),
            model: ModelFacts {
                name: self.workload.name.clone(),
                model_id: model.model_id().to_string(),
                operators: model.header().node_count,
                commit_points: model.header().commit_points,
                max_steps: model.header().max_steps,
            },
            decimals: crate::DECIMALS,
            parties,
            tasks: told.tasks,
            claims: told.claims,
            disputes: told.disputes,
            challenges: told.challenges,
            audits: told.audits,
            slashes: told.slashes,
            balances,
            conserved: ledger.conserved(),
            burned: Amount(ledger.after.burned.0 - ledger.before.burned.0),
            ledger,
            gas: told.gas,
            facts,
            role_errors: self.errors,
            rounds: self.rounds,
            transactions: told.transactions,
            restarts: self.restarts,
            reorgs: self.reorged,
            virtual_seconds: self.reader.chain().now().saturating_sub(began),
            finished,
            watched: self.scenario.is_watched(),
        })
    }
}

/// What was before a world ran, and whether everything in it has ended.
struct Played {
    before: Vec<(Holdings, bool)>,
    books: Books,
    finished: bool,
}

/// Runs a world on a runtime of its own: nothing in it depends on another thread.
///
/// # Errors
/// As [`World::open`] and [`World::run`].
pub fn run_world(
    scenario: &Scenario,
    workload: &Arc<Workload>,
    stages: &crate::Stages,
    tell: &mut dyn FnMut(&Line),
) -> Result<Report, WorldError> {
    runtime()?.block_on(async {
        let stage = stages.fork(scenario.into(), workload.model()).await?;
        let workload = Arc::clone(workload);
        let world = World::open(scenario.clone(), workload, stage, Blobs::memory()).await?;
        world.run(tell).await
    })
}

/// Runs a world whose chain, deployment file, blobs and evidence stay in `folder`.
///
/// # Errors
/// As [`run_world`], and a folder that cannot be used or holds a chain already.
pub fn run_world_in(
    folder: &Path,
    scenario: &Scenario,
    workload: &Arc<Workload>,
    tell: &mut dyn FnMut(&Line),
) -> Result<Report, WorldError> {
    runtime()?.block_on(async {
        let chain = folder.join("chain");
        let stage = Stage::in_folder(&chain, scenario.into(), workload.model()).await?;
        let blobs = folder.join("blobs");
        std::fs::create_dir_all(&blobs)?;
        let blobs = Blobs::open(&blobs.display().to_string())?;
        stage
            .deployment
            .save(&folder.join("gavel-deployment.json"))?;
        let workload = Arc::clone(workload);
        let mut world = World::open(scenario.clone(), workload, stage, blobs).await?;
        world.keep_evidence(folder.join("evidence"));
        world.run(tell).await
    })
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, std::io::Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
}

fn note(errors: &mut Vec<String>, who: &str, error: &NodeError) {
    if errors.len() < ERRORS_KEPT {
        errors.push(format!("{who}: {error}"));
    }
}

/// Tokens for the start: stake and registration, and enough for every bond and escrow.
fn purse(scenario: &Scenario, member: &Member) -> u128 {
    let stake = member.provider.as_ref().map_or(0, |spec| spec.stake.0);
    let escrow: u128 = match member.facts.role.as_str() {
        "requester" => scenario.tasks.iter().map(|t| t.max_price.0 + TOKEN).sum(),
        _ => 0,
    };
    stake + escrow + POCKET
}

/// Everybody, the requester first.
fn members(
    scenario: &Scenario,
    workload: &Workload,
    network: &Network,
    blobs: &dyn Fn(&str) -> Blobs,
) -> Vec<Member> {
    let seed = format!("gavel arena {}", scenario.seed);
    let chain = network.embedded().cloned();
    let lossy = chain.filter(|_| scenario.drop_ppm > 0).map(|chain| {
        let endpoint = lossy::endpoint(chain, scenario.drop_ppm, scenario.seed);
        Network::new(endpoint, network.deployment().clone())
    });
    let network = lossy.as_ref().unwrap_or(network);
    let mut members: Vec<Member> = Vec::new();
    let mut add = |name: &str, role: &str, fault: Option<Fault>| {
        let key = dev_key(&seed, members.len() as u32);
        let account = Account::new(key.clone(), network.clone());
        let executor: Arc<dyn Executor> = provider_executor(workload, fault, scenario.seed);
        members.push(Member {
            facts: PartyFacts {
                name: name.to_owned(),
                role: role.to_owned(),
                address: account.address().to_string(),
                faults: fault.into_iter().collect(),
            },
            party: Party {
                protection: Protection::for_account(&account),
                name: name.to_owned(),
                account,
                executor,
                blobs: blobs(name),
            },
            key,
            provider: None,
            watcher: None,
        });
        members.len() - 1
    };
    add(cast::REQUESTER, "requester", None);
    let providers: Vec<usize> = (scenario.providers.iter())
        .map(|spec| add(&spec.name, "provider", spec.fault))
        .collect();
    let watchers: Vec<usize> = (scenario.watchers.iter())
        .map(|spec| add(&spec.name, "watcher", spec.fault))
        .collect();
    add(cast::KEEPER, "keeper", None);
    for (at, spec) in providers.into_iter().zip(&scenario.providers) {
        members[at].provider = Some(spec.clone());
    }
    for (at, spec) in watchers.into_iter().zip(&scenario.watchers) {
        members[at].watcher = Some(spec.clone());
    }
    members
}
