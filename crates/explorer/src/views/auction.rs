//! The auction as it is now.

use std::collections::BTreeMap;

use gavel_node::board::TaskState;
use gavel_trace::Digest;
use serde_json::{Value, json};

use super::{View, amount};

impl View<'_> {
    pub(crate) fn auction(&self) -> Value {
        let board = self.board();
        let mut classes: BTreeMap<Digest, (Vec<u64>, Vec<u64>)> = BTreeMap::new();
        for (id, entry) in &board.tasks {
            let task = &entry.task;
            if task.state != TaskState::Open {
                continue;
            }
            let lanes = classes.entry(task.class).or_default();
            match task.attempt {
                0 => lanes.1.push(*id),
                _ => lanes.0.push(*id),
            }
        }
        let lanes = classes.into_iter().map(|(class, (mut retry, normal))| {
            retry.sort_by_key(|id| {
                let entry = board.tasks.get(id);
                entry.map_or((u8::MAX, 0), |e| (u8::MAX - e.task.attempt, e.enqueued))
            });
            let head = board.retry_head(&class);
            let grace = board.newest_rules().map_or(0, |r| r.market.retry_grace);
            let closes = head.map(|(_, entry)| entry.task.opened_at + u64::from(grace));
            json!({
                "class": class, "name": self.shared.catalogue.model_name(&class),
                "head": head.map(|(id, _)| id),
                "gate_closed": closes.is_some_and(|at| board.now() > at),
                "gate_closes_at": closes,
                "retry": retry.iter().map(|id| self.entry(*id)).collect::<Vec<_>>(),
                "normal": normal.iter().map(|id| self.entry(*id)).collect::<Vec<_>>(),
            })
        });
        let recent = self.index().claims.iter().map(|c| {
            json!({
                "task": c.task, "attempt": c.attempt, "provider": self.party(&c.provider), "price": amount(c.price),
                "min_price": amount(c.min_price), "max_price": amount(c.max_price), "time": c.time,
                "transaction": c.transaction,
            })
        });
        json!({"lanes": lanes.collect::<Vec<_>>(), "recent": recent.collect::<Vec<_>>()})
    }

    fn entry(&self, id: u64) -> Value {
        let board = self.board();
        let Some(entry) = board.tasks.get(&id) else {
            return Value::Null;
        };
        let task = &entry.task;
        let excluded = entry.attempts.iter().filter(|a| a.ended.is_some());
        let eligible = board
            .providers
            .keys()
            .filter(|p| board.can_claim(id, p))
            .count();
        json!({
            "task": id, "attempt": task.attempt, "model": self.model(&task.model),
            "requester": self.party(&task.requester), "min_price": amount(task.min_price),
            "max_price": amount(task.max_price), "ramp_seconds": task.ramp_seconds, "opened_at": task.opened_at,
            "expires_at": board.expires_at(id), "eligible": eligible,
            "excluded": excluded.map(|a| self.party(&a.provider)).collect::<Vec<_>>(),
        })
    }
}
