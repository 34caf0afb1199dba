//! Drawings of models: layers from top to bottom, repeated blocks closed until they are opened. Integers only, so that the
//! same model gives the same drawing everywhere; bounded, whatever the model.

mod blocks;
mod place;
mod svg;

use std::collections::BTreeSet;

use gavel_model::{Model, Source};
use serde::Serialize;
use serde_json::{Value, json};

use crate::words;

/// Most boxes of a drawing: with more nobody sees anything.
pub const BOXES_MAX: usize = 2_000;

/// Which blocks are to be drawn open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Open {
    all: bool,
    blocks: BTreeSet<u32>,
}

impl Open {
    /// Reads `b3,b7` or `all`; what is neither is ignored.
    pub fn parse(text: &str) -> Open {
        let words = || text.split(',').map(str::trim);
        Open {
            all: words().any(|word| word == "all"),
            blocks: words()
                .filter_map(|word| word.strip_prefix('b')?.parse().ok())
                .collect(),
        }
    }

    fn has(&self, block: u32) -> bool {
        self.all || self.blocks.contains(&block)
    }
}

/// What a box stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An input of the model.
    Input,
    /// An operator.
    Operator,
    /// Several operators, closed.
    Block,
    /// An output of the model.
    Output,
}

/// A box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DrawnNode {
    /// "n12", "b3", "in0", "out0".
    pub id: String,
    /// What it stands for.
    pub kind: Kind,
    /// "Conv", or "Conv … Relu".
    pub label: String,
    /// The name in the model's file.
    pub name: String,
    /// Type of what comes out of it.
    pub shape: String,
    /// Left edge.
    pub x: i64,
    /// Upper edge.
    pub y: i64,
    /// Width.
    pub w: i64,
    /// Height.
    pub h: i64,
    /// Layer, from 0.
    pub rank: u32,
    /// First operator of it.
    pub first_node: Option<u32>,
    /// Last operator of it.
    pub last_node: Option<u32>,
    /// Segment of its first operator.
    pub segment: Option<u32>,
    /// Whether a commit point follows one of its operators.
    pub commit_point: bool,
    /// How often its pattern comes.
    pub times: u32,
    /// Whether it can be opened.
    pub expandable: bool,
}

/// A line from one box to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DrawnEdge {
    /// Id of the box that it leaves.
    pub from: String,
    /// Id of the box that it enters.
    pub to: String,
    /// Its corners.
    pub points: Vec<[i64; 2]>,
    /// Whether it comes from the step before.
    pub state: bool,
}

/// An open block's frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Frame {
    /// Its id: closed, the box has it.
    pub id: String,
    /// "block 3 of 12".
    pub label: String,
    /// Left edge.
    pub x: i64,
    /// Upper edge.
    pub y: i64,
    /// Width.
    pub w: i64,
    /// Height.
    pub h: i64,
    /// First operator.
    pub first_node: u32,
    /// Last operator.
    pub last_node: u32,
}

/// What is committed between two segments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DrawnSegment {
    /// Its number.
    pub segment: u32,
    /// First operator.
    pub first_node: u32,
    /// Last operator.
    pub last_node: u32,
    /// What is live behind it.
    pub live: Vec<String>,
}

/// A drawing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawing {
    /// Id of the model.
    pub model: String,
    /// Its name.
    pub name: String,
    /// Most runs of the graph.
    pub steps: u32,
    /// Width.
    pub width: i64,
    /// Height.
    pub height: i64,
    /// Boxes.
    pub nodes: Vec<DrawnNode>,
    /// Lines.
    pub edges: Vec<DrawnEdge>,
    /// Open blocks.
    pub blocks: Vec<Frame>,
    /// Segments.
    pub commit_points: Vec<DrawnSegment>,
}

impl Drawing {
    /// As the interface gives it.
    pub fn json(&self) -> Value {
        json!({
            "model": self.model, "name": self.name, "steps": self.steps, "width": self.width, "height": self.height,
            "nodes": self.nodes, "edges": self.edges, "blocks": self.blocks, "commit_points": self.commit_points,
        })
    }

    /// As a picture.
    pub fn svg(&self) -> String {
        svg::picture(self)
    }
}

/// Something that is drawn as one box: a range of operators, or an end of the graph.
#[derive(Clone, Debug)]
struct Part {
    kind: Kind,
    /// Number of the input, the output, the first operator or the block.
    number: u32,
    first: u32,
    last: u32,
    times: u32,
}

impl Part {
    fn id(&self) -> String {
        let prefix = match self.kind {
            Kind::Input => "in",
            Kind::Operator => "n",
            Kind::Block => "b",
            Kind::Output => "out",
        };
        format!("{prefix}{}", self.number)
    }
}

/// Draws a model.
pub fn draw(name: &str, model: &Model, open: &Open) -> Drawing {
    let graph = model.graph();
    let found = blocks::find(model);
    let ranges = blocks::ranges(model, &found, open);
    let mut parts: Vec<Part> = Vec::new();
    let inputs = (0..graph.inputs.len() as u32).map(|number| Part {
        kind: Kind::Input,
        number,
        first: 0,
        last: 0,
        times: 1,
    });
    parts.extend(inputs.take(BOXES_MAX / 4));
    let first_operator = parts.len();
    parts.extend(ranges);
    let behind = parts.len();
    let outputs = (0..graph.outputs.len() as u32).map(|number| Part {
        kind: Kind::Output,
        number,
        first: 0,
        last: 0,
        times: 1,
    });
    parts.extend(outputs.take(BOXES_MAX / 4));
    // which part an operator is in
    let mut part_of = vec![0usize; graph.nodes.len()];
    for (at, part) in parts.iter().enumerate().take(behind).skip(first_operator) {
        for node in part.first..=part.last {
            if let Some(slot) = part_of.get_mut(node as usize) {
                *slot = at;
            }
        }
    }
    let from = |source: &Source| match source {
        Source::Input(input) => {
            Some((*input as usize, false)).filter(|(at, _)| *at < first_operator)
        }
        Source::Weight(_) => None,
        Source::Node {
            step_offset, node, ..
        } => part_of
            .get(*node as usize)
            .map(|at| (*at, *step_offset > 0)),
    };
    let mut edges: BTreeSet<(usize, usize, bool)> = BTreeSet::new();
    for (node, at) in graph.nodes.iter().zip(&part_of) {
        for (source, state) in node.inputs.iter().filter_map(from) {
            if source != *at || state {
                edges.insert((source, *at, state));
            }
        }
    }
    for (at, (_, source)) in (behind..parts.len()).zip(&graph.outputs) {
        edges.extend(from(source).map(|(source, state)| (source, at, state)));
    }
    let edges: Vec<(usize, usize, bool)> = edges.into_iter().collect();
    let placed = place::place(parts.len(), &edges);
    let nodes: Vec<DrawnNode> = parts
        .iter()
        .zip(&placed.boxes)
        .map(|(part, at)| drawn(model, part, at))
        .collect();
    let edges = edges
        .iter()
        .zip(placed.lines)
        .map(|((from, to, state), points)| DrawnEdge {
            from: parts[*from].id(),
            to: parts[*to].id(),
            points,
            state: *state,
        });
    let frames = blocks::frames(&found, &parts, &placed.boxes, open);
    Drawing {
        model: model.model_id().to_string(),
        name: name.to_owned(),
        steps: model.header().max_steps,
        width: placed.width,
        height: placed.height,
        edges: edges.collect(),
        nodes,
        blocks: frames,
        commit_points: segments(model),
    }
}

fn drawn(model: &Model, part: &Part, at: &place::Placed) -> DrawnNode {
    let graph = model.graph();
    let node = |n: u32| graph.nodes.get(n as usize);
    let kind = |n: u32| node(n).map_or_else(String::new, |node| words::operator_kind(&node.op));
    let shape_of = |n: u32| node(n).map_or_else(String::new, |node| words::shape(&node.output));
    let (label, name, shape) = match part.kind {
        Kind::Input => {
            let input = graph.inputs.get(part.number as usize);
            let (name, ty) = input.map_or((String::new(), String::new()), |(name, ty)| {
                (name.clone(), words::shape(ty))
            });
            ("input".to_owned(), name, ty)
        }
        Kind::Output => {
            let output = graph.outputs.get(part.number as usize);
            let ty = output.and_then(|(_, source)| model.type_of(*source));
            let name = output.map_or_else(String::new, |(name, _)| name.clone());
            (
                "output".to_owned(),
                name,
                ty.map_or_else(String::new, words::shape),
            )
        }
        Kind::Operator => {
            let name = node(part.first).map_or_else(String::new, |node| node.name.clone());
            (kind(part.first), name, shape_of(part.first))
        }
        Kind::Block => {
            let operators = part.last - part.first + 1;
            let label = format!("{} … {}", kind(part.first), kind(part.last));
            (label, format!("{operators} operators"), shape_of(part.last))
        }
    };
    let is_end = matches!(part.kind, Kind::Input | Kind::Output);
    let segment = |n: u32| {
        let after = model.segments().partition_point(|s| s.first_node <= n);
        after.checked_sub(1).map(|s| s as u32)
    };
    let segment_of = segment(part.first).filter(|_| !is_end);
    let ends = segment(part.last).and_then(|s| model.segments().get(s as usize));
    let commit_point = !is_end
        && (segment(part.first) != segment(part.last)
            || ends.is_some_and(|s| s.first_node + s.op_count == part.last + 1));
    DrawnNode {
        id: part.id(),
        kind: part.kind,
        label,
        name,
        shape,
        x: at.x,
        y: at.y,
        w: at.w,
        h: at.h,
        rank: at.rank,
        first_node: (!is_end).then_some(part.first),
        last_node: (!is_end).then_some(part.last),
        segment: segment_of,
        commit_point,
        times: part.times,
        expandable: part.kind == Kind::Block,
    }
}

/// Names of live values that a segment's entry lists.
const LIVE_NAMED: usize = 32;

fn segments(model: &Model) -> Vec<DrawnSegment> {
    let graph = model.graph();
    let named = |source: &Source| match source {
        Source::Input(input) => {
            let name = graph
                .inputs
                .get(*input as usize)
                .map_or("", |(name, _)| name);
            format!("input {name}")
        }
        Source::Weight(weight) => format!("weight {weight}"),
        Source::Node { node, .. } => {
            let kind = graph
                .nodes
                .get(*node as usize)
                .map(|n| words::operator_kind(&n.op));
            format!("{} node {node}", kind.unwrap_or_default())
        }
    };
    let each = model
        .segments()
        .iter()
        .enumerate()
        .take(BOXES_MAX)
        .map(|(i, segment)| DrawnSegment {
            segment: i as u32,
            first_node: segment.first_node,
            last_node: (segment.first_node + segment.op_count).saturating_sub(1),
            live: segment.live.iter().take(LIVE_NAMED).map(named).collect(),
        });
    each.collect()
}

#[cfg(test)]
mod tests {
    use gavel_model::shipped;

    use super::*;

    /// Boxes of a layer stand beside each other; everything is in the picture.
    fn is_orderly(drawing: &Drawing) {
        let name = &drawing.name;
        let inside =
            |x: i64, y: i64| (0..=drawing.width).contains(&x) && (0..=drawing.height).contains(&y);
        assert!(!drawing.nodes.is_empty() && drawing.nodes.len() <= BOXES_MAX);
        for node in &drawing.nodes {
            let corners = inside(node.x, node.y) && inside(node.x + node.w, node.y + node.h);
            assert!(corners, "{name}: {node:?}");
        }
        for frame in &drawing.blocks {
            let corners = inside(frame.x, frame.y) && inside(frame.x + frame.w, frame.y + frame.h);
            assert!(corners, "{name}: {frame:?}");
        }
        for edge in &drawing.edges {
            let corners = edge.points.iter().all(|[x, y]| inside(*x, *y));
            assert!(corners, "{name}: {edge:?}");
            let has = |id: &str| drawing.nodes.iter().any(|node| node.id == id);
            assert!(has(&edge.from) && has(&edge.to), "{name}: {edge:?}");
        }
        let mut placed: Vec<_> = drawing.nodes.iter().map(|n| (n.rank, n.x, n.w)).collect();
        placed.sort_unstable();
        for pair in placed.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            assert!(pair[0].1 + pair[0].2 <= pair[1].1, "{name}: {pair:?}");
        }
    }

    #[test]
    fn shipped_models_are_drawn_orderly_and_always_alike() {
        for name in shipped::names() {
            let model = shipped::load(name).unwrap();
            let nodes = model.graph().nodes.len() as u32;
            for open in ["", "all"].map(Open::parse) {
                let drawing = draw(name, &model, &open);
                assert_eq!(drawing, draw(name, &model, &open), "{name}");
                is_orderly(&drawing);
                // every operator is in one box
                let ranges = drawing.nodes.iter();
                let ranges = ranges.filter_map(|n| Some(n.last_node? - n.first_node? + 1));
                assert_eq!(ranges.sum::<u32>(), nodes, "{name}");
            }
        }
    }

    #[test]
    fn layers_of_a_language_model_are_closed_until_they_are_opened() {
        let model = shipped::load("llm").unwrap();
        let kinds = |open: &str, kind: Kind| {
            let drawing = draw("llm", &model, &Open::parse(open));
            drawing.nodes.iter().filter(|n| n.kind == kind).count()
        };
        let closed = kinds("", Kind::Block);
        assert!(closed > 1);
        assert_eq!(kinds("b0", Kind::Block), closed - 1);
        assert_eq!(draw("llm", &model, &Open::parse("b0")).blocks.len(), 1);
        assert!(kinds("b0", Kind::Operator) > kinds("", Kind::Operator));
    }

    #[test]
    fn what_models_are_called_is_no_markup() {
        let model = shipped::load("digits-mlp").unwrap();
        let mut drawing = draw("<b>&\"", &model, &Open::default());
        let node = &mut drawing.nodes[0];
        (node.name, node.label, node.shape) = ("<i>".into(), "<s>".into(), "<u>".into());
        let svg = drawing.svg();
        for markup in ["<b>", "<i>", "<s>", "<u>"] {
            assert!(!svg.contains(markup), "{markup}");
        }
        for text in [
            "&lt;b&gt;&amp;&quot;",
            "&lt;i&gt;",
            "&lt;s&gt;",
            "&lt;u&gt;",
        ] {
            assert!(svg.contains(text), "{text}");
        }
    }
}
