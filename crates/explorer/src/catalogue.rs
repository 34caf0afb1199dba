//! What is known beside the chain: names of addresses, files of models.

use std::collections::BTreeMap;
use std::sync::Arc;

use gavel_model::{Model, Source};
use gavel_node::Address;
use gavel_trace::{Digest, FineIndex};

use crate::index::Place;
use crate::words::{self, Isolated};

/// A model of which the server has the file.
#[derive(Clone, Debug)]
pub struct Known {
    /// What people call it.
    pub name: String,
    /// Its graph.
    pub model: Arc<Model>,
}

/// Names and models. They prove nothing; the chain does not need them.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    names: BTreeMap<Address, String>,
    models: BTreeMap<Digest, Known>,
}

impl Catalogue {
    /// An empty one.
    pub fn new() -> Catalogue {
        Catalogue::default()
    }

    /// Names an address.
    pub fn name(mut self, who: Address, name: impl Into<String>) -> Catalogue {
        self.names.insert(who, name.into());
        self
    }

    /// Adds a model.
    pub fn with_model(mut self, name: impl Into<String>, model: Arc<Model>) -> Catalogue {
        let name = name.into();
        self.models.insert(model.model_id(), Known { name, model });
        self
    }

    pub(crate) fn name_of(&self, who: &Address) -> Option<&str> {
        self.names.get(who).map(String::as_str)
    }

    /// A name, or the address in short.
    pub(crate) fn name_or_short(&self, who: &Address) -> String {
        match self.names.get(who) {
            Some(name) => name.clone(),
            None => short(&who.to_string()),
        }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = (&Address, &str)> {
        self.names.iter().map(|(who, name)| (who, name.as_str()))
    }

    pub(crate) fn known(&self, model: &Digest) -> Option<&Known> {
        self.models.get(model)
    }

    pub(crate) fn model(&self, model: &Digest) -> Option<&Arc<Model>> {
        self.models.get(model).map(|known| &known.model)
    }

    pub(crate) fn model_name(&self, model: &Digest) -> Option<&str> {
        self.models.get(model).map(|known| known.name.as_str())
    }

    pub(crate) fn model_name_or_short(&self, model: &Digest) -> String {
        match self.model_name(model) {
            Some(name) => name.to_owned(),
            None => short(&model.to_string()),
        }
    }

    /// A place in a model, named as well as can be.
    pub(crate) fn place(&self, model: &Digest, place: &Place) -> Isolated {
        let index = match place.live {
            true => FineIndex::Live(place.index),
            false => FineIndex::Op(place.index),
        };
        match self.model(model) {
            Some(model) => words::isolated(model, place.step, place.segment, index),
            None => Isolated {
                step: place.step,
                segment: place.segment,
                node: (!place.live).then_some(place.node_or_slot),
                live_slot: place.live.then_some(place.node_or_slot),
                operator: None,
                name: match place.live {
                    true => format!(
                        "live slot {} of segment {}",
                        place.node_or_slot, place.segment
                    ),
                    false => format!("node {}", place.node_or_slot),
                },
            },
        }
    }

    /// What an operator reads, named.
    pub(crate) fn inputs(&self, model: &Digest, node: u32) -> Vec<String> {
        let Some(model) = self.model(model) else {
            return Vec::new();
        };
        let Some(found) = model.graph().nodes.get(node as usize) else {
            return Vec::new();
        };
        let name = |source: &Source| match source {
            Source::Input(input) => {
                let name = model.graph().inputs.get(*input as usize);
                format!("input {}", name.map_or("", |(name, _)| name))
            }
            Source::Weight(weight) => {
                let name = model.weights().get(*weight as usize);
                format!("weight {}", name.map_or("", |weight| &weight.name))
            }
            Source::Node {
                step_offset, node, ..
            } => {
                let kind = model.graph().nodes.get(*node as usize);
                let kind = kind.map_or_else(String::new, |n| words::operator_kind(&n.op));
                match step_offset {
                    0 => format!("{kind} node {node}"),
                    _ => format!("{kind} node {node}, {step_offset} steps before"),
                }
            }
        };
        found.inputs.iter().map(name).collect()
    }
}

/// The ends of something long.
pub(crate) fn short(text: &str) -> String {
    match (text.get(..8), text.get(text.len().saturating_sub(4)..)) {
        (Some(head), Some(tail)) if text.len() > 14 => format!("{head}…{tail}"),
        _ => text.to_owned(),
    }
}
