//! Who takes part, and what they do.

use std::sync::Arc;

use gavel_node::faults::{FaultyExecutor, sock_puppet};
use gavel_node::roles::{Auditor, Keeper, Provider, ProviderPolicy, Referee, Requester, Watcher};
use gavel_node::{Executor, Fault, Party, Protection, Role};
use gavel_settlement::account::dev_key;
use gavel_trace::Digest;

use super::requests::{Asker, Wishes};
use super::stage::{KEYS, Stage};
use crate::args_up::UpArgs;
use crate::failure::Failure;
use crate::network::TOKEN;

/// Stake of a provider.
const STAKE: u128 = 3_000 * TOKEN;
/// Stake of who is to be drawn as a referee or auditor almost always.
const OVERWHELMING: u128 = 100 * STAKE;
/// Who asks for whoever comes by HTTP.
pub(super) const GATE: &str = "gate";
/// The cheat, and who helps it.
const CHEAT: &str = "mallory";
const FRIEND: &str = "trudy";

/// Somebody with a key.
pub(super) struct Member {
    pub(super) party: Party,
    /// What a provider registers with.
    pub(super) stake: Option<u128>,
    pub(super) roles: Vec<Box<dyn Role>>,
}

/// Everybody.
pub(super) struct Cast {
    pub(super) members: Vec<Member>,
    /// The sentence about each, for people.
    lines: Vec<(&'static str, String)>,
}

/// What a provider does.
#[derive(Clone, Copy, Default)]
struct Conduct {
    reserve: u128,
    stake: u128,
    fault: Option<Fault>,
}

impl Cast {
    pub(super) fn new(stage: &Stage, args: &UpArgs) -> Result<Cast, Failure> {
        let mut cast = Cast {
            members: Vec::new(),
            lines: Vec::new(),
        };
        let wishes = Wishes::of(stage, args)?;
        let rosa = cast.party(stage, "rosa", Arc::clone(&stage.honest) as _);
        let roles: Vec<Box<dyn Role>> = vec![
            Box::new(Requester::new(rosa.clone())),
            Box::new(Asker::new(rosa.clone(), wishes)),
        ];
        cast.add("requester", rosa, None, roles);
        for (name, reserve) in [("ann", 2), ("bob", 3), ("cyd", 4)] {
            let conduct = Conduct {
                reserve: reserve * TOKEN,
                stake: STAKE,
                fault: None,
            };
            cast.provider(stage, name, conduct);
        }
        let gate = cast.party(stage, GATE, Arc::clone(&stage.honest) as _);
        let roles: Vec<Box<dyn Role>> = vec![Box::new(Requester::new(gate.clone()))];
        cast.add("gateway", gate, None, roles);
        let wanda = cast.party(stage, "wanda", Arc::clone(&stage.honest) as _);
        let watcher = Watcher::new(wanda.clone()).appeals(true);
        cast.add("watcher", wanda, None, vec![Box::new(watcher)]);
        let kim = cast.party(stage, "kim", Arc::clone(&stage.honest) as _);
        cast.add(
            "keeper",
            kim.clone(),
            None,
            vec![Box::new(Keeper::new(kim))],
        );
        if let Some(fault) = args.adversary {
            cast.adversary(stage, fault);
        }
        Ok(cast)
    }

    /// Who asks for whoever comes by HTTP.
    pub(super) fn gate(&self) -> Option<Party> {
        let gate = self.members.iter().find(|m| m.party.name == GATE);
        gate.map(|member| member.party.clone())
    }

    /// What is told of everybody before it begins.
    pub(super) fn told(&self) -> Vec<(&'static str, String)> {
        self.lines.clone()
    }

    fn party(&self, stage: &Stage, name: &str, executor: Arc<dyn Executor>) -> Party {
        // the deployer's key is the first
        let key = dev_key(KEYS, self.members.len() as u32 + 1);
        let account = stage.account(key);
        Party {
            name: name.to_owned(),
            protection: Protection::for_account(&account),
            account,
            executor,
            blobs: stage.blobs.clone(),
        }
    }

    fn add(
        &mut self,
        role: &'static str,
        party: Party,
        stake: Option<u128>,
        roles: Vec<Box<dyn Role>>,
    ) {
        self.lines.push((role, party.name.clone()));
        self.members.push(Member {
            party,
            stake,
            roles,
        });
    }

    fn provider(&mut self, stage: &Stage, name: &str, conduct: Conduct) {
        let fault = conduct.fault;
        let executor: Arc<dyn Executor> = match fault.filter(|f| f.makes_wrong_results()) {
            Some(fault) => liar(stage, fault),
            None => Arc::clone(&stage.honest) as _,
        };
        let classes: Vec<Digest> = stage
            .models
            .iter()
            .map(|(_, model)| model.model_id())
            .collect();
        let policy = ProviderPolicy {
            delivers: fault != Some(Fault::NoResult),
            defends: fault != Some(Fault::Withhold),
            appeals: fault.is_none(),
            least_exec_seconds: 1,
            ..ProviderPolicy::honest(conduct.reserve, classes)
        };
        let party = self.party(stage, name, executor);
        // on duty a cheat computes honestly: what it hides is its own
        let on_duty = Party {
            executor: Arc::clone(&stage.honest) as _,
            ..party.clone()
        };
        let roles: Vec<Box<dyn Role>> = vec![
            Box::new(Provider::new(party.clone(), policy)),
            Box::new(Auditor::new(on_duty.clone()).lazy(fault == Some(Fault::LazyAuditor))),
            Box::new(Referee::new(on_duty).lying(fault == Some(Fault::LyingReferee))),
        ];
        self.add("provider", party, Some(conduct.stake), roles);
    }

    /// Somebody who does wrong, with whom it takes for that to be seen.
    fn adversary(&mut self, stage: &Stage, fault: Fault) {
        // whoever asks for the least gets the tasks
        let cheat = |fault| Conduct {
            reserve: TOKEN,
            stake: STAKE,
            fault: Some(fault),
        };
        match fault {
            Fault::FalseChallenge => {
                let party = self.party(stage, CHEAT, liar(stage, Fault::OneUlp));
                let watcher = Watcher::new(party.clone()).at_most(1).appeals(false);
                self.add("adversary", party, None, vec![Box::new(watcher)]);
            }
            Fault::SockPuppet => {
                self.provider(stage, CHEAT, cheat(Fault::Weight));
                let Some(friend) = self.members.last().map(|m| m.party.address()) else {
                    return;
                };
                let own = sock_puppet::executor(&liar(stage, Fault::Weight), 1);
                let party = self.party(stage, FRIEND, Arc::new(own));
                let watcher = Watcher::new(party.clone())
                    .only_provider(friend)
                    .at_most(1)
                    .appeals(false);
                self.add("adversary", party, None, vec![Box::new(watcher)]);
            }
            Fault::LyingReferee => {
                self.provider(stage, CHEAT, cheat(Fault::Weight));
                let judge = Conduct {
                    reserve: u128::from(u32::MAX) * TOKEN,
                    stake: OVERWHELMING,
                    fault: Some(fault),
                };
                self.provider(stage, FRIEND, judge);
            }
            Fault::LazyAuditor => {
                let auditor = Conduct {
                    reserve: u128::from(u32::MAX) * TOKEN,
                    stake: OVERWHELMING,
                    fault: Some(fault),
                };
                self.provider(stage, CHEAT, auditor);
            }
            other => self.provider(stage, CHEAT, cheat(other)),
        }
    }
}

fn liar(stage: &Stage, fault: Fault) -> Arc<FaultyExecutor> {
    let own = match fault {
        // whoever falls silent in a dispute has something to hide
        Fault::Withhold => Fault::Weight,
        other => other,
    };
    Arc::new(FaultyExecutor::new(Arc::clone(&stage.honest), &[own], 1))
}
