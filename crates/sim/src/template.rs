//! A chain with the contracts and the model on it, to be forked by every world that has the same rules.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use gavel_model::Model;
use gavel_node::U256;
use gavel_node::roles::registration;
use gavel_settlement::account::dev_key;
use gavel_settlement::bindings::Parameters::Params;
use gavel_settlement::chain::{Genesis, Options};
use gavel_settlement::{
    Account, BeaconChoice, DeployOptions, Deployment, DevParams, Endpoint, Network, Sender,
    SharedChain, deploy, dev_params,
};

use crate::{Scenario, TOKEN, WorldError};

/// Seed of the deployer's key, which is nobody's secret.
const DEPLOYER_SEED: &str = "gavel arena";
/// Tokens in existence: more than every stake of every world.
const SUPPLY: u128 = 1_000_000_000_000 * TOKEN;

/// The rules in which worlds differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorldRules {
    /// Share of results that are audited, in parts per million.
    pub audit_ppm: u32,
    /// First results of a provider that are audited whatever the beacon says.
    pub probation_tasks: u32,
}

impl From<&Scenario> for WorldRules {
    fn from(scenario: &Scenario) -> WorldRules {
        WorldRules {
            audit_ppm: scenario.audit_ppm,
            probation_tasks: scenario.probation_tasks,
        }
    }
}

/// A chain on which everything is deployed and nobody has acted.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The chain.
    pub chain: SharedChain,
    /// Where the contracts are.
    pub deployment: Deployment,
}

impl Stage {
    /// In memory.
    ///
    /// # Errors
    /// Rules that the contracts refuse.
    pub async fn in_memory(rules: WorldRules, model: &Model) -> Result<Stage, WorldError> {
        let period = DeployOptions::default().beacon_period;
        Stage::on(
            SharedChain::in_memory(Genesis::default()),
            rules,
            model,
            period,
        )
        .await
    }

    /// In a folder, durable.
    ///
    /// # Errors
    /// As [`in_memory`](Self::in_memory), a folder that cannot be used or holds a chain already.
    pub async fn in_folder(
        folder: &Path,
        rules: WorldRules,
        model: &Model,
    ) -> Result<Stage, WorldError> {
        let period = DeployOptions::default().beacon_period;
        Stage::in_folder_with(folder, Options::default(), rules, model, period).await
    }

    /// In a folder, with so much of the chain in memory and so many seconds between the beacon's rounds.
    pub(crate) async fn in_folder_with(
        folder: &Path,
        options: Options,
        rules: WorldRules,
        model: &Model,
        beacon_period: u64,
    ) -> Result<Stage, WorldError> {
        let chain = SharedChain::open_with(folder, Genesis::default(), options)?;
        if chain.lock().head().number > 0 {
            return Err(WorldError::Used(folder.display().to_string()));
        }
        Stage::on(chain, rules, model, beacon_period).await
    }

    async fn on(
        chain: SharedChain,
        rules: WorldRules,
        model: &Model,
        beacon_period: u64,
    ) -> Result<Stage, WorldError> {
        let params = dev_params(DevParams {
            audit_rate_ppm: rules.audit_ppm,
            probation_tasks: rules.probation_tasks,
            record_tasks: 0, // a scenario's rate is its own
            ..DevParams::default()
        });
        let options = DeployOptions {
            beacon_period,
            ..DeployOptions::default()
        };
        Stage::deployed(chain, &params, options, model).await
    }

    /// In memory, under these parameters. `unchecked` ones may be such as the constructor refuses.
    pub(crate) async fn under(
        params: &Params,
        unchecked: bool,
        model: &Model,
    ) -> Result<Stage, WorldError> {
        let options = DeployOptions {
            unchecked,
            ..DeployOptions::default()
        };
        let chain = SharedChain::in_memory(Genesis::default());
        Stage::deployed(chain, params, options, model).await
    }

    /// In memory, under these parameters, with another beacon.
    pub(crate) async fn drawn_by(
        beacon: BeaconChoice,
        params: &Params,
        model: &Model,
    ) -> Result<Stage, WorldError> {
        let options = DeployOptions {
            beacon,
            ..DeployOptions::default()
        };
        let chain = SharedChain::in_memory(Genesis::default());
        Stage::deployed(chain, params, options, model).await
    }

    async fn deployed(
        chain: SharedChain,
        params: &Params,
        options: DeployOptions,
        model: &Model,
    ) -> Result<Stage, WorldError> {
        let options = DeployOptions {
            supply: U256::from(SUPPLY),
            ..options
        };
        let key = dev_key(DEPLOYER_SEED, 0);
        let sender = Sender::new(key, Endpoint::in_process(chain.clone()));
        let deployment = deploy(&sender, params, &options).await?;
        let stage = Stage { chain, deployment };
        let call = registration(model.header(), String::new());
        stage.deployer().send(stage.deployment.market, call).await?;
        Ok(stage)
    }

    /// Another chain that goes on from here.
    pub fn fork(&self) -> Stage {
        Stage {
            chain: self.chain.fork(),
            deployment: self.deployment.clone(),
        }
    }

    /// Whoever deployed, and holds all tokens at first.
    pub(crate) fn deployer(&self) -> Account {
        let network = Network::in_process(self.chain.clone(), self.deployment.clone());
        Account::new(dev_key(DEPLOYER_SEED, 0), network)
    }
}

/// Stages by their rules, each made once.
#[derive(Debug, Default)]
pub struct Stages(Mutex<BTreeMap<WorldRules, Arc<Stage>>>);

impl Stages {
    /// A fork of the stage with these rules.
    ///
    /// # Errors
    /// As [`Stage::in_memory`].
    pub async fn fork(&self, rules: WorldRules, model: &Model) -> Result<Stage, WorldError> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known().get(&rules).cloned();
        if let Some(stage) = found {
            return Ok(stage.fork());
        }
        // two threads may make the same stage: it is the same
        let stage = Arc::new(Stage::in_memory(rules, model).await?);
        known().insert(rules, Arc::clone(&stage));
        Ok(stage.fork())
    }
}
