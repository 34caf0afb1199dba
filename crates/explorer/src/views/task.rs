//! Tasks.

use gavel_node::Address;
use gavel_node::board::{AuditState, TaskEntry, TaskState};
use gavel_trace::Digest;
use serde_json::{Value, json};

use super::{Answer, Missing, Page, View, amount, digest_or_null, listed, time_or_null};
use crate::index::TaskTale;
use crate::index::ledger::{Account, Why};

/// Which tasks are wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct TaskFilter {
    pub(crate) state: Option<String>,
    pub(crate) requester: Option<Address>,
    pub(crate) provider: Option<Address>,
    pub(crate) model: Option<Digest>,
}

/// A state's name, as it is written everywhere.
pub(super) fn word(state: impl serde::Serialize) -> String {
    match serde_json::to_value(state) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

impl View<'_> {
    pub(crate) fn tasks(&self, filter: &TaskFilter, page: Page) -> Value {
        let fits = |entry: &TaskEntry| {
            let task = &entry.task;
            let is = |wanted: &Option<Address>, found: &Address| {
                wanted.as_ref().is_none_or(|w| w == found)
            };
            filter
                .state
                .as_ref()
                .is_none_or(|state| word(task.state) == *state)
                && is(&filter.requester, &task.requester)
                && filter.model.is_none_or(|model| task.model == model)
                && filter
                    .provider
                    .is_none_or(|p| entry.attempts.iter().any(|a| a.provider == p))
        };
        let found: Vec<u64> = (self.board().tasks.iter().rev())
            .filter(|(id, entry)| self.index().tasks.contains_key(id) && fits(entry))
            .map(|(id, _)| *id)
            .collect();
        let after = found
            .iter()
            .filter(|id| page.before.is_none_or(|before| **id < before));
        let shown = after.take(page.limit);
        let shown = shown.filter_map(|id| Some((*id, self.task_summary(*id)?)));
        listed(shown.collect(), page, found.len(), |n| {
            found.last().is_some_and(|last| *last < n)
        })
    }

    pub(super) fn task_summary(&self, id: u64) -> Option<Value> {
        let task = self.board().task(id)?;
        let tale = self.index().tasks.get(&id)?;
        let price = (!task.provider.is_zero()).then(|| amount(task.price));
        Some(json!({
            "id": id, "state": task.state, "attempt": task.attempt, "model": self.model(&task.model),
            "requester": self.party(&task.requester), "provider": self.party_or_null(&task.provider),
            "price": price, "min_price": amount(task.min_price), "max_price": amount(task.max_price),
            "posted_at": tale.posted_at, "updated_at": tale.updated_at, "disputes": tale.disputes,
            "stage": match task.state {
                TaskState::Open => "auction",
                TaskState::Claimed => "claimed",
                TaskState::Committed if task.audit_pending => "judged",
                TaskState::Committed => "committed",
                TaskState::Disputed => "judged",
                TaskState::Settled => "settled",
                TaskState::Cancelled | TaskState::Expired => "ended",
            },
        }))
    }

    pub(crate) fn task(&self, id: u64) -> Answer {
        let newest = self.board().tasks.last_key_value().map_or(0, |(id, _)| *id);
        let (Some(mut shown), Some(tale)) = (self.task_summary(id), self.index().tasks.get(&id))
        else {
            return Err(match self.board().tasks.contains_key(&id) {
                true => Missing::Forgotten {
                    what: format!("task {id}"),
                },
                false => Missing::Never {
                    what: format!("task {id}"),
                    expected: format!("an id from 1 to {newest}"),
                    hint: "GET /api/v1/tasks",
                },
            });
        };
        let board = self.board();
        let Some(entry) = board.tasks.get(&id) else {
            return Ok(shown);
        };
        let task = &entry.task;
        let is_open = task.state == TaskState::Open;
        let is_claimed = task.state == TaskState::Claimed;
        let rest = json!({
            "class": task.class, "input_digest": task.input_digest, "seed": task.seed.to_string(),
            "input_uri": entry.input_uri, "rules": entry.rules, "opened_at": task.opened_at,
            "ramp_seconds": task.ramp_seconds, "exec_seconds": task.exec_seconds,
            "expires_at": board.expires_at(id).filter(|_| is_open),
            "deadline": is_claimed.then_some(task.deadline),
            "collateral": is_claimed.then(|| amount(task.collateral)),
            "result": self.result(id, entry),
            "attempts": self.attempts(tale),
            "history": tale.history.iter().map(|step| json!({
                "time": step.at.time, "block": step.at.block, "transaction": step.at.transaction,
                "by": self.party(&step.at.by), "stage": step.stage, "attempt": step.attempt,
                "text": step.text, "dispute": step.dispute,
            })).collect::<Vec<_>>(),
            "challenges": tale.challenges.iter().map(|c| json!({
                "attempt": c.attempt, "challenger": self.party(&c.challenger), "bond": amount(c.bond),
                "committed_at": c.committed_at, "dispute": c.dispute,
                "closed": board.challenges.get(&(id, c.attempt, c.challenger)).is_none_or(|own| own.closed),
            })).collect::<Vec<_>>(),
            "audits": (0..=task.attempt).rev().filter_map(|attempt| self.audit(id, attempt).ok()).collect::<Vec<_>>(),
            "money": self.money(&tale.money),
            "totals": self.totals(id, tale),
        });
        merge(&mut shown, rest);
        Ok(shown)
    }

    fn result(&self, id: u64, entry: &TaskEntry) -> Value {
        let (board, task) = (self.board(), &entry.task);
        if digest_or_null(&task.output_digest).is_null() || task.committed_at == 0 {
            return Value::Null;
        }
        let market = board.rules_of(id).map(|rules| &rules.market);
        let (window, reveal, retract) = market.map_or((0, 0, 0), |m| {
            (m.challenge_window, m.reveal_window, m.retract_window)
        });
        let at = task.committed_at;
        let windows = u64::from(window) + u64::from(reveal);
        let decided = board
            .audits
            .get(&(id, task.attempt))
            .map(|entry| entry.audit.state);
        json!({
            "steps": task.steps, "output_digest": task.output_digest, "trace_root": task.trace_root,
            "committed_at": at, "challenge_until": at + u64::from(window).saturating_sub(1),
            "reveal_from": at + u64::from(retract), "reveal_until": (at + windows).saturating_sub(1),
            "settleable_at": board.settleable_at(id).filter(|_| task.open_challenges == 0 && task.audit_closed),
            "audit": match decided {
                Some(AuditState::NotDrawn) => "none",
                _ if task.audit_pending => "pending",
                _ if task.audit_closed => "closed",
                _ => "undecided",
            },
            "audit_round": board.audit_round(id),
        })
    }

    fn attempts(&self, tale: &TaskTale) -> Vec<Value> {
        let attempts = tale.attempts.iter().map(|a| {
            json!({
                "attempt": a.attempt, "provider": self.party(&a.provider), "price": amount(a.price),
                "collateral": amount(a.collateral), "claimed_at": a.claimed_at, "deadline": a.deadline,
                "committed_at": a.committed_at,
                "result": a.result.map(|(steps, output, root)| json!({
                    "steps": steps, "output_digest": output, "trace_root": root,
                })),
                "outcome": a.outcome, "ended_at": a.ended_at.map_or(Value::Null, time_or_null),
                "outcome_text": a.outcome_text,
            })
        });
        attempts.collect()
    }

    /// The sums of a task's escrow.
    fn totals(&self, id: u64, tale: &TaskTale) -> Value {
        let pot = Account::Task(id);
        let out = |why: Why| -> u128 {
            let own = tale.money.iter().filter(|t| t.from == pot && t.why == why);
            own.map(|t| t.amount).sum()
        };
        let into: u128 = tale
            .money
            .iter()
            .filter(|t| t.to == pot)
            .map(|t| t.amount)
            .sum();
        json!({
            "escrowed": amount(into), "paid": amount(out(Why::Price)), "refunded": amount(out(Why::Refund)),
            "levy": amount(out(Why::Levy)), "burned": amount(out(Why::Burned)),
            "in_escrow": amount(self.index().ledger.balance(&pot)),
        })
    }
}

/// Puts the fields of one object into another.
pub(super) fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}
