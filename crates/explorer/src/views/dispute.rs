//! Disputes.

use gavel_node::Address;
use gavel_node::board::{DisputeEntry, DisputeState};
use gavel_settlement::bindings::AppealOutcome;
use serde_json::{Value, json};

use super::task::{merge, word};
use super::{Answer, Missing, Page, View, amount, listed, seed};
use crate::index::{DisputeTale, Level, Move};

/// Which disputes are wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct DisputeFilter {
    pub(crate) state: Option<String>,
    pub(crate) open: Option<bool>,
    pub(crate) task: Option<u64>,
    pub(crate) provider: Option<Address>,
}

impl View<'_> {
    pub(crate) fn disputes(&self, filter: &DisputeFilter, page: Page) -> Value {
        let fits = |entry: &DisputeEntry| {
            let d = &entry.dispute;
            filter
                .state
                .as_ref()
                .is_none_or(|state| word(d.state) == *state)
                && filter.open.is_none_or(|open| open != d.state.is_final())
                && filter.task.is_none_or(|task| d.task == task)
                && filter
                    .provider
                    .is_none_or(|p| d.provider == p || d.challenger == p)
        };
        let known = self.board().disputes.iter().rev();
        let found: Vec<u64> = known.filter(|(_, e)| fits(e)).map(|(id, _)| *id).collect();
        let after = found
            .iter()
            .filter(|id| page.before.is_none_or(|before| **id < before));
        let shown = after.filter_map(|id| Some((*id, self.dispute_summary(*id)?)));
        let shown = shown.take(page.limit).collect();
        listed(shown, page, found.len(), |n| {
            found.last().is_some_and(|last| *last < n)
        })
    }

    pub(super) fn dispute_summary(&self, id: u64) -> Option<Value> {
        let entry = self.board().disputes.get(&id)?;
        let tale = self.index().disputes.get(&id)?;
        Some(json!({
            "id": id, "task": tale.task, "attempt": tale.attempt, "model": self.model(&tale.model),
            "provider": self.party(&tale.provider), "challenger": self.party(&tale.challenger),
            "by_audit": tale.by_audit, "state": entry.dispute.state, "opened_at": tale.opened_at,
            "closed_at": tale.closed.as_ref().map(|c| c.at.time),
            "verdict": tale.closed.as_ref().map(|c| c.verdict),
            "round": tale.round, "moves": tale.moves.len(), "turn": self.turn(id, entry, tale),
        }))
    }

    pub(crate) fn dispute(&self, id: u64) -> Answer {
        let board = self.board();
        let newest = board.disputes.last_key_value().map_or(0, |(id, _)| *id);
        let known = board.disputes.get(&id).zip(self.index().disputes.get(&id));
        let (Some((entry, tale)), Some(mut shown)) = (known, self.dispute_summary(id)) else {
            return Err(match board.disputes.contains_key(&id) {
                true => Missing::Forgotten {
                    what: format!("dispute {id}"),
                },
                false => Missing::Never {
                    what: format!("dispute {id}"),
                    expected: match newest {
                        0 => "a dispute; there was none yet".to_owned(),
                        _ => format!("an id from 1 to {newest}"),
                    },
                    hint: "GET /api/v1/disputes",
                },
            });
        };
        let d = &entry.dispute;
        let rules = board.rules_of(d.task).map(|rules| &rules.court);
        let appeal_window = u64::from(rules.map_or(0, |r| r.appeal_window));
        let moves = tale.moves.iter().enumerate();
        let rest = json!({
            "accusation": self.accusation(tale),
            "clocks": self.clocks(entry),
            "steps": tale.steps,
            "move_count": tale.moves.len(),
            "moves": moves.map(|(i, m)| self.moved(tale, i + 1, m)).collect::<Vec<_>>(),
            "rounds": tale.rounds.iter().map(|r| json!({
                "round": r.round, "level": level(r.level), "move": r.at_move,
                "disputed": self.range(tale, &r.disputed),
                "agreed_to": r.disputed.first.checked_sub(1).map(|leaf| self.place(tale, r.disputed.level, leaf)),
            })).collect::<Vec<_>>(),
            "isolated": self.isolated(tale),
            "fork": self.fork(id, tale),
            "referee": self.referee(entry, tale),
            "ruling": self.ruling(tale),
            "appealable_until": (d.state == DisputeState::Ruled).then_some(d.ruled_at + appeal_window),
            "appeal": self.appeal(entry, tale, rules.map_or(0, |r| r.osp_seconds)),
            "evidence": self.evidence(id, tale),
            "outcome": self.outcome(tale),
            "money": self.money(&tale.money),
            "slashes": tale.slashes.iter().map(|slash| self.slash(slash)).collect::<Vec<_>>(),
        });
        merge(&mut shown, rest);
        Ok(shown)
    }

    fn accusation(&self, tale: &DisputeTale) -> Value {
        let (who, whom) = (
            self.index().name(&tale.challenger),
            self.index().name(&tale.provider),
        );
        let why = match tale.by_audit {
            true => "drawn to audit it, it ran the model on the same input and got another trace",
            false => "it ran the model on the same input and got another trace",
        };
        json!({
            "text": format!("{who} says that {whom}'s result of task {} is wrong: {why}", tale.task),
            "provider_root": tale.provider_root, "challenger_root": tale.challenger_root,
            "output_digest": tale.output_digest,
        })
    }

    fn moved(&self, tale: &DisputeTale, n: usize, m: &Move) -> Value {
        json!({
            "n": n, "time": m.at.time, "block": m.at.block, "transaction": m.at.transaction, "gas": m.gas,
            "by": self.party(&m.at.by), "side": m.side, "kind": m.kind, "round": m.round,
            "level": m.level.map(level), "text": m.text,
            "before": m.before.map(|r| self.range(tale, &r)), "after": m.after.map(|r| self.range(tale, &r)),
            "digests": m.digests.iter().map(|shown| json!({
                "digest": shown.digest, "first": shown.first, "last": shown.last, "picked": shown.picked,
            })).collect::<Vec<_>>(),
            "used": m.used,
        })
    }

    fn isolated(&self, tale: &DisputeTale) -> Value {
        let Some(place) = tale.isolated else {
            return Value::Null;
        };
        let catalogue = &self.shared.catalogue;
        let named = catalogue.place(&tale.model, &place);
        let model = catalogue.model(&tale.model);
        let node = named.node.filter(|_| !place.live);
        let shape = model.zip(named.node).and_then(|(model, node)| {
            let found = model.graph().nodes.get(node as usize)?;
            Some(crate::words::shape(&found.output))
        });
        json!({
            "step": place.step, "segment": place.segment, "node": named.node, "slot": named.live_slot,
            "operator": named.operator, "name": named.name, "in_live": place.live, "claimed_digest": place.claimed,
            "ruled_digest": tale.ruling.as_ref().map(|r| r.digest),
            "inputs": node.map_or_else(Vec::new, |node| catalogue.inputs(&tale.model, node)),
            "shape": shape, "earlier": place.earlier,
        })
    }

    fn fork(&self, id: u64, tale: &DisputeTale) -> Value {
        let claimed = tale.isolated.map(|place| place.claimed);
        let known = self
            .state
            .forks
            .get(&id)
            .filter(|fork| Some(fork.claimed) == claimed);
        let Some(fork) = known else {
            return self.fork_on_chain(tale);
        };
        let mut shown = fork.shown.clone();
        let who = self.index().name(&tale.provider);
        let (theirs, own) = (
            shown["claimed"]["text"].clone(),
            shown["computed"]["text"].clone(),
        );
        let (theirs, own) = (
            theirs.as_str().unwrap_or_default(),
            own.as_str().unwrap_or_default(),
        );
        let text = match shown["element"].as_u64() {
            Some(element) => {
                format!("element {element}: {who} says {theirs}, the model gives {own}")
            }
            None if shown["claimed"]["bits"] == shown["computed"]["bits"] => {
                format!("{who} computed this place rightly: an honest run gives the same digest")
            }
            None => format!(
                "{who} claims {theirs}, the model gives {own}; the numbers under it were not shown"
            ),
        };
        let whose = json!({
            "claimed_by": self.party(&tale.provider), "computed_by": "an honest run by this server", "text": text,
        });
        merge(&mut shown, whose);
        shown
    }

    /// What the referee's ruling alone says of the fork.
    fn fork_on_chain(&self, tale: &DisputeTale) -> Value {
        let (Some(place), Some(ruling)) = (tale.isolated, &tale.ruling) else {
            return Value::Null;
        };
        let same = place.claimed == ruling.digest;
        let text = match same {
            true => "the referee computed the digest that was claimed",
            false => "the referee computed another digest than was claimed",
        };
        json!({
            "source": "chain", "element": null, "coordinates": [], "dtype": null,
            "claimed": {"bits": place.claimed, "text": "this digest"},
            "computed": {"bits": ruling.digest, "text": if same { "the same digest" } else { "another digest" }},
            "claimed_by": self.party(&tale.provider), "computed_by": self.index().name(&ruling.by), "text": text,
        })
    }

    fn referee(&self, entry: &DisputeEntry, tale: &DisputeTale) -> Value {
        let board = self.board();
        let isolated_at = tale
            .draws
            .last()
            .map(|draw| draw.isolated_at)
            .or_else(|| Some(entry.dispute.isolated_at).filter(|at| *at != 0));
        let round = isolated_at.map(|at| board.beacon.round_after(at));
        let task = board.task(tale.task);
        let pool = task.and_then(|task| board.pools.get(&task.class));
        let past: Vec<Address> = tale.draws.iter().map(|draw| draw.party).collect();
        let candidates = pool.into_iter().flatten().map(|(who, weight)| {
            let why = if board.is_side(&tale.provider, who) {
                Some("the accused")
            } else if board.is_side(&tale.challenger, who) || tale.challenger == *who {
                Some("the accuser")
            } else if task.is_some_and(|task| task.requester == *who) {
                Some("the requester")
            } else if past.split_last().is_some_and(|(_, missed)| missed.contains(who)) {
                Some("was drawn before")
            } else {
                None
            };
            json!({
                "provider": self.party(who), "weight": amount(*weight), "excluded": why.is_some(), "why": why,
            })
        });
        let round_text = round.map_or_else(
            || "the first round of the beacon after the operator is isolated".to_owned(),
            |round| {
                format!("round {round} of the beacon, the first after the operator was isolated")
            },
        );
        json!({
            "draws": tale.draws.iter().map(|draw| json!({
                "draw": draw.draw, "party": self.party(&draw.party), "drawn_at": draw.drawn_at,
                "deadline": draw.deadline, "outcome": draw.outcome, "penalty": amount(draw.penalty),
                "transaction": draw.transaction,
            })).collect::<Vec<_>>(),
            "how": format!(
                "by stake, from who was in the model's pool before the seed existed, without the parties and the requester; the seed is {round_text}"
            ),
            "round": round, "seed": round.and_then(|round| seed(board, round)),
            "candidates": candidates.collect::<Vec<_>>(),
        })
    }

    fn ruling(&self, tale: &DisputeTale) -> Value {
        let Some(ruling) = &tale.ruling else {
            return Value::Null;
        };
        let name = self.index().name(&ruling.by);
        let place = tale
            .isolated
            .map(|place| self.shared.catalogue.place(&tale.model, &place).name);
        let place = place.unwrap_or_else(|| "the operator".to_owned());
        let text = match (ruling.earlier, ruling.guilty) {
            (true, _) => format!("{name} found that the run goes wrong earlier, at {place}"),
            (_, true) => format!(
                "{name} computed {place} again from the agreed inputs and got another digest: guilty"
            ),
            (_, false) => format!(
                "{name} computed {place} again from the agreed inputs and got the same digest: cleared"
            ),
        };
        json!({
            "by": self.party(&ruling.by), "guilty": ruling.guilty, "digest": ruling.digest,
            "earlier": ruling.earlier, "time": ruling.time, "transaction": ruling.transaction, "text": text,
        })
    }

    fn appeal(&self, entry: &DisputeEntry, tale: &DisputeTale, lapses: u32) -> Value {
        let Some(appeal) = &tale.appeal else {
            return Value::Null;
        };
        let game = entry.appeal.game.as_ref();
        let outcome = match game.map(|g| g.outcome) {
            Some(AppealOutcome::Guilty) => "guilty",
            Some(AppealOutcome::Cleared) => "cleared",
            Some(AppealOutcome::Void) => "void",
            _ => "pending",
        };
        let decided = entry.appeal.decided.as_ref().map(|(shown, step)| {
            json!({
                "batch": step.batch, "claimed": step.claimed, "computed": step.computed,
                "text": match shown.element {
                    Some((element, value)) => format!(
                        "the contract executed batch {} of element {element}, claimed to be {value:#x}, and it does not end as claimed",
                        step.batch
                    ),
                    None => format!("the contract executed batch {}, and it does not end as claimed", step.batch),
                },
            })
        });
        let element = entry.appeal.shown.element.or_else(|| {
            entry
                .appeal
                .decided
                .as_ref()
                .and_then(|(shown, _)| shown.element)
        });
        json!({
            "by": appeal.by.map(|by| self.party(&by)), "bond": amount(appeal.bond),
            "phase": game.map(|g| super::turn::phase(g.phase).0), "outcome": outcome,
            "defender": game.map(|g| self.party(&g.defender)), "accuser": game.map(|g| self.party(&g.accuser)),
            "replay": game.is_some_and(|g| g.replay),
            "element": element.map(|(element, _)| element),
            "value": element.map(|(_, value)| format!("{value:#x}")),
            "batches": game.map(|g| g.batches), "decided": decided, "opened_at": appeal.opened_at,
            "lapses_at": appeal.opened_at + u64::from(lapses),
        })
    }

    fn evidence(&self, id: u64, tale: &DisputeTale) -> Value {
        if tale.isolated.is_none() {
            let text = match tale.closed {
                Some(_) => "it ended before an operator was isolated: there is nothing to replay",
                None => "no operator has been isolated yet",
            };
            return json!({"available": false, "text": text, "command": null});
        }
        let model = self.shared.catalogue.model_name(&tale.model);
        let model = model.map_or_else(|| "MODEL".to_owned(), str::to_owned);
        json!({
            "available": true,
            "text": "one file holds all of it, and anybody can replay it offline",
            "command": format!("gavel challenge evidence {id} --model {model}"),
        })
    }

    fn outcome(&self, tale: &DisputeTale) -> Value {
        let Some(closed) = &tale.closed else {
            return Value::Null;
        };
        let own = tale
            .slashes
            .iter()
            .filter(|slash| slash.party == tale.provider);
        let lost: u128 = own.map(|slash| slash.amount).sum();
        json!({
            "verdict": closed.verdict, "reason": closed.reason, "text": closed.text, "closed_at": closed.at.time,
            "transaction": closed.at.transaction, "provider_lost": amount(lost), "requeued_to": closed.requeued_to,
        })
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Trace => "trace",
        Level::Operators => "operators",
        Level::Live => "live",
        Level::Chunks => "chunks",
        Level::Element => "element",
        Level::States => "states",
    }
}
