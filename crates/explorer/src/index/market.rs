//! Tasks and their attempts, models and pools.

use gavel_settlement::bindings::Market::{self, MarketEvents};
use gavel_settlement::bindings::ProviderPool::ProviderPoolEvents;
use gavel_trace::ModelHeader;

use super::CLAIMS_KEPT;
use super::told::Telling;
use super::transaction::Transaction;
use super::{At, AttemptTale, Claimed, Index, Registered, Step, TaskTale, Tone, digest, id, word};
use crate::words::duration;
use gavel_settlement::amount::{Amount, tokens};

pub(super) fn at(tx: &Transaction) -> At {
    At {
        time: tx.time,
        block: tx.block,
        transaction: tx.hash,
        by: tx.from,
    }
}

/// Why an attempt ended, for people.
fn outcome_text(outcome: &str, dispute: Option<u64>) -> String {
    let of = dispute.map_or_else(String::new, |dispute| format!(" in dispute {dispute}"));
    match outcome {
        "deadline" => "delivered nothing in time; the task went back to the auction".to_owned(),
        "retract" => "took its result back; the task went back to the auction".to_owned(),
        "guilty" => format!("convicted{of}; the task went back to the auction"),
        "void" => "a dispute came to nothing; the task went back to the auction".to_owned(),
        "reversed" => "its provider was removed; the task went back to the auction".to_owned(),
        "settled" => "paid".to_owned(),
        "expired" => "too many have failed at it; the task went home".to_owned(),
        other => other.to_owned(),
    }
}

impl Index {
    /// Adds a step to a task's history.
    pub(super) fn step(
        &mut self,
        tx: &Transaction,
        task: u64,
        stage: &'static str,
        text: &str,
        dispute: Option<u64>,
    ) {
        let Some(tale) = self.tasks.get_mut(&task) else {
            return;
        };
        tale.updated_at = tx.time;
        let attempt = tale.running_attempt();
        tale.history.push(Step {
            at: at(tx),
            stage,
            attempt,
            text: text.to_owned(),
            dispute,
        });
    }

    pub(super) fn market(&mut self, tx: &Transaction, event: &MarketEvents, telling: &mut Telling) {
        if let Some(task) = super::ledger::task_of(event) {
            telling.touch_task(task);
        }
        match event {
            MarketEvents::TaskPosted(e) => self.posted(tx, e, telling),
            MarketEvents::TaskClaimed(e) => self.claimed(tx, e, telling),
            MarketEvents::ResultCommitted(e) => self.committed(tx, e, telling),
            MarketEvents::ResultRetracted(e) => {
                let task = id(e.taskId);
                self.person(&e.provider).retracted += 1;
                let what = format!(
                    "takes back its result of task {task} for a penalty of {}",
                    tokens(e.penalty)
                );
                self.step(tx, task, "retracted", &what, None);
                telling.headline(Tone::Bad, what);
            }
            MarketEvents::DeadlineMissed(e) => {
                let task = id(e.taskId);
                let person = self.person(&e.provider);
                person.missed += 1;
                person.jailed_for = Some(format!("delivered nothing for task {task} in time"));
                let provider = self.name(&e.provider);
                let what =
                    format!("reports that {provider} delivered nothing for task {task} in time");
                self.step(tx, task, "missed", &what, None);
                telling.touch_provider(&e.provider);
                telling.headline(Tone::Bad, what);
            }
            MarketEvents::ResultReversed(e) => {
                let task = id(e.taskId);
                self.person(&e.provider).reversed += 1;
                let provider = self.name(&e.provider);
                let what = format!("takes task {task} from {provider}, which has been removed");
                self.step(tx, task, "reversed", &what, None);
                telling.headline(Tone::Bad, what);
            }
            MarketEvents::TaskRequeued(e) => self.requeued(tx, e, telling),
            MarketEvents::TaskSettled(e) => {
                let task = id(e.taskId);
                self.person(&e.provider).settled += 1;
                let provider = self.name(&e.provider);
                let what = format!(
                    "settles task {task}: {provider} is paid {}",
                    tokens(e.price)
                );
                self.end(tx, task, "settled", "settled", &what);
                telling.touch_provider(&e.provider);
                telling.headline(Tone::Good, what);
                telling.detail(format!(
                    "{} of the escrow back to the requester",
                    tokens(e.refund)
                ));
            }
            MarketEvents::TaskCancelled(e) => {
                let task = id(e.taskId);
                let what = format!("cancels task {task}; {} go back", tokens(e.refund));
                self.end(tx, task, "cancelled", "cancelled", &what);
                telling.touch("auction".to_owned());
                telling.headline(Tone::Plain, what);
            }
            MarketEvents::TaskExpired(e) => {
                let task = id(e.taskId);
                let why = if e.hadNoBid {
                    "no bid at this price"
                } else {
                    "nobody served it"
                };
                let what = format!(
                    "sends task {task} home: {why}; {} go back",
                    tokens(e.refund)
                );
                self.end(tx, task, "expired", "expired", &what);
                telling.touch("auction".to_owned());
                telling.headline(Tone::Plain, what);
            }
            MarketEvents::ModelRegistered(e) => {
                let model = digest(&e.modelId);
                let registered = Registered {
                    at: tx.time,
                    by: e.by,
                    header: header(&e.header),
                };
                self.models.insert(model, registered);
                let name = self.catalogue.model_name_or_short(&model);
                telling.touch(format!("model/{model}"));
                telling.headline(Tone::Plain, format!("registers model {name}"));
            }
        }
    }

    fn posted(&mut self, tx: &Transaction, e: &Market::TaskPosted, telling: &mut Telling) {
        let task = id(e.taskId);
        let model = digest(&e.modelId);
        self.tasks.insert(
            task,
            TaskTale {
                model,
                posted_at: tx.time,
                updated_at: tx.time,
                min_price: e.spec.minPrice,
                max_price: e.spec.maxPrice,
                attempts: Vec::new(),
                history: Vec::new(),
                challenges: Vec::new(),
                disputes: Vec::new(),
                money: Vec::new(),
            },
        );
        self.person(&e.requester).posted += 1;
        self.name_task(&e.requester, task);
        let what = format!(
            "posts task {task} for {}: the price rises from {} to {} tokens in {}",
            self.catalogue.model_name_or_short(&model),
            Amount(e.spec.minPrice),
            Amount(e.spec.maxPrice),
            duration(e.spec.rampSeconds.into())
        );
        self.step(tx, task, "posted", &what, None);
        telling.touch("auction".to_owned());
        telling.headline(Tone::Plain, what);
    }

    fn claimed(&mut self, tx: &Transaction, e: &Market::TaskClaimed, telling: &mut Telling) {
        let task = id(e.taskId);
        let what = match e.attempt {
            0 => format!("wins task {task} at {}", tokens(e.price)),
            _ => format!(
                "takes task {task} from the retry lane, before all new ones, at {}",
                tokens(e.price)
            ),
        };
        if let Some(tale) = self.tasks.get_mut(&task) {
            tale.attempts.push(AttemptTale {
                attempt: e.attempt,
                provider: e.provider,
                price: e.price,
                collateral: e.collateral,
                claimed_at: tx.time,
                deadline: e.deadline,
                committed_at: None,
                result: None,
                outcome: "running".to_owned(),
                ended_at: None,
                outcome_text: "has claimed the task".to_owned(),
            });
            self.claims.push_front(Claimed {
                task,
                attempt: e.attempt,
                provider: e.provider,
                price: e.price,
                min_price: tale.min_price,
                max_price: tale.max_price,
                time: tx.time,
                transaction: tx.hash,
            });
            self.claims.truncate(CLAIMS_KEPT);
        }
        self.person(&e.provider).claimed += 1;
        self.name_task(&e.provider, task);
        self.step(tx, task, "claimed", &what, None);
        telling.touch("auction".to_owned());
        telling.touch_provider(&e.provider);
        telling.headline(Tone::Plain, what);
        telling.detail(format!(
            "{} of its stake locked for it",
            tokens(e.collateral)
        ));
    }

    fn committed(&mut self, tx: &Transaction, e: &Market::ResultCommitted, telling: &mut Telling) {
        let task = id(e.taskId);
        let last = self
            .tasks
            .get_mut(&task)
            .and_then(|t| t.attempts.last_mut());
        if let Some(attempt) = last {
            attempt.committed_at = Some(tx.time);
            attempt.result = Some((e.steps, digest(&e.outputDigest), digest(&e.traceRoot)));
            attempt.outcome_text = "its result may be challenged".to_owned();
        }
        self.person(&e.provider).served += 1;
        let what = format!("delivers task {task}");
        self.step(tx, task, "committed", &what, None);
        telling.touch_provider(&e.provider);
        telling.headline(Tone::Plain, what);
    }

    fn requeued(&mut self, tx: &Transaction, e: &Market::TaskRequeued, telling: &mut Telling) {
        let (task, reason) = (id(e.taskId), word(&e.reason));
        let dispute = self.disputes.iter_mut().rev().find(|(_, d)| {
            d.task == task
                && d.closed
                    .as_ref()
                    .is_some_and(|closed| closed.at.transaction == tx.hash)
        });
        let dispute = dispute.map(|(dispute, tale)| {
            if let Some(closed) = &mut tale.closed {
                closed.requeued_to = Some(e.attempt);
            }
            *dispute
        });
        self.end_attempt(tx, task, &reason, dispute);
        if let Some(tale) = self.tasks.get_mut(&task) {
            tale.min_price = e.startPrice;
            tale.max_price = e.newMaxPrice;
        }
        let what = format!(
            "task {task} goes back to the auction, into the retry lane, from {} up to {} tokens",
            Amount(e.startPrice),
            Amount(e.newMaxPrice)
        );
        self.step(tx, task, "requeued", &what, dispute);
        telling.touch("auction".to_owned());
        telling.detail(what);
    }

    fn end_attempt(&mut self, tx: &Transaction, task: u64, outcome: &str, dispute: Option<u64>) {
        let last = self
            .tasks
            .get_mut(&task)
            .and_then(|t| t.attempts.last_mut());
        if let Some(attempt) = last.filter(|a| a.ended_at.is_none()) {
            attempt.outcome = outcome.to_owned();
            attempt.ended_at = Some(tx.time);
            attempt.outcome_text = outcome_text(outcome, dispute);
        }
    }

    /// The task is final.
    fn end(&mut self, tx: &Transaction, task: u64, stage: &'static str, outcome: &str, what: &str) {
        self.end_attempt(tx, task, outcome, None);
        self.step(tx, task, stage, what, None);
        self.final_tasks.push_back(task);
    }

    pub(super) fn pool(&mut self, event: &ProviderPoolEvents, telling: &mut Telling) {
        match event {
            ProviderPoolEvents::Joined(e) => {
                let class = digest(&e.classId);
                let name = self.catalogue.model_name_or_short(&class);
                telling.touch_provider(&e.provider);
                telling.touch(format!("model/{class}"));
                telling.headline(
                    Tone::Plain,
                    format!("joins the pool of auditors and referees of {name}"),
                );
            }
            ProviderPoolEvents::Left(e) => {
                let class = digest(&e.classId);
                let (who, name) = (
                    self.name(&e.provider),
                    self.catalogue.model_name_or_short(&class),
                );
                telling.touch_provider(&e.provider);
                telling.touch(format!("model/{class}"));
                telling.detail(format!("{who} leaves the pool of {name}"));
            }
            ProviderPoolEvents::FamilyRegistered(e) => {
                let family = digest(&e.familyId);
                let name = self.catalogue.model_name_or_short(&family);
                telling.headline(Tone::Plain, format!("registers family {name}"));
            }
            ProviderPoolEvents::BindingShown(e) => {
                let model = digest(&e.modelId);
                let name = self.catalogue.model_name_or_short(&model);
                telling.headline(Tone::Plain, format!("shows that {name} is of a family"));
            }
            ProviderPoolEvents::WeightChanged(_) => {}
        }
    }
}

fn header(h: &Market::ModelHeader) -> ModelHeader {
    ModelHeader {
        numerics_version: h.numericsVersion,
        lowering_version: h.loweringVersion,
        node_count: h.nodeCount,
        max_steps: h.maxSteps,
        commit_points: h.commitPoints,
        trace_height: h.traceHeight,
        ops_height: h.opsHeight,
        live_height: h.liveHeight,
        work: h.work,
        nodes_root: digest(&h.nodesRoot),
        edges_root: digest(&h.edgesRoot),
        weights_root: digest(&h.weightsRoot),
        segments_root: digest(&h.segmentsRoot),
        assets_root: digest(&h.assetsRoot),
    }
}
