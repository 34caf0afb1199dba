//! Finding things by id, name, address or digest.

use serde_json::{Value, json};

use super::View;
use super::task::word;
use crate::catalogue::short;

/// Hits that are shown.
const HITS: usize = 20;
/// Digits of a beginning that is looked up.
const PREFIX: usize = 6;

impl View<'_> {
    pub(crate) fn search(&self, query: &str) -> Value {
        let text = query.trim().to_lowercase();
        let mut hits: Vec<Value> = Vec::new();
        let hit = |kind: &str, title: String, text: String, path: String| json!({"kind": kind, "title": title, "text": text, "path": path});
        let (kind, number) = match text.split_once([' ', '/', '#']) {
            Some((kind, number)) => (kind.trim(), number.trim()),
            None => ("", text.as_str()),
        };
        let id: Option<u64> = number.parse().ok();
        if let Some(id) = id {
            if matches!(kind, "" | "task") && self.index().tasks.contains_key(&id) {
                hits.extend(self.task_hit(id));
            }
            if matches!(kind, "" | "dispute") && self.index().disputes.contains_key(&id) {
                hits.extend(self.dispute_hit(id));
            }
        }
        let hex = text.strip_prefix("0x").unwrap_or(&text);
        let is_hex = hex.len() >= PREFIX && hex.bytes().all(|b| b.is_ascii_hexdigit());
        let begins = |value: String| {
            let value = value.to_lowercase();
            is_hex && value.strip_prefix("0x").unwrap_or(&value).starts_with(hex)
        };
        let named = |name: &str| text.len() >= 2 && name.to_lowercase().contains(&text);
        for (who, person) in &self.index().people {
            let name = self.shared.catalogue.name_of(who);
            if !begins(who.to_string()) && !name.is_some_and(named) {
                continue;
            }
            let title = name.map_or_else(|| short(&who.to_string()), str::to_owned);
            hits.push(match person.is_provider {
                true => hit(
                    "provider",
                    title,
                    "provider".to_owned(),
                    format!("/providers/{who:#x}"),
                ),
                false => hit(
                    "account",
                    title,
                    short(&who.to_string()),
                    format!("/accounts/{who:#x}"),
                ),
            });
        }
        for (who, name) in self.shared.catalogue.names() {
            if !self.index().people.contains_key(who) && (named(name) || begins(who.to_string())) {
                hits.push(hit(
                    "account",
                    name.to_owned(),
                    short(&who.to_string()),
                    format!("/accounts/{who:#x}"),
                ));
            }
        }
        for model in self.board().models.keys() {
            let name = self.shared.catalogue.model_name(model);
            if begins(model.to_string()) || name.is_some_and(named) {
                let title = self.shared.catalogue.model_name_or_short(model);
                hits.push(hit(
                    "model",
                    title,
                    short(&model.to_string()),
                    format!("/models/{model}"),
                ));
            }
        }
        if is_hex {
            for (transaction, path) in &self.index().paths {
                if hits.len() < HITS && begins(transaction.to_string()) {
                    let title = format!("transaction {}", short(&transaction.to_string()));
                    hits.push(hit(
                        "transaction",
                        title,
                        format!("about {}", &path[1..]),
                        path.clone(),
                    ));
                }
            }
            for (id, tale) in self.index().tasks.iter().rev() {
                let task = self.board().task(*id);
                let own = task.is_some_and(|t| begins(t.input_digest.to_string()));
                let results = tale.attempts.iter().filter_map(|a| a.result);
                let mut results = results.flat_map(|(_, output, root)| [output, root]);
                if own || results.any(|digest| begins(digest.to_string())) {
                    hits.extend(self.task_hit(*id));
                }
                if hits.len() >= HITS {
                    break;
                }
            }
        }
        if id.is_none() && text.len() >= 3 {
            for (name, title) in self.parameter_titles() {
                if named(name) || named(title) {
                    hits.push(hit(
                        "parameter",
                        title.to_owned(),
                        name.to_owned(),
                        format!("/parameters#{name}"),
                    ));
                }
            }
        }
        hits.truncate(HITS);
        json!({"query": query, "items": hits})
    }

    fn task_hit(&self, id: u64) -> Option<Value> {
        let task = self.board().task(id)?;
        let model = self.shared.catalogue.model_name_or_short(&task.model);
        Some(json!({
            "kind": "task", "title": format!("Task {id}"), "path": format!("/tasks/{id}"),
            "text": format!("{}, {model}, posted by {}", word(task.state), self.index().name(&task.requester)),
        }))
    }

    fn dispute_hit(&self, id: u64) -> Option<Value> {
        let tale = self.index().disputes.get(&id)?;
        let state = match &tale.closed {
            Some(closed) => closed.verdict.to_owned(),
            None => "open".to_owned(),
        };
        let (who, whom) = (
            self.index().name(&tale.challenger),
            self.index().name(&tale.provider),
        );
        Some(json!({
            "kind": "dispute", "title": format!("Dispute {id}"), "path": format!("/disputes/{id}"),
            "text": format!("{who} against {whom} about task {}: {state}", tale.task),
        }))
    }
}
