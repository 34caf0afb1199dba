//! What nobody needs is no part of the model.

use std::collections::BTreeSet;

use crate::{Graph, Source, Weight};

/// Drops nodes no output depends on and weights nobody reads; the order of what stays is kept. The file's
/// order is topological, so it is Kahn's order with ties by number.
pub(super) fn prune(graph: Graph, weights: Vec<Weight>) -> (Graph, Vec<Weight>) {
    let mut live = vec![false; graph.nodes.len()];
    let mut used = BTreeSet::new();
    let mark = |source: Source, live: &mut Vec<bool>, used: &mut BTreeSet<u32>| match source {
        Source::Node { node, .. } => live[node as usize] = true,
        Source::Weight(i) => {
            used.insert(i);
        }
        Source::Input(_) => {}
    };
    for (_, source) in &graph.outputs {
        mark(*source, &mut live, &mut used);
    }
    for i in (0..graph.nodes.len()).rev().collect::<Vec<_>>() {
        if live[i] {
            for &source in &graph.nodes[i].inputs {
                mark(source, &mut live, &mut used);
            }
        }
    }
    let number = |flags: &mut dyn Iterator<Item = bool>| {
        flags
            .scan(0u32, |next, keep| {
                let at = *next;
                *next += u32::from(keep);
                Some(at)
            })
            .collect::<Vec<_>>()
    };
    let node_at = number(&mut live.iter().copied());
    let weight_at = number(&mut (0..weights.len() as u32).map(|i| used.contains(&i)));
    let moved = |source: Source| match source {
        Source::Node {
            step_offset,
            node,
            port,
        } => Source::Node {
            step_offset,
            node: node_at[node as usize],
            port,
        },
        Source::Weight(i) => Source::Weight(weight_at[i as usize]),
        Source::Input(i) => Source::Input(i),
    };
    let nodes = graph
        .nodes
        .into_iter()
        .zip(&live)
        .filter(|(_, keep)| **keep)
        .map(|(mut node, _)| {
            node.inputs.iter_mut().for_each(|s| *s = moved(*s));
            node
        })
        .collect();
    let outputs = graph
        .outputs
        .into_iter()
        .map(|(name, s)| (name, moved(s)))
        .collect();
    let weights = weights
        .into_iter()
        .enumerate()
        .filter(|(i, _)| used.contains(&(*i as u32)))
        .map(|(_, w)| w)
        .collect();
    (
        Graph {
            inputs: graph.inputs,
            nodes,
            outputs,
        },
        weights,
    )
}
