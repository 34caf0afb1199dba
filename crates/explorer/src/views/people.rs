//! Providers, other accounts, models.

use std::collections::VecDeque;

use gavel_node::Address;
use gavel_node::board::Provider;
use gavel_trace::Digest;
use serde_json::{Value, json};

use super::task::merge;
use super::{Answer, Missing, Page, View, amount, time_or_null};
use crate::index::Person;
use crate::index::ledger::{Account, Why};

/// Transfers on a provider's page.
const TRANSFERS: usize = 200;

fn stake(p: &Provider) -> u128 {
    p.free.saturating_add(p.locked).saturating_add(p.unbonding)
}

impl View<'_> {
    fn person(&self, who: &Address) -> Person {
        self.index().people.get(who).cloned().unwrap_or_default()
    }

    fn standing(&self, key: &Address, p: &Provider) -> &'static str {
        match p {
            p if p.tombstoned => "tombstoned",
            p if p.frozen > 0 => "frozen",
            p if p.jailed_until > 0 => "jailed",
            _ if self.board().is_eligible(key) => "active",
            _ => "too_little_stake",
        }
    }

    pub(crate) fn providers(&self, page: Page) -> Value {
        let mut all: Vec<(&Address, &Provider)> = self.board().providers.iter().collect();
        all.sort_by_key(|(key, p)| (std::cmp::Reverse(stake(p)), **key));
        // a place in the list is its cursor: it moves with stakes, as the list does
        let from = page
            .before
            .map_or(0, |at| usize::try_from(at).unwrap_or(usize::MAX));
        let shown: Vec<Value> = all
            .iter()
            .skip(from)
            .take(page.limit)
            .map(|(key, p)| self.provider_summary(key, p))
            .collect();
        let next = Some(from.saturating_add(shown.len()))
            .filter(|next| *next < all.len() && !shown.is_empty());
        json!({"items": shown, "next": next.map(|n| n.to_string()), "total": all.len()})
    }

    fn provider_summary(&self, key: &Address, p: &Provider) -> Value {
        let slashed = self
            .index()
            .people
            .get(key)
            .map_or(0, |person| person.slashed);
        json!({
            "address": key, "name": self.shared.catalogue.name_of(key), "standing": self.standing(key, p),
            "stake": amount(stake(p)), "free": amount(p.free), "locked": amount(p.locked),
            "unbonding": amount(p.unbonding), "live_tasks": p.live_tasks, "max_concurrency": p.max_concurrency,
            "settled": p.settled_tasks, "slashed": amount(slashed),
        })
    }

    pub(crate) fn provider(&self, key: &Address) -> Answer {
        let board = self.board();
        let Some(p) = board.providers.get(key) else {
            return Err(Missing::Never {
                what: format!("provider {key}"),
                expected: "the address of a registered provider".to_owned(),
                hint: "GET /api/v1/providers; an account that is no provider: GET /api/v1/accounts/ADDRESS",
            });
        };
        let mut shown = self.provider_summary(key, p);
        let person = self.person(key);
        let open = board
            .open_disputes()
            .filter(|(_, e)| e.dispute.provider == *key);
        let frozen_by: Vec<u64> = open.map(|(id, _)| id).collect();
        let classes = board.pools.iter().filter_map(|(class, members)| {
            let weight = members.get(key)?;
            let name = self.shared.catalogue.model_name(class);
            Some(json!({"class": class, "name": name, "weight": amount(*weight)}))
        });
        let slashes = person.slashes.iter().map(|slash| {
            let why = match (slash.why, slash.dispute, slash.task) {
                (Why::Slash, Some(dispute), _) if person.tombstoned_by == Some(dispute) => {
                    format!("convicted in dispute {dispute}")
                }
                (Why::Slash, _, Some(task)) => format!("the collateral of task {task}, which it had taken before it was removed"),
                (Why::Correlated, ..) => "convicted at about the same time as others, or as a large part of all stake".to_owned(),
                (Why::SlashLiveness, _, Some(task)) => format!("did not deliver task {task}, or took its result back"),
                (_, Some(dispute), _) => format!("a duty in dispute {dispute}"),
                _ => "a duty that was not done".to_owned(),
            };
            json!({
                "amount": amount(slash.amount), "safety": matches!(slash.why, Why::Slash | Why::Correlated), "why": why, "task": slash.task,
                "time": slash.time, "transaction": slash.transaction,
            })
        });
        let rest = json!({
            "owner": self.party(&p.owner), "payout": self.party(&p.payout), "registered_at": p.registered_at,
            "frozen_by": frozen_by, "jailed_until": time_or_null(p.jailed_until),
            "tombstoned_at": person.tombstoned_at,
            "why": self.why(key, p, &person, &frozen_by),
            "record": {
                "claimed": person.claimed, "served": person.served, "settled": person.settled, "missed": person.missed,
                "retracted": person.retracted, "reversed": person.reversed, "convicted": person.convicted,
                "cleared": person.cleared, "audited": person.audited, "audits_done": person.audits_done,
                "audits_failed": person.audits_failed, "rulings": person.rulings,
                "rulings_overturned": person.rulings_overturned, "rulings_missed": person.rulings_missed,
            },
            "classes": classes.collect::<Vec<_>>(),
            "tasks": self.summaries(&person.tasks, |id| self.task_summary(id)),
            "disputes": self.summaries(&person.disputes, |id| self.dispute_summary(id)),
            "slashes": slashes.collect::<Vec<_>>(),
            "money": self.money(person.money.iter().take(TRANSFERS)),
            "earned": amount(self.person(&p.payout).earned),
        });
        merge(&mut shown, rest);
        Ok(shown)
    }

    fn summaries(&self, ids: &VecDeque<u64>, one: impl Fn(u64) -> Option<Value>) -> Vec<Value> {
        ids.iter().filter_map(|id| one(*id)).collect()
    }

    /// Why a provider is not active.
    fn why(
        &self,
        key: &Address,
        p: &Provider,
        person: &Person,
        frozen_by: &[u64],
    ) -> Option<String> {
        match self.standing(key, p) {
            "tombstoned" => Some(match person.tombstoned_by {
                Some(dispute) => format!("removed for ever: convicted in dispute {dispute}"),
                None => "removed for ever".to_owned(),
            }),
            "frozen" => {
                let which: Vec<String> = frozen_by.iter().map(u64::to_string).collect();
                let (word, verb) = if which.len() == 1 {
                    ("dispute", "runs")
                } else {
                    ("disputes", "run")
                };
                Some(format!(
                    "frozen while {word} {} {verb}: no claims, no withdrawals",
                    which.join(", ")
                ))
            }
            "jailed" => Some(match &person.jailed_for {
                Some(what) => format!("timed out: it {what}"),
                None => "timed out for a duty that was not done".to_owned(),
            }),
            "too_little_stake" => {
                let least = self.board().newest_rules().map_or(0, |r| r.stake.min_stake);
                Some(format!(
                    "its stake is below the least of {}",
                    gavel_settlement::amount::tokens(least)
                ))
            }
            _ => None,
        }
    }

    pub(crate) fn account_page(&self, who: &Address, page: Page) -> Answer {
        let known = self.index().people.contains_key(who);
        let name = self.shared.catalogue.name_of(who);
        if !known && name.is_none() {
            return Err(Missing::Never {
                what: format!("account {who}"),
                expected: "an address that has done something here".to_owned(),
                hint: "GET /api/v1/search?q=",
            });
        }
        let person = self.person(who);
        let judged = self
            .index()
            .disputes
            .values()
            .any(|d| d.draws.iter().any(|draw| draw.party == *who));
        let audited = self
            .index()
            .audits
            .values()
            .any(|a| a.auditors.iter().any(|own| own.party == *who));
        let roles = [
            (person.posted > 0, "requester"),
            (person.is_provider, "provider"),
            (person.challenged > 0, "challenger"),
            (audited, "auditor"),
            (judged, "referee"),
        ];
        let challenges = self
            .board()
            .challenges
            .iter()
            .rev()
            .filter(|((_, _, by), _)| by == who);
        Ok(json!({
            "address": who, "name": name,
            "roles": roles.iter().filter(|(is, _)| *is).map(|(_, role)| role).collect::<Vec<_>>(),
            "credit": amount(self.index().ledger.balance(&Account::Credit(*who))), "earned": amount(person.earned),
            "money": self.money_of(who, page),
            "tasks": self.summaries(&person.tasks, |id| self.task_summary(id)),
            "challenges": challenges.take(self.index().limits.per_provider).map(|((task, attempt, _), c)| json!({
                "task": task, "attempt": attempt, "bond": amount(c.bond), "dispute": c.dispute, "closed": c.closed,
            })).collect::<Vec<_>>(),
        }))
    }

    pub(crate) fn models(&self) -> Value {
        let all: Vec<Value> = self
            .board()
            .models
            .keys()
            .filter_map(|id| self.model_summary(id))
            .collect();
        json!({"total": all.len(), "items": all, "next": null})
    }

    /// The family of which a model was shown to be a binding: its members are asked to run the model too.
    fn family_of(&self, id: &Digest) -> Option<&Digest> {
        let mut families = self.board().families.iter();
        let of = families.find(|(_, family)| family.shown.contains(id));
        of.map(|(family, _)| family)
    }

    fn model_summary(&self, id: &Digest) -> Option<Value> {
        let board = self.board();
        let header = &board.models.get(id)?.header;
        let family = self.family_of(id);
        let tasks = board.tasks.values().filter(|t| t.task.model == *id).count();
        Some(json!({
            "id": id, "name": self.shared.catalogue.model_name(id), "class_of": family,
            "nodes": header.node_count, "commit_points": header.commit_points, "max_steps": header.max_steps,
            "work": header.work.to_string(), "tasks": tasks,
            "members": board.pools.get(family.unwrap_or(id)).map_or(0, |members| members.len()),
            "has_graph": self.shared.catalogue.model(id).is_some(),
        }))
    }

    pub(crate) fn model_page(&self, id: &Digest) -> Answer {
        let board = self.board();
        let (Some(mut shown), Some(entry)) = (self.model_summary(id), board.models.get(id)) else {
            return Err(Missing::Never {
                what: format!("model {id}"),
                expected: "the id of a registered model".to_owned(),
                hint: "GET /api/v1/models",
            });
        };
        let h = &entry.header;
        let registered = self.index().models.get(id);
        let pool = board.pools.get(self.family_of(id).unwrap_or(id));
        let rest = json!({
            "header": {
                "numerics_version": h.numerics_version, "lowering_version": h.lowering_version,
                "node_count": h.node_count, "max_steps": h.max_steps, "commit_points": h.commit_points,
                "trace_height": h.trace_height, "ops_height": h.ops_height, "live_height": h.live_height,
                "work": h.work.to_string(), "nodes_root": h.nodes_root, "edges_root": h.edges_root,
                "weights_root": h.weights_root, "segments_root": h.segments_root, "assets_root": h.assets_root,
            },
            "uri": entry.uri, "registered_at": registered.map(|r| r.at),
            "registered_by": registered.map(|r| self.party(&r.by)),
            "pool": pool.into_iter().flatten().map(|(who, weight)| json!({
                "provider": self.party(who), "weight": amount(*weight),
            })).collect::<Vec<_>>(),
        });
        merge(&mut shown, rest);
        Ok(shown)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use gavel_model::shipped;
    use gavel_node::board::{Board, FamilyEntry, ModelEntry};
    use gavel_settlement::Deployment;
    use gavel_trace::FamilyHeader;

    use super::*;
    use crate::catalogue::Catalogue;
    use crate::index::Index;
    use crate::state::{Options, Shared};

    #[test]
    fn a_model_of_a_family_is_shown_with_the_familys_pool() {
        let header = *shipped::load("digits-mlp").unwrap().header();
        let (model, family) = (header.model_id(), Digest([7; 32]));
        let (member, none) = (Address::repeat_byte(1), Address::ZERO);
        let entry = FamilyEntry {
            header: FamilyHeader {
                count: 1,
                bindings_root: Digest([0; 32]),
                domain: Vec::new(),
            },
            uri: String::new(),
            shown: BTreeSet::from([model]),
        };
        let uri = String::new();
        let board = Board {
            models: BTreeMap::from([(model, ModelEntry { header, uri })]),
            families: BTreeMap::from([(family, entry)]),
            pools: BTreeMap::from([(family, BTreeMap::from([(member, 5)]))]),
            ..Board::default()
        };
        let deployment = Deployment {
            chain_id: 1,
            deploy_block: 0,
            numerics_version: 1,
            token: none,
            timelock: none,
            parameters: none,
            beacon: none,
            vault: none,
            pool: none,
            market: none,
            court: none,
            audits: none,
            appeal_levels: none,
            demands: none,
            traps: none,
        };
        let (options, catalogue) = (Options::default(), Arc::new(Catalogue::new()));
        let index = Index::new(Arc::clone(&catalogue), options.limits, none, none);
        let shared = Shared::new(index, deployment, &options, catalogue);
        shared.write().board = Arc::new(board);
        let state = shared.read();
        let view = View {
            state: &state,
            shared: &shared,
        };
        let shown = view.model_page(&model).unwrap();
        assert_eq!(shown["class_of"], json!(family));
        assert_eq!(shown["members"], 1);
        assert_eq!(shown["pool"][0]["provider"]["address"], json!(member));
        assert_eq!(shown["pool"][0]["weight"], "5");
    }
}
