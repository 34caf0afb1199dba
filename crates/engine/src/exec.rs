//! Runs nodes in canonical order over one or more items and keeps only what is still needed: node by node, or by a plan.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use gavel_model::{Model, Segment, Source};
use gavel_numerics::Tensor;
use gavel_numerics::kernels;
use gavel_trace::Digest;

use crate::clock::Stopwatch;
use crate::plan::{Context, Plan, Value, Values};
use crate::profile::StepTime;
use crate::{Engine, EngineError, NodeObserver, batch, hash};

/// The values of one item that are still needed.
struct Item {
    inputs: Vec<Option<Value>>,
    nodes: Vec<Option<Value>>,
}

impl Item {
    fn slot(&mut self, source: &Source) -> Option<&mut Option<Value>> {
        match *source {
            Source::Input(i) => self.inputs.get_mut(i as usize),
            Source::Node {
                step_offset: 0,
                node,
                port: 0,
            } => self.nodes.get_mut(node as usize),
            _ => None,
        }
    }
}

impl Values for Item {
    fn get(&mut self, source: &Source) -> Option<&mut Value> {
        self.slot(source)?.as_mut()
    }

    fn take(&mut self, source: &Source) -> Option<Value> {
        self.slot(source)?.take()
    }
}

/// A run in progress.
pub(crate) struct Exec<'a> {
    engine: &'a Engine,
    model: &'a Model,
    items: Vec<Item>,
    /// How the nodes are run where not one by one.
    plan: Option<Arc<Plan>>,
    /// Per node: the values that nothing reads after it.
    dead_after: BTreeMap<usize, Vec<Source>>,
    /// Bytes of the values held, all items together.
    held: u64,
    /// Time of each step, for whoever asks.
    pub(crate) profile: Option<Vec<StepTime>>,
    /// Time spent in operators.
    pub(crate) compute: Duration,
    /// Time spent on digests.
    pub(crate) hashing: Duration,
}

/// The source in an error message.
fn describe(source: &Source) -> String {
    format!("{source:?}")
}

impl<'a> Exec<'a> {
    /// A run over `items` inputs each, about to compute the nodes `range`. `keep` are values needed
    /// at the end besides those the nodes read.
    pub(crate) fn new(
        engine: &'a Engine,
        model: &'a Model,
        items: usize,
        range: Range<usize>,
        keep: &[Source],
    ) -> Exec<'a> {
        let graph = model.graph();
        let blank = || Item {
            inputs: vec![None; graph.inputs.len()],
            nodes: vec![None; graph.nodes.len()],
        };
        Exec {
            engine,
            model,
            items: (0..items).map(|_| blank()).collect(),
            plan: None,
            dead_after: last_uses(model, &range, keep),
            held: 0,
            profile: None,
            compute: Duration::ZERO,
            hashing: Duration::ZERO,
        }
    }

    /// A run over all nodes by a plan.
    pub(crate) fn planned(
        engine: &'a Engine,
        model: &'a Model,
        items: usize,
        plan: Arc<Plan>,
    ) -> Exec<'a> {
        Exec {
            plan: Some(plan),
            // the plan knows
            ..Exec::new(engine, model, items, 0..0, &[])
        }
    }

    /// Gives item `item` the value of `source`, with its digest if that is known.
    pub(crate) fn provide(
        &mut self,
        item: usize,
        source: &Source,
        tensor: Arc<Tensor>,
        digest: Option<Digest>,
    ) -> Result<(), EngineError> {
        let bytes = byte_len(&tensor);
        let slot = self.items.get_mut(item).and_then(|item| item.slot(source));
        let slot =
            slot.ok_or_else(|| EngineError::Model(format!("no value {}", describe(source))))?;
        *slot = Some(Value::of(tensor, digest));
        self.held += bytes;
        Ok(())
    }

    /// Computes the nodes `range`, node by node over all items.
    pub(crate) fn run(
        &mut self,
        range: Range<usize>,
        observer: &mut Option<&mut dyn NodeObserver>,
    ) -> Result<(), EngineError> {
        if let Some(plan) = self.plan.clone() {
            return self.run_steps(range, &plan);
        }
        for index in range {
            self.run_node(index, observer)?;
        }
        Ok(())
    }

    /// The steps that end in `range`, item by item.
    fn run_steps(&mut self, range: Range<usize>, plan: &Plan) -> Result<(), EngineError> {
        let start = Stopwatch::start();
        let context = Context {
            isa: self.engine.isa,
            par: &self.engine.team,
            model: self.model,
            plan,
        };
        for item in &mut self.items {
            for index in range.clone() {
                let Some(step) = plan.step(index) else {
                    continue;
                };
                let begin = self.profile.as_ref().map(|_| Stopwatch::start());
                let value = context.run(step, item)?;
                if let (Some(profile), Some(begin)) = (&mut self.profile, begin) {
                    profile.push(StepTime {
                        nodes: step.nodes.clone(),
                        time: begin.elapsed(),
                    });
                }
                if let Some(slot) = item.nodes.get_mut(index) {
                    *slot = Some(value);
                }
                for source in &step.dead {
                    if let Some(value) = item.take(source) {
                        plan.reuse(value);
                    }
                }
            }
        }
        self.compute += start.elapsed();
        Ok(())
    }

    fn run_node(
        &mut self,
        index: usize,
        observer: &mut Option<&mut dyn NodeObserver>,
    ) -> Result<(), EngineError> {
        let node = self
            .model
            .graph()
            .nodes
            .get(index)
            .ok_or_else(|| EngineError::Model(format!("no node {index}")))?;
        self.check_memory(index)?;
        let operands: Vec<Vec<Arc<Tensor>>> = (0..self.items.len())
            .map(|item| self.operands(item, &node.inputs))
            .collect::<Result<_, _>>()?;
        let start = Stopwatch::start();
        let weight: Vec<bool> = node
            .inputs
            .iter()
            .map(|s| matches!(s, Source::Weight(_)))
            .collect();
        let (isa, team) = (self.engine.isa, &self.engine.team);
        let eval = |inputs: &[&Tensor]| kernels::eval(isa, team, &node.op, inputs);
        let outputs = batch::eval_items(&node.op, &weight, &operands, eval).map_err(|source| {
            EngineError::Node {
                node: node.name.clone(),
                source,
            }
        })?;
        self.compute += start.elapsed();
        drop(operands);
        for (item, mut output) in outputs.into_iter().enumerate() {
            if let Some(observer) = observer {
                observe(*observer, item, index, &node.name, &mut output)?;
            }
            self.provide(item, &Source::node(index as u32), Arc::new(output), None)?;
        }
        for source in self.dead_after.get(&index).into_iter().flatten() {
            for item in &mut self.items {
                if let Some(value) = item.slot(source).and_then(Option::take) {
                    self.held = self.held.saturating_sub(value.bytes());
                }
            }
        }
        Ok(())
    }

    /// The operands of a node, in positional order.
    fn operands(
        &mut self,
        item: usize,
        inputs: &[Source],
    ) -> Result<Vec<Arc<Tensor>>, EngineError> {
        inputs
            .iter()
            .map(|source| self.value(item, source))
            .collect()
    }

    /// The value of `source`.
    pub(crate) fn value(
        &mut self,
        item: usize,
        source: &Source,
    ) -> Result<Arc<Tensor>, EngineError> {
        if let Source::Weight(i) = *source {
            let weight = self.model.weights().get(i as usize);
            return weight
                .map(|weight| weight.value.tensor())
                .ok_or_else(|| EngineError::Model(format!("no value {}", describe(source))));
        }
        Ok(self.value_with_digest(item, source)?.0)
    }

    /// The value of a `source` that is no weight, and its digest if it was needed before.
    pub(crate) fn value_with_digest(
        &mut self,
        item: usize,
        source: &Source,
    ) -> Result<(Arc<Tensor>, Option<Digest>), EngineError> {
        let value = self.items.get_mut(item).and_then(|item| item.get(source));
        let value = value.ok_or_else(|| {
            EngineError::Model(format!(
                "{} is read before it is computed",
                describe(source)
            ))
        })?;
        let tensor = match (value.as_tensor(), &self.plan) {
            (Some(tensor), _) => tensor,
            (None, Some(plan)) => plan
                .tensor(&self.engine.team, value)
                .map_err(|e| EngineError::Model(e.to_string()))?,
            (None, None) => return Err(EngineError::Model("a value without a form".to_owned())),
        };
        Ok((tensor, value.digest))
    }

    fn check_memory(&self, index: usize) -> Result<(), EngineError> {
        let node = &self.model.graph().nodes[index];
        let needed = (node.output.byte_len().ok())
            .and_then(|bytes| (bytes as u64).checked_mul(self.items.len() as u64))
            .and_then(|bytes| bytes.checked_add(self.held))
            .unwrap_or(u64::MAX);
        let bound = self.engine.max_tensor_bytes;
        if needed > bound {
            return Err(EngineError::Memory {
                node: node.name.clone(),
                needed,
                bound,
            });
        }
        Ok(())
    }

    /// Digests of `sources` for every item; each tensor is hashed once in its life.
    pub(crate) fn digests(&mut self, sources: &[Source]) -> Result<Vec<Vec<Digest>>, EngineError> {
        let start = Stopwatch::start();
        let mut missing = Vec::new();
        for item in 0..self.items.len() {
            for source in sources {
                let (tensor, digest) = self.value_with_digest(item, source)?;
                if digest.is_none() {
                    missing.push((item, *source, tensor));
                }
            }
        }
        let tensors: Vec<&Tensor> = missing
            .iter()
            .map(|(_, _, tensor)| tensor.as_ref())
            .collect();
        let found = hash::digests(&self.engine.team, &tensors);
        for ((item, source, _), digest) in missing.iter().zip(found) {
            if let Some(Some(value)) = self.items.get_mut(*item).and_then(|item| item.slot(source))
            {
                value.digest = Some(digest);
            }
        }
        let digest_of = |item: &mut Item, source: &Source| {
            item.slot(source)
                .and_then(|slot| slot.as_ref()?.digest)
                .unwrap_or_default()
        };
        let all = self
            .items
            .iter_mut()
            .map(|item| sources.iter().map(|s| digest_of(item, s)).collect())
            .collect();
        self.hashing += start.elapsed();
        Ok(all)
    }
}

/// Calls the observer and checks that it kept the output's type and shape.
fn observe(
    observer: &mut dyn NodeObserver,
    item: usize,
    index: usize,
    node: &str,
    output: &mut Tensor,
) -> Result<(), EngineError> {
    let before = output.ty().clone();
    observer.after_node(item, index, output);
    if &before != output.ty() {
        let (expected, found) = (before.to_string(), output.ty().to_string());
        return Err(EngineError::Observer {
            node: node.to_owned(),
            expected,
            found,
        });
    }
    Ok(())
}

pub(crate) fn byte_len(tensor: &Tensor) -> u64 {
    (tensor.len() * tensor.dtype().size()) as u64
}

/// Per node of `range`, the values last read there: by it, or (for values nobody reads) made by it.
pub(crate) fn last_uses(
    model: &Model,
    range: &Range<usize>,
    keep: &[Source],
) -> BTreeMap<usize, Vec<Source>> {
    let graph = model.graph();
    let mut dead: BTreeMap<usize, Vec<Source>> = BTreeMap::new();
    let mut seen: std::collections::HashSet<Source> = keep.iter().copied().collect();
    for index in range.clone().rev() {
        let Some(node) = graph.nodes.get(index) else {
            continue;
        };
        let own = Source::node(index as u32);
        for source in node.inputs.iter().chain([&own]) {
            if !matches!(source, Source::Weight(_)) && seen.insert(*source) {
                dead.entry(index).or_default().push(*source);
            }
        }
    }
    dead
}

/// The nodes of a segment.
pub(crate) fn range(segment: &Segment) -> Range<usize> {
    let first = segment.first_node as usize;
    first..first + segment.op_count as usize
}
