//! Who takes a seat in a world, and what sits there.

use std::sync::Arc;

use gavel_node::faults::sock_puppet;
use gavel_node::roles::{Auditor, Keeper, Provider, ProviderPolicy, Referee, Requester, Watcher};
use gavel_node::{Address, Blobs, Executor, Party, Protection, Role};
use gavel_settlement::alloy::signers::local::PrivateKeySigner;
use gavel_settlement::{Account, Network};
use gavel_trace::Digest;

use crate::forgetful::Forgetful;
use crate::{Fault, PartyFacts, ProviderSpec, Scenario, WatcherSpec, Workload};

/// How a seat behaves: enough to build its role again from a key.
#[derive(Clone, Debug)]
pub(crate) enum Conduct {
    Requester,
    Provider(ProviderPolicy),
    Auditor { lazy: bool },
    Referee { lying: bool },
    Watcher(WatcherConduct),
    Keeper,
}

/// How somebody challenges.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WatcherConduct {
    /// Whose results it looks at; everybody's where absent.
    only: Option<Address>,
    /// Whether it challenges once and never again.
    once: bool,
    /// Whether it falls silent after its challenge.
    silent: bool,
    /// Whether it appeals when it loses.
    appeals: bool,
}

/// A role with what is needed to build it again.
pub(crate) struct Seat {
    key: PrivateKeySigner,
    network: Network,
    blobs: Blobs,
    executor: Arc<dyn Executor>,
    name: String,
    conduct: Conduct,
    protection: Arc<Protection>,
    pub(crate) role: Box<dyn Role>,
}

impl Seat {
    fn new(member: &Member, executor: Arc<dyn Executor>, conduct: Conduct) -> Seat {
        let party = Party {
            executor: Arc::clone(&executor),
            ..member.party.clone()
        };
        Seat {
            key: member.key.clone(),
            network: member.party.account.network().clone(),
            blobs: member.party.blobs.clone(),
            executor,
            name: member.party.name.clone(),
            protection: Arc::clone(&member.party.protection),
            role: conduct.build(party),
            conduct,
        }
    }

    /// Whose it is.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Has no longer what it has read.
    pub(crate) fn forgets_inputs(&mut self) {
        self.blobs = self.blobs.apart();
        self.restart();
    }

    /// Has only the inputs that it can read or has kept.
    pub(crate) fn forgets_runs(&mut self) {
        self.executor = Arc::new(Forgetful(Arc::clone(&self.executor)));
        self.restart();
    }

    /// Drops the role and builds it again from its key.
    pub(crate) fn restart(&mut self) {
        let party = Party {
            protection: Arc::clone(&self.protection),
            name: self.name.clone(),
            account: Account::new(self.key.clone(), self.network.clone()),
            executor: Arc::clone(&self.executor),
            blobs: self.blobs.clone(),
        };
        self.role = self.conduct.build(party);
    }
}

impl Conduct {
    fn build(&self, party: Party) -> Box<dyn Role> {
        match self {
            Conduct::Requester => Box::new(Requester::new(party)),
            Conduct::Provider(policy) => Box::new(Provider::new(party, policy.clone())),
            Conduct::Auditor { lazy } => Box::new(Auditor::new(party).lazy(*lazy)),
            Conduct::Referee { lying } => Box::new(Referee::new(party).lying(*lying)),
            Conduct::Watcher(conduct) => {
                let mut watcher = Watcher::new(party)
                    .silent_after_reveal(conduct.silent)
                    .appeals(conduct.appeals);
                if let Some(provider) = conduct.only {
                    watcher = watcher.only_provider(provider);
                }
                if conduct.once {
                    watcher = watcher.at_most(1);
                }
                Box::new(watcher)
            }
            Conduct::Keeper => Box::new(Keeper::new(party)),
        }
    }
}

/// Somebody with a key.
pub(crate) struct Member {
    pub(crate) facts: PartyFacts,
    pub(crate) party: Party,
    pub(crate) key: PrivateKeySigner,
    pub(crate) provider: Option<ProviderSpec>,
    pub(crate) watcher: Option<WatcherSpec>,
}

impl Member {
    pub(crate) fn address(&self) -> Address {
        self.party.address()
    }

    fn fault(&self) -> Option<Fault> {
        self.facts.faults.first().copied()
    }
}

/// What a provider computes its results with.
pub(crate) fn provider_executor(
    workload: &Workload,
    fault: Option<Fault>,
    seed: u64,
) -> Arc<dyn Executor> {
    match fault.filter(|f| f.makes_wrong_results()) {
        Some(fault) => workload.liar(fault, seed),
        None => Arc::clone(workload.honest()) as Arc<dyn Executor>,
    }
}

/// The seats of all members, in order.
pub(crate) fn seats(members: &[Member], scenario: &Scenario, workload: &Workload) -> Vec<Seat> {
    let model = workload.model().model_id();
    let honest = || Arc::clone(workload.honest()) as Arc<dyn Executor>;
    let mut seats = Vec::new();
    for member in members {
        let fault = member.fault();
        if let Some(spec) = &member.provider {
            let policy = policy(spec, model);
            let own = Arc::clone(&member.party.executor);
            let on_duty = match spec.wrong_on_duty {
                true => Arc::clone(&own),
                false => honest(),
            };
            seats.push(Seat::new(member, own, Conduct::Provider(policy)));
            let lazy = fault == Some(Fault::LazyAuditor);
            let conduct = Conduct::Auditor { lazy };
            seats.push(Seat::new(member, Arc::clone(&on_duty), conduct));
            let lying = fault == Some(Fault::LyingReferee);
            seats.push(Seat::new(member, on_duty, Conduct::Referee { lying }));
        } else if let Some(spec) = &member.watcher {
            let (executor, conduct) = watcher(members, scenario, workload, fault, spec.appeals);
            seats.push(Seat::new(member, executor, Conduct::Watcher(conduct)));
        } else if member.facts.role == "requester" {
            seats.push(Seat::new(member, honest(), Conduct::Requester));
        } else {
            seats.push(Seat::new(member, honest(), Conduct::Keeper));
        }
    }
    seats
}

fn policy(spec: &ProviderSpec, model: Digest) -> ProviderPolicy {
    ProviderPolicy {
        delivers: spec.fault != Some(Fault::NoResult),
        defends: spec.fault != Some(Fault::Withhold),
        appeals: spec.appeals,
        ..ProviderPolicy::honest(spec.reserve.0, vec![model])
    }
}

fn watcher(
    members: &[Member],
    scenario: &Scenario,
    workload: &Workload,
    fault: Option<Fault>,
    appeals: bool,
) -> (Arc<dyn Executor>, WatcherConduct) {
    let providers = || members.iter().filter(|m| m.provider.is_some());
    let honest = WatcherConduct {
        appeals,
        ..WatcherConduct::default()
    };
    match fault {
        Some(Fault::FalseChallenge) => {
            // the honest provider that asks for the least is sure to have a result
            let victim = providers().filter(|m| m.fault().is_none()).min_by_key(|m| {
                let spec = m.provider.as_ref();
                spec.map_or(u128::MAX, |s| s.reserve.0)
            });
            let conduct = WatcherConduct {
                only: victim.map(Member::address),
                once: true,
                silent: false,
                appeals,
            };
            let liar = workload.liar(Fault::FalseChallenge, scenario.seed);
            (liar, conduct)
        }
        Some(Fault::SockPuppet) => {
            let friend = providers().find(|m| m.fault().is_some_and(|f| f.makes_wrong_results()));
            let Some((friend, fault)) = friend.and_then(|m| Some((m, m.fault()?))) else {
                return (Arc::clone(workload.honest()) as Arc<dyn Executor>, honest);
            };
            let cheat = workload.liar(fault, scenario.seed);
            let conduct = WatcherConduct {
                only: Some(friend.address()),
                once: true,
                silent: sock_puppet::falls_silent(&cheat),
                appeals,
            };
            let own = sock_puppet::executor(&cheat, scenario.seed ^ 0x50c4);
            (Arc::new(own), conduct)
        }
        _ => (Arc::clone(workload.honest()) as Arc<dyn Executor>, honest),
    }
}
