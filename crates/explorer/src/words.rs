//! What people call the parts of a model and the moves of a game.

use gavel_dispute::{Claim, Tree};
use gavel_model::{Model, Source};
use gavel_numerics::{DType, Op, TensorType};
use gavel_trace::{FineIndex, ROW_LEVELS};
use serde::Serialize;

/// The operator where a dispute ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Isolated {
    /// Step.
    pub step: u32,
    /// Segment.
    pub segment: u32,
    /// Node in canonical order; of a live slot, the node whose value it copies.
    pub node: Option<u32>,
    /// Live slot, where the copy is what is wrong.
    pub live_slot: Option<u32>,
    /// Operator kind: "Conv2d".
    pub operator: Option<String>,
    /// For people: "Conv2d node 12 (conv1)".
    pub name: String,
}

/// "five minutes" for people: "5 min", "1 h 30 min", "45 s".
pub fn duration(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, 0) => format!("{m} min"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, 0, 0) => format!("{h} h"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

/// What people call an operator: the ONNX name where there is one.
pub fn operator_kind(op: &Op) -> String {
    match op {
        Op::Conv2d { .. } => "Conv".to_owned(),
        Op::MaxPool2d { .. } => "MaxPool".to_owned(),
        Op::AveragePool2d { .. } => "AveragePool".to_owned(),
        Op::BatchNorm { .. } => "BatchNormalization".to_owned(),
        // the variant's own name; attributes follow it
        other => format!("{other:?}")
            .split([' ', '{', '('])
            .next()
            .unwrap_or_default()
            .to_owned(),
    }
}

/// The isolated place of a dispute, named.
pub fn isolated(model: &Model, step: u32, segment: u32, place: FineIndex) -> Isolated {
    let unnamed = |name: String| Isolated {
        step,
        segment,
        node: None,
        live_slot: None,
        operator: None,
        name,
    };
    let Some(own) = model.segments().get(segment as usize) else {
        return unnamed(format!("a place outside the model (segment {segment})"));
    };
    let (node, slot) = match place {
        FineIndex::Op(index) => (Some(own.first_node + index), None),
        FineIndex::Live(slot) => (
            match own.live.get(slot as usize) {
                Some(Source::Node { node, .. }) => Some(*node),
                _ => None,
            },
            Some(slot),
        ),
    };
    let known = node.and_then(|n| Some((n, model.graph().nodes.get(n as usize)?)));
    let Some((number, found)) = known else {
        return Isolated {
            live_slot: slot,
            ..unnamed(format!(
                "live slot {} of segment {segment}",
                slot.unwrap_or(0)
            ))
        };
    };
    let kind = operator_kind(&found.op);
    let label = match found.name.as_str() {
        "" => String::new(),
        name => format!(" ({name})"),
    };
    let name = match slot {
        None => format!("{kind} node {number}{label}"),
        Some(slot) => format!("the copy of {kind} node {number}{label} in live slot {slot}"),
    };
    Isolated {
        step,
        segment,
        node: Some(number),
        live_slot: slot,
        operator: Some(kind),
        name,
    }
}

/// An element's bits as a number.
pub fn number(dtype: DType, bits: u64) -> String {
    match dtype {
        DType::F32 => f32::from_bits(bits as u32).to_string(),
        DType::I64 => (bits as i64).to_string(),
        DType::I32 => (bits as u32 as i32).to_string(),
        _ => bits.to_string(),
    }
}

/// "f32[1,8,28,28]".
pub fn shape(ty: &TensorType) -> String {
    let dims: Vec<String> = ty.dims.iter().map(u64::to_string).collect();
    format!(
        "{}[{}]",
        format!("{:?}", ty.dtype).to_lowercase(),
        dims.join(",")
    )
}

fn things(tree: Tree) -> (&'static str, &'static str) {
    match tree {
        Tree::Level1 => ("commit point", "commit points"),
        Tree::Ops => ("operator", "operators"),
        Tree::Live => ("live tensor", "live tensors"),
    }
}

/// "reveals all 9 commit points" or "reveals 16 digests over commit points 0 to 255".
pub fn reveal(claim: &Claim, leaves: u64) -> String {
    let (_, many) = things(claim.tree);
    let first = claim.index << claim.height;
    let last = (first + (1u64 << claim.height)).min(leaves.max(first + 1)) - 1;
    let down = claim.height.min(ROW_LEVELS);
    if claim.height <= ROW_LEVELS {
        let count = last - first + 1;
        if count >= leaves {
            return format!("reveals the digests of all {leaves} {many}");
        }
        return format!("reveals the digests of {count} {many}, {first} to {last} of {leaves}");
    }
    format!(
        "reveals {} digests, each over {} of the {many} {first} to {last}",
        1u32 << down,
        1u64 << (claim.height - down)
    )
}

/// "disagrees first at commit point 3" or "disagrees first within operators 16 to 31".
pub fn pick(tree: Tree, height: u8, index: u64, leaves: u64) -> String {
    let (one, many) = things(tree);
    let first = index << height;
    if height == 0 {
        return match first {
            0 => format!("disagrees already at {one} 0"),
            _ => format!("disagrees first at {one} {first}: everything before it is agreed"),
        };
    }
    let last = (first + (1u64 << height)).min(leaves.max(first + 1)) - 1;
    format!("disagrees first within {many} {first} to {last}: everything before is agreed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_trace::Digest;

    fn claim(tree: Tree, height: u8, index: u64) -> Claim {
        Claim {
            tree,
            node: Digest([0; 32]),
            height,
            index,
        }
    }

    #[test]
    fn time_is_told_in_hours_minutes_and_seconds() {
        assert_eq!(duration(300), "5 min");
        assert_eq!(duration(45), "45 s");
        assert_eq!(duration(5_400), "1 h 30 min");
    }

    #[test]
    fn a_reveal_says_what_lies_under_it() {
        assert_eq!(
            reveal(&claim(Tree::Level1, 4, 0), 9),
            "reveals the digests of all 9 commit points"
        );
        assert_eq!(
            reveal(&claim(Tree::Level1, 8, 0), 200),
            "reveals 16 digests, each over 16 of the commit points 0 to 199"
        );
        assert_eq!(
            reveal(&claim(Tree::Ops, 4, 2), 40),
            "reveals the digests of 8 operators, 32 to 39 of 40"
        );
    }

    #[test]
    fn a_pick_says_what_is_agreed() {
        assert_eq!(
            pick(Tree::Level1, 0, 3, 9),
            "disagrees first at commit point 3: everything before it is agreed"
        );
        assert_eq!(
            pick(Tree::Ops, 4, 1, 20),
            "disagrees first within operators 16 to 19: everything before is agreed"
        );
        assert_eq!(pick(Tree::Ops, 0, 0, 4), "disagrees already at operator 0");
    }

    #[test]
    fn operators_have_the_names_people_know() {
        assert_eq!(operator_kind(&Op::Softmax { axis: 1 }), "Softmax");
        assert_eq!(operator_kind(&Op::Relu), "Relu");
        assert_eq!(operator_kind(&Op::Reshape { dims: vec![1] }), "Reshape");
        let model = gavel_model::shipped::load("digits").unwrap();
        let found = isolated(&model, 0, 0, FineIndex::Op(0));
        assert_eq!(found.node, Some(0));
        assert!(found.name.starts_with("Conv node 0"), "{}", found.name);
        let copy = isolated(&model, 0, 0, FineIndex::Live(0));
        assert!(copy.name.contains("live slot 0"), "{}", copy.name);
        assert!(isolated(&model, 0, 99, FineIndex::Op(0)).node.is_none());
    }
}
