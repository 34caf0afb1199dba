//! Random audits: the lottery and what came of it.

use gavel_node::U256;
use gavel_node::board::AuditState;
use gavel_settlement::alloy::primitives::keccak256;
use gavel_settlement::alloy::sol_types::SolValue as _;
use serde_json::{Value, json};

use super::{Answer, Missing, Page, View, amount, listed, seed};

const PPM: u64 = 1_000_000;

/// Thousands with commas.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

impl View<'_> {
    pub(crate) fn audits(&self, page: Page) -> Value {
        // the cursor counts tasks and attempts as one number
        let cursor = |(task, attempt): &(u64, u8)| task.saturating_mul(256) + u64::from(*attempt);
        let all = &self.index().audits;
        let after = all
            .keys()
            .rev()
            .filter(|key| page.before.is_none_or(|before| cursor(key) < before));
        let shown = after.take(page.limit);
        let shown = shown.filter_map(|key| Some((cursor(key), self.audit(key.0, key.1).ok()?)));
        listed(shown.collect(), page, all.len(), |n| {
            all.keys().next().is_some_and(|first| cursor(first) < n)
        })
    }

    pub(crate) fn audit(&self, task: u64, attempt: u8) -> Answer {
        let board = self.board();
        let Some(tale) = self.index().audits.get(&(task, attempt)) else {
            return self.waiting_audit(task, attempt);
        };
        let rules = board.rules_of(task).map(|rules| &rules.audit);
        let probation_tasks = rules.map_or(0, |r| r.probation_tasks);
        let probation = tale.settled_before < u64::from(probation_tasks);
        // what a newcomer's first results are drawn at is the rate after them: whether they would have been audited anyway
        let settled = tale.settled_before.max(probation_tasks.into());
        let rate = rules.map_or(0, |r| r.rate_of(settled));
        let value = seed(board, tale.round);
        let draw = value.map(|value| {
            let hashed = keccak256((value, U256::from(task), U256::from(attempt)).abi_encode());
            (U256::from_be_bytes(hashed.0) % U256::from(PPM)).to::<u64>()
        });
        let by_draw = draw.is_some_and(|draw| draw < u64::from(rate));
        let text = match (draw, probation) {
            (None, _) => "the beacon's round is not out yet".to_owned(),
            (Some(draw), _) if by_draw => format!(
                "the number drawn, {}, is below {}: the result is audited",
                grouped(draw),
                grouped(rate.into())
            ),
            (Some(_), true) => format!(
                "one of the provider's first {probation_tasks} results: audited whatever is drawn"
            ),
            (Some(draw), false) => format!(
                "the number drawn, {}, is not below {}: no audit",
                grouped(draw),
                grouped(rate.into())
            ),
        };
        let record = board.audits.get(&(task, attempt)).map(|entry| &entry.audit);
        let state = record.map_or(AuditState::None, |audit| audit.state);
        let class = board.task(task).map(|t| t.class);
        let pool = class.and_then(|class| board.pools.get(&class));
        let provider = tale.provider;
        let candidates = pool
            .into_iter()
            .flatten()
            .filter(|(who, _)| !board.is_side(&provider, who));
        Ok(json!({
            "task": task, "attempt": attempt,
            "state": match state { AuditState::None => json!("waiting"), state => json!(state) },
            "provider": self.party(&tale.provider), "round": tale.round, "seed": value,
            "round_at": board.beacon.time_of(tale.round), "rate_ppm": rate, "probation": probation && !by_draw,
            "draw": draw, "threshold": rate, "text": text,
            "auditors": tale.auditors.iter().map(|a| json!({
                "party": self.party(&a.party), "drawn_at": a.drawn_at, "deadline": a.deadline, "outcome": a.outcome,
                "penalty": amount(a.penalty), "fee": amount(a.fee), "reason": a.reason,
            })).collect::<Vec<_>>(),
            "leaf": tale.leaf, "dispute": tale.dispute,
            "candidates": candidates.map(|(who, weight)| json!({
                "provider": self.party(who), "weight": amount(*weight),
            })).collect::<Vec<_>>(),
        }))
    }

    /// An audit of which the beacon has not decided.
    fn waiting_audit(&self, task: u64, attempt: u8) -> Answer {
        let board = self.board();
        let of = board.task(task).filter(|t| t.attempt == attempt);
        let (Some(of), Some(round)) = (of, board.audit_round(task)) else {
            return Err(Missing::Never {
                what: format!("an audit of attempt {attempt} of task {task}"),
                expected: "a task and an attempt with a result".to_owned(),
                hint: "GET /api/v1/audits",
            });
        };
        let settled = board
            .providers
            .get(&of.provider)
            .map_or(0, |p| p.settled_tasks);
        let rate = board.rules_of(task).map_or(0, |rules| {
            rules
                .audit
                .rate_of(settled.max(rules.audit.probation_tasks.into()))
        });
        Ok(json!({
            "task": task, "attempt": attempt, "state": "waiting", "provider": self.party(&of.provider),
            "round": round, "seed": seed(board, round), "round_at": board.beacon.time_of(round), "rate_ppm": rate,
            "probation": false, "draw": null, "threshold": rate,
            "text": format!("round {round} of the beacon decides"), "auditors": [], "leaf": null,
            "dispute": null, "candidates": [],
        }))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(super::grouped(0), "0");
        assert_eq!(super::grouped(181_233), "181,233");
        assert_eq!(super::grouped(1_000_000), "1,000,000");
    }
}
