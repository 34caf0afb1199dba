//! Where to commit: the cuts of the step graph into segments.
//!
//! Hashing costs time at every cut, and a segment is what a party re-runs when a dispute enters it.
//! Of a few shares, the smallest is taken whose cuts cost at most 1 % of the run; models where none is cheap enough take quarters,
//! and small ones do not look beyond halves. Among the cuts that keep each segment within the share, those that hash
//! fewest bytes are chosen (`spec/model.md`, section "Commit points").

use std::sync::Arc;

use crate::{Graph, Model, Segment, Source};

/// Nominal bytes hashed per second, and work units computed per second: their ratio decides.
const HASH_BYTES_PER_SECOND: u128 = 1_200_000_000;
const WORK_PER_SECOND: u128 = 50_000_000_000;
/// Segments take at most so many parts in 32 of the work, the finest first.
const SHARES: [u64; 6] = [2, 4, 8, 16, 24, 31];
/// As many of them are for small models too.
const SHARES_OF_SMALL: usize = 4;
/// Models of less work are small: the commitment's budget is for runs of 5 ms and more.
const SMALL: u128 = WORK_PER_SECOND / 200;
/// What is taken where none is cheap enough.
const LAST_RESORT: u64 = 8;
/// A tensor costs at least this many bytes of hashing: tree nodes and call overhead.
const TENSOR_OVERHEAD_BYTES: u128 = 512;
/// Above this many nodes cuts are looked for only within this distance.
const WINDOW: usize = 2048;

/// How a graph is cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitPolicy {
    /// By the cost model.
    #[default]
    CostModel,
    /// After each of these nodes; the last node is always a cut.
    After(Vec<u32>),
    /// Where another model is cut, if its operators are the same ones; else by the cost model.
    Like(Arc<Cuts>),
}

/// Where a model is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cuts {
    /// Its operators.
    operators: Vec<u16>,
    /// Last node of each segment.
    after: Vec<u32>,
}

impl Cuts {
    /// Those of a model.
    pub fn of(model: &Model) -> Cuts {
        Cuts {
            operators: operators(model.graph()).collect(),
            after: model.ends(),
        }
    }
}

fn operators(graph: &Graph) -> impl Iterator<Item = u16> {
    graph.nodes.iter().map(|node| node.op.id())
}

/// Segments of `graph`, whose per-node work is `work`.
pub(crate) fn segments(graph: &Graph, work: &[u64], policy: &CommitPolicy) -> Vec<Segment> {
    let uses = last_uses(graph);
    let ends = match policy {
        CommitPolicy::After(cuts) => ends(graph, cuts),
        CommitPolicy::Like(cuts) if operators(graph).eq(cuts.operators.iter().copied()) => {
            ends(graph, &cuts.after)
        }
        CommitPolicy::Like(_) | CommitPolicy::CostModel => cut(graph, work, &uses),
    };
    let mut first = 0;
    ends.into_iter()
        .map(|end| {
            let live = if end == graph.nodes.len() {
                graph.outputs.iter().map(|o| o.1).collect()
            } else {
                uses.live_after(end)
            };
            let segment = Segment {
                first_node: first as u32,
                op_count: (end - first) as u32,
                live,
            };
            first = end;
            segment
        })
        .collect()
}

/// Ends of the segments that are cut after each of these nodes.
fn ends(graph: &Graph, cuts: &[u32]) -> Vec<usize> {
    let mut ends: Vec<usize> = cuts
        .iter()
        .map(|&c| c as usize + 1)
        .filter(|&e| e <= graph.nodes.len())
        .collect();
    ends.push(graph.nodes.len());
    ends.sort_unstable();
    ends.dedup();
    ends
}

/// Last node that reads each input and each node; graph outputs are read "after the end".
struct LastUses {
    inputs: Vec<usize>,
    nodes: Vec<usize>,
}

impl LastUses {
    /// Values that exist once `end` nodes have run and are read by a later one.
    fn live_after(&self, end: usize) -> Vec<Source> {
        let inputs = (0..self.inputs.len())
            .filter(|&i| self.inputs[i] > end)
            .map(|i| Source::Input(i as u32));
        let nodes = (0..end)
            .filter(|&i| self.nodes[i] > end)
            .map(|i| Source::node(i as u32));
        inputs.chain(nodes).collect()
    }
}

/// For each value one more than the number of its last reader; 0 if nothing reads it.
fn last_uses(graph: &Graph) -> LastUses {
    let mut uses = LastUses {
        inputs: vec![0; graph.inputs.len()],
        nodes: vec![0; graph.nodes.len()],
    };
    let after = graph.nodes.len() + 1;
    let readers = graph
        .nodes
        .iter()
        .enumerate()
        .flat_map(|(i, n)| n.inputs.iter().map(move |&s| (s, i + 1)));
    for (source, reader) in readers.chain(graph.outputs.iter().map(|o| (o.1, after))) {
        match source {
            Source::Input(i) => uses.inputs[i as usize] = reader,
            Source::Node { node, .. } => uses.nodes[node as usize] = reader,
            Source::Weight(_) => {}
        }
    }
    uses
}

/// Ends of the segments, by dynamic programming over the nodes.
fn cut(graph: &Graph, work: &[u64], uses: &LastUses) -> Vec<usize> {
    let count = graph.nodes.len();
    let total: u128 = work.iter().map(|&w| u128::from(w)).sum();
    let costs = cut_costs(graph, uses);
    let heaviest = work.iter().copied().max().unwrap_or(1);
    let at_most = |share: u64| {
        let limit = (total * u128::from(share) / 32).max(u128::from(heaviest));
        cheapest(work, &costs, limit)
    };
    // bytes / HASH <= total / WORK / 100
    let is_cheap = |bytes: u128| bytes * WORK_PER_SECOND * 100 <= total * HASH_BYTES_PER_SECOND;
    let shares = match total < SMALL {
        true => &SHARES[..SHARES_OF_SMALL],
        false => &SHARES[..],
    };
    let found = shares
        .iter()
        .map(|&share| at_most(share))
        .find(|(_, bytes)| is_cheap(*bytes));
    let (mut chosen, _) = found.unwrap_or_else(|| at_most(LAST_RESORT));
    if chosen.is_empty() {
        chosen.push(count);
    }
    chosen
}

/// Bytes hashed by a cut after `end` nodes, for every `end`.
fn cut_costs(graph: &Graph, uses: &LastUses) -> Vec<u128> {
    let count = graph.nodes.len();
    let mut change = vec![0i128; count + 2];
    let mut add = |bytes: u64, from: usize, to: usize| {
        let cost = (u128::from(bytes) + TENSOR_OVERHEAD_BYTES) as i128;
        if from < to {
            change[from] += cost;
            change[to.min(count + 1)] -= cost;
        }
    };
    for (i, (_, ty)) in graph.inputs.iter().enumerate() {
        add(ty.byte_len().unwrap_or(0) as u64, 1, uses.inputs[i]);
    }
    for (i, node) in graph.nodes.iter().enumerate() {
        // live at `end` for producer < end < last reader
        add(
            node.output.byte_len().unwrap_or(0) as u64,
            i + 1,
            uses.nodes[i],
        );
    }
    let mut running = 0;
    (0..=count)
        .map(|end| {
            running += change[end];
            running.max(0) as u128
        })
        .collect()
}

/// The ends that hash fewest bytes with no segment above `limit` work, and those bytes.
fn cheapest(work: &[u64], costs: &[u128], limit: u128) -> (Vec<usize>, u128) {
    let count = work.len();
    let mut best = vec![(u128::MAX, 0usize); count + 1];
    best[0] = (0, 0);
    for end in 1..=count {
        let mut segment = 0u128;
        for first in (0..end).rev().take(WINDOW) {
            segment += u128::from(work[first]);
            if segment > limit && end - first > 1 {
                break;
            }
            let (before, _) = best[first];
            let cost = before.saturating_add(costs[end]);
            if cost < best[end].0 {
                best[end] = (cost, first);
            }
        }
    }
    let mut ends = Vec::new();
    let mut at = count;
    while at > 0 {
        ends.push(at);
        at = best[at].1;
    }
    ends.reverse();
    (ends, best[count].0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Node;
    use gavel_numerics::{DType, Op, TensorType};

    /// Eight Relu nodes in a row over a hundred kilobytes.
    fn chain() -> Graph {
        let ty = TensorType::new(DType::F32, [25_000]);
        let node = |i: u32| Node {
            name: String::new(),
            op: Op::Relu,
            inputs: vec![match i {
                0 => Source::Input(0),
                _ => Source::node(i - 1),
            }],
            output: ty.clone(),
        };
        Graph {
            inputs: vec![("x".to_owned(), ty.clone())],
            nodes: (0..8).map(node).collect(),
            outputs: vec![("y".to_owned(), Source::node(7))],
        }
    }

    #[test]
    fn the_more_work_a_run_is_the_finer_it_is_cut_and_a_small_one_takes_quarters() {
        let graph = chain();
        // two cuts cost 1 % of 8.4e8 work units, four of 1.7e9, eight of 3.4e9
        for (total, count) in [
            (100_000_000, 4),
            (1_000_000_000, 2),
            (2_000_000_000, 4),
            (10_000_000_000, 8),
        ] {
            let work = [total / 8; 8];
            let found = segments(&graph, &work, &CommitPolicy::CostModel);
            assert_eq!(found.len(), count, "{total}");
            let nodes: u32 = found.iter().map(|s| s.op_count).sum();
            assert_eq!(nodes, 8);
        }
    }
}
