//! What everybody plays on: a chain with the contracts and the models, blobs, an engine.

use std::path::Path;
use std::sync::Arc;

use gavel_engine::{Engine, EngineOptions};
use gavel_model::Model;
use gavel_node::roles::{JoinOptions, join, registration};
use gavel_node::{Address, Blobs, EngineExecutor, Fault, Mirror, Models, Party, Protection, U256};
use gavel_settlement::account::dev_key;
use gavel_settlement::bindings::DevToken;
use gavel_settlement::chain::Genesis;
use gavel_settlement::{
    Account, DeployOptions, Deployment, DevParams, Endpoint, Network, Sender, SharedChain, Windows,
    deploy, dev_params,
};

use super::cast::Cast;
use crate::commands::chain::wall_clock;
use crate::failure::{Context as _, Failure};
use crate::files;
use crate::network::TOKEN;

/// Seed of everybody's keys: nobody's secret, as everything here is play.
pub(super) const KEYS: &str = "gavel up";
/// What everybody has beside the stake.
const POCKET: u128 = 100_000 * TOKEN;
/// The models of which there are no shorter names.
const SHIPPED: [&str; 3] = ["digits", "diffusion", "llm"];

/// Share of results that are audited where nothing is to be seen of it.
const AUDITED_PPM: u32 = 250_000;

pub(super) struct Stage {
    pub(super) chain: SharedChain,
    pub(super) network: Network,
    pub(super) blobs: Blobs,
    pub(super) models: Vec<(&'static str, Arc<Model>)>,
    pub(super) honest: Arc<EngineExecutor>,
}

impl Stage {
    /// A new stage, or the one in a folder, as it was left.
    pub(super) async fn open(
        folder: Option<&Path>,
        adversary: Option<Fault>,
    ) -> Result<Stage, Failure> {
        let genesis = Genesis {
            time: wall_clock(),
            ..Genesis::default()
        };
        let (chain, blobs) = match folder {
            None => (SharedChain::in_memory(genesis), Blobs::memory()),
            Some(folder) => {
                let place = folder.display();
                let chain =
                    SharedChain::open(&folder.join("chain"), genesis).at(place.to_string())?;
                let blobs = Blobs::directory(&folder.join("blobs")).at(place)?;
                (chain, blobs)
            }
        };
        let file = folder.map(|folder| folder.join("deployment.json"));
        let known = file.as_ref().filter(|file| file.exists());
        let deployment = match known {
            Some(file) => Deployment::load(file).map_err(Failure::new)?,
            None => {
                let deployment = deployed(&chain, adversary).await?;
                if let Some(file) = &file {
                    deployment.save(file).map_err(Failure::new)?;
                }
                deployment
            }
        };
        let network = Network::in_process(chain.clone(), deployment);
        let mut models = Models::new();
        let mut named = Vec::new();
        for name in SHIPPED {
            let model = files::servable_model(name)?;
            let id = models.add(model);
            if let Some(model) = models.get(&id) {
                named.push((name, Arc::clone(model)));
            }
        }
        let engine = Engine::new(EngineOptions::default()).at("GAVEL_ISA")?;
        let honest = Arc::new(EngineExecutor::new(engine, models).at("the shipped models")?);
        let stage = Stage {
            chain,
            network,
            blobs,
            models: named,
            honest,
        };
        stage.register().await?;
        Ok(stage)
    }

    /// Puts the models into the registry that are not in it.
    async fn register(&self) -> Result<(), Failure> {
        let mut mirror = self.mirror();
        let board = mirror.refresh().await.at("reading the chain")?;
        for (name, model) in &self.models {
            if board.models.contains_key(&model.model_id()) {
                continue;
            }
            let call = registration(model.header(), format!("shipped:{name}"));
            let market = self.network.deployment().market;
            self.account(dev_key(KEYS, 0))
                .send(market, call)
                .await
                .at(name)?;
        }
        Ok(())
    }

    pub(super) fn account(
        &self,
        key: gavel_settlement::alloy::signers::local::PrivateKeySigner,
    ) -> Account {
        Account::new(key, self.network.clone())
    }

    /// Who deployed, and holds what nobody else has.
    pub(super) fn deployer(&self) -> Address {
        dev_key(KEYS, 0).address()
    }

    pub(super) fn mirror(&self) -> Mirror {
        Mirror::new(self.network.clone())
    }

    /// A shipped model.
    pub(super) fn model(&self, name: &str) -> Result<&Arc<Model>, Failure> {
        let found = self.models.iter().find(|(own, _)| *own == name);
        found
            .map(|(_, model)| model)
            .ok_or_else(|| Failure::new(format!("{name} is not shipped")))
    }

    /// Somebody who only looks.
    pub(super) fn reader(&self) -> Party {
        let account = self.account(dev_key("reader", 0));
        Party {
            name: "reader".to_owned(),
            protection: Protection::for_account(&account),
            account,
            executor: Arc::clone(&self.honest) as _,
            blobs: self.blobs.clone(),
        }
    }

    /// Gives everybody tokens who has none.
    pub(super) async fn supply(&self, cast: &Cast) -> Result<(), Failure> {
        let token = self.network.deployment().token;
        let deployer = self.account(dev_key(KEYS, 0));
        for member in &cast.members {
            let who = member.party.address();
            let balance = self
                .network
                .token()
                .balanceOf(who)
                .call()
                .await
                .at(&member.party.name)?;
            if balance.is_zero() {
                let stake = member.stake.map_or(0, |stake| stake * 2);
                let call = DevToken::transferCall {
                    to: who,
                    value: U256::from(POCKET + stake),
                };
                deployer.send(token, call).await.at(&member.party.name)?;
            }
            member
                .party
                .account
                .approve_vault()
                .await
                .at(&member.party.name)?;
        }
        Ok(())
    }

    /// Registers the providers who are not, and has them join the pools.
    pub(super) async fn join(&self, cast: &Cast) -> Result<(), Failure> {
        let mut mirror = self.mirror();
        let classes: Vec<_> = self
            .models
            .iter()
            .map(|(_, model)| model.model_id())
            .collect();
        for member in &cast.members {
            let Some(stake) = member.stake else {
                continue;
            };
            let options = JoinOptions {
                stake,
                concurrency: 4,
                classes: classes.clone(),
            };
            loop {
                let board = mirror.refresh().await.at("reading the chain")?;
                if join(&member.party, board, &options)
                    .await
                    .at(&member.party.name)?
                    .is_none()
                {
                    break;
                }
            }
        }
        Ok(())
    }
}

async fn deployed(chain: &SharedChain, adversary: Option<Fault>) -> Result<Deployment, Failure> {
    let params = dev_params(DevParams {
        // a lazy auditor is seen only when it is drawn
        audit_rate_ppm: match adversary {
            Some(Fault::LazyAuditor) => 1_000_000,
            _ => AUDITED_PPM,
        },
        // an audit that convicts a cheat first would leave a lying referee nothing to lie about
        probation_tasks: 0,
        record_tasks: 0,
        windows: Windows::Fast,
    });
    let sender = Sender::new(dev_key(KEYS, 0), Endpoint::in_process(chain.clone()));
    deploy(&sender, &params, &DeployOptions::default())
        .await
        .at("deploying the contracts")
}
