//! A small network on the embedded chain, with a clock that the test moves.

use std::sync::Arc;

use gavel_model::family::Family;
use gavel_model::{Model, preprocess, shipped};
use gavel_node::board::TaskState;
use gavel_node::faults::{Fault, FaultyExecutor};
use gavel_node::roles::{
    self, Auditor, JoinOptions, Keeper, Order, Provider, ProviderPolicy, Referee, Requester,
    Watcher,
};
use gavel_node::{
    Act, Address, Blobs, Board, EngineExecutor, Executor, Mirror, Models, Party, Protection, Role,
    U256,
};
use gavel_numerics::Tensor;
use gavel_settlement::account::dev_key;
use gavel_settlement::alloy::providers::Provider as _;
use gavel_settlement::bindings::DevToken;
use gavel_settlement::chain::Genesis;
use gavel_settlement::dev_params::{UNIT, Windows};
use gavel_settlement::{
    Account, BeaconChoice, DeployOptions, DevParams, Endpoint, Network, Sender, SharedChain,
    deploy, dev_params,
};
use gavel_trace::Digest;

pub(crate) const SEED: &str = "node tests";
pub(crate) const STAKE: u128 = 1_000 * UNIT;

/// A deployment, a registered model or family, and everybody who was made with [`World::party`].
pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) mirror: Mirror,
    pub(crate) blobs: Blobs,
    pub(crate) honest: Arc<EngineExecutor>,
    /// What its parties serve, and the model that its tasks are about.
    pub(crate) class: Digest,
    pub(crate) model: Digest,
    pub(crate) inputs: Vec<Tensor>,
    parties: u32,
}

/// Who takes part in [`World::with_a_cheat`].
pub(crate) struct Cast {
    pub(crate) task: u64,
    pub(crate) cheat: Party,
    pub(crate) honest: [Party; 3],
    pub(crate) roles: Vec<Box<dyn Role>>,
    /// The honest parties once more, as they serve.
    pub(crate) servers: Vec<Box<dyn Role>>,
}

impl World {
    /// With the smallest shipped model, every `audit_ppm`-th result audited.
    pub(crate) async fn new(audit_ppm: u32) -> World {
        let model = shipped::load("digits-small").unwrap();
        World::of(model, audit_ppm).await
    }

    pub(crate) async fn of(model: Model, audit_ppm: u32) -> World {
        let chain = SharedChain::in_memory(Genesis::default());
        let endpoint = Endpoint::in_process(chain);
        World::on(endpoint, model, audit_ppm, Windows::Fast).await
    }

    /// On any chain whose clock the test may move.
    pub(crate) async fn on(
        endpoint: Endpoint,
        model: Model,
        audit_ppm: u32,
        windows: Windows,
    ) -> World {
        World::drawn_by(
            BeaconChoice::Development,
            endpoint,
            model,
            audit_ppm,
            windows,
        )
        .await
    }

    /// The same with another beacon.
    pub(crate) async fn drawn_by(
        beacon: BeaconChoice,
        endpoint: Endpoint,
        model: Model,
        audit_ppm: u32,
        windows: Windows,
    ) -> World {
        let (_, _, png) = shipped::PICTURES[0];
        let inputs = vec![preprocess::png_to_input(&model, png).unwrap()];
        World::serving(beacon, endpoint, model, inputs, audit_ppm, windows).await
    }

    /// With a model of any kind, asked for this.
    pub(crate) async fn serving(
        beacon: BeaconChoice,
        endpoint: Endpoint,
        model: Model,
        inputs: Vec<Tensor>,
        audit_ppm: u32,
        windows: Windows,
    ) -> World {
        let register = roles::registration(model.header(), "shipped".to_owned());
        let mut models = Models::new();
        let model = models.add(model);
        let network = network(beacon, endpoint, audit_ppm, windows).await;
        let account = Account::new(dev_key(SEED, 0), network.clone());
        let market = network.deployment().market;
        account.send(market, register).await.unwrap();
        World::with(network, models, model, model, inputs)
    }

    /// With a family, of whose bindings nobody has shown any.
    pub(crate) async fn of_family(family: &Arc<Family>, audit_ppm: u32) -> World {
        let chain = SharedChain::in_memory(Genesis::default());
        let endpoint = Endpoint::in_process(chain);
        let network = network(
            BeaconChoice::Development,
            endpoint,
            audit_ppm,
            Windows::Fast,
        )
        .await;
        let account = Account::new(dev_key(SEED, 0), network.clone());
        let register = roles::family_registration(family, "file".to_owned());
        let pool = network.deployment().pool;
        account.send(pool, register).await.unwrap();
        let mut models = Models::new();
        let class = models.add_family(Arc::clone(family));
        let model = family.model_ids()[0];
        World::with(network, models, class, model, Vec::new())
    }

    /// A provider whose results are off by one unit in the last place, and three honest ones.
    pub(crate) async fn cheat_among_three(&mut self) -> (Party, [Party; 3]) {
        let lie = FaultyExecutor::new(Arc::clone(&self.honest), &[Fault::OneUlp], 3);
        let cheat = self.party_with("cheat", Arc::new(lie)).await;
        self.join(&cheat).await;
        let honest = [
            self.staked("a").await,
            self.staked("b").await,
            self.staked("c").await,
        ];
        (cheat, honest)
    }

    /// A provider that asks for the least and does not appeal, so that the verdict is the referee's.
    pub(crate) fn resigned(&self, party: &Party) -> Provider {
        let policy = ProviderPolicy {
            appeals: false,
            ..ProviderPolicy::honest(UNIT, vec![self.model])
        };
        Provider::new(party.clone(), policy)
    }

    /// A task that a cheat is the first to bid for, among honest parties of every kind.
    pub(crate) async fn with_a_cheat(endpoint: Endpoint, windows: Windows) -> (World, Cast) {
        let model = shipped::load("digits-small").unwrap();
        let mut world = World::on(endpoint, model, 250_000, windows).await;
        let (cheat, honest) = world.cheat_among_three().await;
        let requester = world.party("requester").await;
        let watcher = world.party("watcher").await;
        let task = world.post(&requester).await;
        let mut roles: Vec<Box<dyn Role>> = vec![
            Box::new(world.resigned(&cheat)),
            Box::new(Requester::new(requester)),
            Box::new(Watcher::new(watcher)),
            world.keeper().await,
        ];
        let mut servers: Vec<Box<dyn Role>> = Vec::new();
        for party in &honest {
            servers.push(Box::new(world.provider(party, 5 * UNIT)));
            roles.push(Box::new(Auditor::new(party.clone())));
            roles.push(Box::new(Referee::new(party.clone())));
        }
        let cast = Cast {
            task,
            cheat,
            honest,
            roles,
            servers,
        };
        (world, cast)
    }

    fn with(
        network: Network,
        models: Models,
        class: Digest,
        model: Digest,
        inputs: Vec<Tensor>,
    ) -> World {
        World {
            mirror: Mirror::new(network.clone()),
            honest: Arc::new(EngineExecutor::new(super::engine(), models).unwrap()),
            blobs: Blobs::memory(),
            network,
            class,
            model,
            inputs,
            parties: 0,
        }
    }

    /// Somebody with tokens who computes with this.
    pub(crate) async fn party_with(&mut self, name: &str, executor: Arc<dyn Executor>) -> Party {
        self.parties += 1;
        let account = Account::new(dev_key(SEED, self.parties), self.network.clone());
        give_coin(self.network.endpoint(), account.address()).await;
        let deployer = Account::new(dev_key(SEED, 0), self.network.clone());
        let transfer = DevToken::transferCall {
            to: account.address(),
            value: U256::from(10_000 * UNIT),
        };
        let token = self.network.deployment().token;
        deployer.send(token, transfer).await.unwrap();
        account.approve_vault().await.unwrap();
        Party {
            name: name.to_owned(),
            protection: Protection::for_account(&account),
            account,
            executor,
            blobs: self.blobs.clone(),
        }
    }

    /// Somebody honest with tokens.
    pub(crate) async fn party(&mut self, name: &str) -> Party {
        let executor = Arc::clone(&self.honest) as Arc<dyn Executor>;
        self.party_with(name, executor).await
    }

    /// Somebody with stake, in the model's pool.
    pub(crate) async fn staked(&mut self, name: &str) -> Party {
        let party = self.party(name).await;
        self.join(&party).await;
        party
    }

    pub(crate) async fn join(&mut self, party: &Party) {
        let options = JoinOptions {
            stake: STAKE,
            concurrency: 2,
            classes: vec![self.class],
        };
        while roles::join(party, self.mirror.refresh().await.unwrap(), &options)
            .await
            .unwrap()
            .is_some()
        {}
    }

    pub(crate) fn provider(&self, party: &Party, reserve: u128) -> Provider {
        let policy = ProviderPolicy::honest(reserve, vec![self.class]);
        Provider::new(party.clone(), policy)
    }

    /// Posts one task.
    pub(crate) async fn post(&mut self, requester: &Party) -> u64 {
        let order = Order {
            model: self.model,
            family: (self.class != self.model).then_some(self.class),
            inputs: self.inputs.clone(),
            seed: 7,
            min_price: UNIT,
            max_price: 10 * UNIT,
            ramp_seconds: 100,
            exec_seconds: None,
        };
        let board = self.mirror.refresh().await.unwrap();
        let (id, _) = roles::post(requester, board, &order).await.unwrap();
        id
    }

    pub(crate) async fn board(&mut self) -> &Board {
        self.mirror.refresh().await.unwrap()
    }

    /// Everybody acts in turn until the board is as wanted; the clock moves on when nobody has anything to do.
    pub(crate) async fn until(
        &mut self,
        roles: &mut [Box<dyn Role>],
        done: impl Fn(&Board) -> bool,
    ) -> Vec<(String, Act)> {
        let mut acts = Vec::new();
        let mut step = 3;
        for _ in 0..3_000 {
            let mut acted = false;
            for role in roles.iter_mut() {
                let board = self.mirror.refresh().await.unwrap();
                if let Some(act) = role.tick(board).await.unwrap() {
                    acts.push((role.name().to_owned(), act));
                    acted = true;
                }
            }
            if done(self.mirror.refresh().await.unwrap()) {
                return acts;
            }
            // shorter than every window, so that nothing is missed
            step = if acted { 3 } else { (step + 3).min(60) };
            if !acted {
                self.pass(step).await;
            }
        }
        panic!("it never came to that; {acts:#?}");
    }

    pub(crate) async fn pass(&self, seconds: u64) {
        if let Some(chain) = self.network.embedded() {
            chain.advance_to(chain.now() + seconds).unwrap();
            return;
        }
        let client = self.network.provider();
        let client = client.client();
        let _: serde_json::Value = client
            .request("evm_increaseTime", (seconds,))
            .await
            .unwrap();
        let _: serde_json::Value = client.request("evm_mine", ()).await.unwrap();
    }

    pub(crate) async fn keeper(&mut self) -> Box<dyn Role> {
        Box::new(Keeper::new(self.party("keeper").await))
    }
}

/// A deployment on a chain.
async fn network(
    beacon: BeaconChoice,
    endpoint: Endpoint,
    audit_ppm: u32,
    windows: Windows,
) -> Network {
    give_coin(&endpoint, dev_key(SEED, 0).address()).await;
    let deployer = Sender::new(dev_key(SEED, 0), endpoint.clone());
    let params = dev_params(DevParams {
        audit_rate_ppm: audit_ppm,
        probation_tasks: 0,
        record_tasks: 0,
        windows,
    });
    let options = DeployOptions {
        beacon,
        ..DeployOptions::default()
    };
    let deployment = deploy(&deployer, &params, &options).await.unwrap();
    Network::new(endpoint, deployment)
}

/// What an address has in wallet and credit.
pub(crate) async fn purse(world: &World, party: &Party) -> u128 {
    let address = party.address();
    let wallet = world
        .network
        .token()
        .balanceOf(address)
        .call()
        .await
        .unwrap();
    let credit = world.network.vault().credit(address).call().await.unwrap();
    u128::try_from(wallet).unwrap() + credit
}

pub(crate) fn state(board: &Board, task: u64) -> TaskState {
    board.task(task).unwrap().state
}

pub(crate) fn stake(board: &Board, provider: &Address) -> u128 {
    let p = &board.providers[provider];
    p.free + p.locked + p.unbonding
}

/// Coin for gas, where gas is not free.
async fn give_coin(endpoint: &Endpoint, to: Address) {
    if endpoint.embedded().is_none() {
        let coin = format!("{:#x}", 1_000_000 * UNIT);
        let client = endpoint.provider().client();
        // an embedded chain behind JSON-RPC knows no such method, and its gas is free
        let _: Result<serde_json::Value, _> = client.request("anvil_setBalance", (to, coin)).await;
    }
}
