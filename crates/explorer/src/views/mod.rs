//! Answers: what stands on the board and in the index, in the shapes of `docs/reference/explorer-api.md`. Pure.

mod auction;
mod audit;
mod dispute;
mod money;
mod people;
mod place;
mod rules;
mod search;
mod task;
mod turn;

pub(crate) use dispute::DisputeFilter;
pub(crate) use task::TaskFilter;

use gavel_node::board::Board;
use gavel_node::{Address, B256};
use gavel_trace::Digest;
use serde_json::{Value, json};

use crate::asset::UNNAMED;
use crate::index::ledger::Account;
use crate::index::{Index, Line};
use crate::state::{Shared, State};

/// Everything that an answer is made from.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) state: &'a State,
    pub(crate) shared: &'a Shared,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// There is none, nor was there.
    Never {
        what: String,
        expected: String,
        hint: &'static str,
    },
    /// There was; it is no longer kept.
    Forgotten { what: String },
}

pub(crate) type Answer = Result<Value, Missing>;

impl<'a> View<'a> {
    fn index(&self) -> &'a Index {
        &self.state.index
    }

    fn board(&self) -> &'a Board {
        &self.state.board
    }

    fn party(&self, who: &Address) -> Value {
        party(self.index(), who)
    }

    fn party_or_null(&self, who: &Address) -> Value {
        match who.is_zero() {
            true => Value::Null,
            false => self.party(who),
        }
    }

    fn model(&self, model: &Digest) -> Value {
        json!({"id": model, "name": self.shared.catalogue.model_name(model)})
    }

    pub(crate) fn status(&self) -> Value {
        let (board, index) = (self.board(), self.index());
        let d = &self.shared.deployment;
        let open = board
            .tasks
            .values()
            .filter(|t| !t.task.state.is_final())
            .count();
        let (head, asset) = (&board.head, self.state.asset.as_ref());
        json!({
            "chain_id": d.chain_id,
            "head": {"number": head.number, "hash": head.hash, "time": head.time},
            "clock": self.shared.clock(self.state),
            "asset": {
                "address": d.token, "symbol": asset.map_or(UNNAMED, |asset| &asset.symbol),
                "decimals": asset.map_or(gavel_settlement::amount::DECIMALS, |asset| asset.decimals),
            },
            "contracts": {
                "market": d.market, "court": d.court, "vault": d.vault, "pool": d.pool, "audits": d.audits,
                "appeal_levels": d.appeal_levels, "parameters": d.parameters, "beacon": d.beacon,
                "asset": d.token, "timelock": d.timelock,
            },
            "counts": {
                "tasks": board.tasks.len(), "open_tasks": open, "providers": board.providers.len(),
                "disputes": board.disputes.len(), "open_disputes": board.open_disputes().count(),
                "models": board.models.len(), "audits": index.audits.values().filter(|a| a.selected).count(),
            },
            "burned": amount(index.ledger.balance(&Account::Burned)),
            "audit_pool": amount(index.ledger.balance(&Account::AuditPool)),
            "paused": board.paused,
            "version": env!("CARGO_PKG_VERSION"),
            "behind": self.state.behind,
            "error": self.state.error,
            "scenario": self.shared.scene.as_ref().map(|scene| json!({
                "adversary": scene.adversary, "sentence": scene.sentence,
            })),
        })
    }

    pub(crate) fn activity(&self, page: Page) -> Value {
        let lines = &self.index().lines;
        let items = lines
            .iter()
            .rev()
            .filter(|l| page.before.is_none_or(|before| l.n < before));
        let shown = items.take(page.limit).map(|l| (l.n, line(self.index(), l)));
        listed(shown.collect(), page, lines.len(), |n| {
            lines.front().is_some_and(|first| first.n < n)
        })
    }
}

/// What part of a list is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    pub(crate) before: Option<u64>,
    pub(crate) limit: usize,
}

/// A page of a list of things with numbers; `more` says whether there are any below a number.
fn listed(items: Vec<(u64, Value)>, page: Page, total: usize, more: impl Fn(u64) -> bool) -> Value {
    let last = items.last().map(|(n, _)| *n);
    let next = last.filter(|last| items.len() == page.limit && more(*last));
    let items: Vec<Value> = items.into_iter().map(|(_, item)| item).collect();
    json!({"items": items, "next": next.map(|n| n.to_string()), "total": total})
}

fn amount(units: u128) -> Value {
    Value::String(units.to_string())
}

fn party(index: &Index, who: &Address) -> Value {
    json!({"address": who, "name": index.catalogue.name_of(who)})
}

/// A time that is zero while it is unknown.
fn time_or_null(time: u64) -> Value {
    match time {
        0 => Value::Null,
        time => json!(time),
    }
}

fn digest_or_null(digest: &Digest) -> Value {
    match digest.is_zero() {
        true => Value::Null,
        false => json!(digest),
    }
}

/// A line, with its sender's name.
pub(crate) fn line(index: &Index, line: &Line) -> Value {
    json!({
        "n": line.n, "block": line.block, "time": line.time, "transaction": line.transaction,
        "who": party(index, &line.who), "what": line.what, "details": line.details,
        "tone": line.tone, "touches": line.touches,
    })
}

/// A beacon's value that was published.
fn seed(board: &Board, round: u64) -> Option<B256> {
    board.beacon_value(round)
}
