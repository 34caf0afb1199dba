//! Tasks and their attempts.

use gavel_node::Executor as _;
use gavel_settlement::bindings::Market::{self, MarketEvents};
use gavel_trace::Digest;

use super::transaction::Transaction;
use super::{Chronicle, Said, digest, id, plain, word};
use crate::amount::tokens;
use crate::timeline::{Tone, duration};
use crate::{Amount, AttemptReport, ClaimReport, TaskReport};

/// A task while it is being told.
pub(super) struct TaskTale {
    pub(super) report: TaskReport,
    pub(super) input_digest: Digest,
    /// Levy that the audit pool kept.
    pub(super) levy: u128,
    /// Steps of the newest result.
    pub(super) steps: u32,
}

impl TaskTale {
    fn attempt(&mut self) -> Option<&mut AttemptReport> {
        self.report.attempts.last_mut()
    }

    fn end(&mut self, state: &str, outcome: &str, refund: u128) {
        self.report.state = state.to_owned();
        self.report.refund = Amount(refund);
        if let Some(last) = self.attempt() {
            last.outcome = outcome.to_owned();
        }
    }
}

fn opened(attempt: u8, min: u128, max: u128) -> AttemptReport {
    AttemptReport {
        attempt,
        provider: None,
        price: None,
        min_price: Amount(min),
        max_price: Amount(max),
        prediction: None,
        honest_trace: None,
        outcome: "open".to_owned(),
    }
}

impl Chronicle {
    pub(super) fn market(&mut self, tx: &Transaction, event: &MarketEvents) -> Vec<Said> {
        match event {
            MarketEvents::TaskPosted(e) => self.posted(e),
            MarketEvents::TaskClaimed(e) => self.claimed(tx, e),
            MarketEvents::ResultCommitted(e) => self.committed(e),
            MarketEvents::ResultRetracted(e) => plain(format!(
                "takes back its result of task {} for a penalty of {}",
                e.taskId,
                Amount(e.penalty)
            )),
            MarketEvents::DeadlineMissed(e) => vec![Said::Headline(
                Tone::Bad,
                format!(
                    "reports that {} delivered nothing for task {} in time",
                    self.name(&e.provider),
                    e.taskId
                ),
            )],
            MarketEvents::TaskRequeued(e) => self.requeued(e),
            MarketEvents::TaskSettled(e) => self.settled(e),
            MarketEvents::TaskCancelled(e) => {
                self.end(id(e.taskId), "cancelled", e.refund);
                plain(format!("cancels task {}", e.taskId))
            }
            MarketEvents::TaskExpired(e) => {
                self.end(id(e.taskId), "expired", e.refund);
                plain(format!(
                    "sends task {} home: nobody served it; {} go back",
                    e.taskId,
                    Amount(e.refund)
                ))
            }
            MarketEvents::ResultReversed(e) => vec![Said::Headline(
                Tone::Bad,
                format!(
                    "takes task {} from {}, who has been removed",
                    e.taskId,
                    self.name(&e.provider)
                ),
            )],
            _ => Vec::new(),
        }
    }

    fn end(&mut self, task: u64, state: &str, refund: u128) {
        if let Some(tale) = self.tasks.get_mut(&task) {
            tale.end(state, state, refund);
        }
    }

    fn posted(&mut self, e: &Market::TaskPosted) -> Vec<Said> {
        let (task, input_digest) = (id(e.taskId), digest(&e.spec.inputDigest));
        let input = self.workload.input(&input_digest);
        let name = input.map_or_else(|| input_digest.to_string(), |i| i.name.clone());
        let report = TaskReport {
            id: task,
            input: name.clone(),
            prediction: None,
            expected: input.and_then(|i| i.expected.clone()),
            state: "open".to_owned(),
            attempts: vec![opened(0, e.spec.minPrice, e.spec.maxPrice)],
            paid: Amount(0),
            refund: Amount(0),
        };
        let tale = TaskTale {
            report,
            input_digest,
            levy: 0,
            steps: 1,
        };
        self.tasks.insert(task, tale);
        let question = self.workload.question(&name);
        plain(format!(
            "posts task {task}: {question} The price rises from {} to {} tokens in {}",
            Amount(e.spec.minPrice),
            Amount(e.spec.maxPrice),
            duration(e.spec.rampSeconds.into())
        ))
    }

    fn claimed(&mut self, tx: &Transaction, e: &Market::TaskClaimed) -> Vec<Said> {
        let (task, provider) = (id(e.taskId), self.name(&e.provider));
        let retry_lane = tx.action == "claimRetry";
        self.claims.push(ClaimReport {
            task,
            attempt: e.attempt,
            provider: provider.clone(),
            price: Amount(e.price),
            collateral: Amount(e.collateral),
            retry_lane,
            at: self.at(tx),
        });
        if let Some(tale) = self.tasks.get_mut(&task) {
            tale.report.state = "claimed".to_owned();
            if let Some(attempt) = tale.attempt() {
                attempt.provider = Some(provider);
                attempt.price = Some(Amount(e.price));
            }
        }
        let price = tokens(e.price);
        let what = match retry_lane {
            true => {
                format!("takes task {task} from the retry lane, before all new ones, at {price}")
            }
            false => format!("wins task {task} at {price}"),
        };
        let locked = format!("{} of its stake locked for it", tokens(e.collateral));
        vec![Said::Headline(Tone::Plain, what), Said::Detail(locked)]
    }

    fn committed(&mut self, e: &Market::ResultCommitted) -> Vec<Said> {
        let task = id(e.taskId);
        let root = digest(&e.traceRoot);
        let model = self.workload.model().model_id();
        let Some(tale) = self.tasks.get_mut(&task) else {
            return Vec::new();
        };
        let inputs = self.workload.input(&tale.input_digest);
        let honest = inputs.and_then(|i| self.workload.honest().run(&model, &i.tensors).ok());
        let own = self
            .people
            .get(&e.provider)
            .and_then(|person| person.executor.as_ref())
            .zip(inputs)
            .and_then(|(executor, i)| executor.run(&model, &i.tensors).ok());
        let (is_honest, expected) = match &honest {
            Some(run) => (
                Some(run.trace.trace_root() == root),
                self.workload.label(run),
            ),
            None => (None, None),
        };
        let own = own.filter(|run| run.trace.trace_root() == root);
        let prediction = match is_honest {
            Some(true) => expected.clone(),
            _ => own.and_then(|run| self.workload.label(&run)),
        };
        tale.steps = e.steps;
        tale.report.state = "committed".to_owned();
        if let Some(attempt) = tale.attempt() {
            attempt.prediction.clone_from(&prediction);
            attempt.honest_trace = is_honest;
        }
        let seen = prediction.as_ref().map_or_else(String::new, |label| {
            format!(": it {} {label}", self.workload.verb())
        });
        let what = format!("delivers task {task}{seen}");
        if is_honest != Some(false) {
            return plain(what);
        }
        let lie = match (prediction, expected) {
            (Some(own), Some(right)) if own != right => {
                format!("an honest run says {right}; nobody knows that yet")
            }
            _ => {
                "the trace under it is not that of an honest run; nobody knows that yet".to_owned()
            }
        };
        vec![Said::Headline(Tone::Bad, what), Said::Detail(lie)]
    }

    fn requeued(&mut self, e: &Market::TaskRequeued) -> Vec<Said> {
        let reason = word(&e.reason);
        if let Some(tale) = self.tasks.get_mut(&id(e.taskId)) {
            tale.report.state = "open".to_owned();
            if let Some(attempt) = tale.attempt() {
                attempt.outcome = reason;
            }
            let next = opened(e.attempt, e.startPrice, e.newMaxPrice);
            tale.report.attempts.push(next);
        }
        vec![Said::Detail(format!(
            "task {} goes back to the auction, into the retry lane, from {} up to {} tokens",
            e.taskId,
            Amount(e.startPrice),
            Amount(e.newMaxPrice)
        ))]
    }

    fn settled(&mut self, e: &Market::TaskSettled) -> Vec<Said> {
        let task = id(e.taskId);
        let provider = self.name(&e.provider);
        let levy = self.levy;
        let mut shown = String::new();
        if let Some(tale) = self.tasks.get_mut(&task) {
            tale.end("settled", "settled", e.refund);
            tale.levy = levy;
            tale.report.paid = Amount(e.price);
            let last = tale.report.attempts.last();
            tale.report.prediction = last.and_then(|a| a.prediction.clone());
            if let Some(label) = &tale.report.prediction {
                shown = format!(": {} {} {label}", tale.report.input, self.workload.verb());
            }
        }
        vec![
            Said::Headline(Tone::Good, format!("settles task {task}{shown}")),
            Said::Detail(format!(
                "{provider} is paid {}; {} of the escrow back to the requester",
                tokens(e.price),
                tokens(e.refund)
            )),
        ]
    }
}
