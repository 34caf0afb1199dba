//! Repeated blocks: runs of operators that come several times behind each other, as the layers of a language model do.

use gavel_model::Model;

use super::{BOXES_MAX, Frame, Kind, Open, Part, place::Placed};

/// Graphs up to this many operators are drawn as they are.
const PLAIN: usize = 24;
/// Longest pattern that is looked for.
const PERIOD_MAX: usize = 512;
/// Shortest pattern that is worth a box.
const PERIOD_MIN: usize = 3;

/// One occurrence of a pattern, or a run of operators that had to be put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) number: u32,
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) times: u32,
    /// Which of them it is, from 1.
    pub(super) at: u32,
}

/// What makes two operators the same in a pattern: kind, attributes and output, not what feeds them.
fn signatures(model: &Model) -> Vec<u64> {
    let nodes = model.graph().nodes.iter();
    let each = nodes.map(|node| {
        // FNV-1a over the canonical bytes
        node.encode()
            .iter()
            .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
            })
    });
    each.collect()
}

/// The blocks of a model, in order, none inside another. Looks at every operator once for each length of a pattern.
pub(super) fn find(model: &Model) -> Vec<Block> {
    let signs = signatures(model);
    let n = signs.len();
    if n <= PLAIN {
        return Vec::new();
    }
    // (operators covered, pattern, first operator)
    let mut runs: Vec<(usize, usize, usize)> = Vec::new();
    for period in PERIOD_MIN..=PERIOD_MAX.min(n / 2) {
        let mut same = 0;
        for at in 0..=n - period {
            if at < n - period && signs[at] == signs[at + period] {
                same += 1;
                continue;
            }
            if same >= period {
                runs.push((same / period * period + period, period, at - same));
            }
            same = 0;
        }
    }
    // the run that covers most, of those the shortest pattern, of those the first
    runs.sort_by_key(|(covered, period, first)| (std::cmp::Reverse(*covered), *period, *first));
    let mut taken = vec![false; n];
    let mut chosen: Vec<(usize, usize, usize)> = Vec::new();
    for (covered, period, first) in runs {
        let own = first..first + covered;
        let (Some(start), Some(end)) = (taken.get(own.start), taken.get(own.end - 1)) else {
            continue;
        };
        // runs are intervals taken in order of length: one that overlaps a longer one has an end in it
        if *start || *end {
            continue;
        }
        taken[own].fill(true);
        chosen.push((first, period, covered));
    }
    chosen.sort_unstable();
    let mut blocks = Vec::new();
    for (first, period, covered) in chosen {
        let times = covered / period;
        for at in 0..times {
            let first = first + at * period;
            blocks.push(Block {
                number: blocks.len() as u32,
                first: first as u32,
                last: (first + period - 1) as u32,
                times: times as u32,
                at: at as u32 + 1,
            });
        }
    }
    blocks
}

/// The operators of a drawing: those outside of blocks, closed blocks, those of open ones. Where that is too much, runs of
/// operators are put together until it is not.
pub(super) fn ranges(model: &Model, blocks: &[Block], open: &Open) -> Vec<Part> {
    let n = model.graph().nodes.len() as u32;
    let mut parts = Vec::new();
    let mut node = 0;
    let mut next = blocks.iter().peekable();
    while node < n {
        if let Some(block) = next.next_if(|block| block.first == node) {
            node = block.last + 1;
            match open.has(block.number) {
                true => parts.extend((block.first..=block.last).map(operator)),
                false => parts.push(Part {
                    kind: Kind::Block,
                    number: block.number,
                    first: block.first,
                    last: block.last,
                    times: block.times,
                }),
            }
            continue;
        }
        parts.push(operator(node));
        node += 1;
    }
    let most = BOXES_MAX / 2;
    if parts.len() <= most {
        return parts;
    }
    let size = parts.len().div_ceil(most);
    let mut number = blocks.len() as u32;
    let together = parts.chunks(size).map(|run| {
        let (first, last) = (&run[0], &run[run.len() - 1]);
        if run.len() == 1 {
            return first.clone();
        }
        number += 1;
        Part {
            kind: Kind::Block,
            number: number - 1,
            first: first.first,
            last: last.last,
            times: 1,
        }
    });
    together.collect()
}

fn operator(node: u32) -> Part {
    Part {
        kind: Kind::Operator,
        number: node,
        first: node,
        last: node,
        times: 1,
    }
}

/// Room between a frame and what is in it.
const MARGIN: i64 = 10;

/// Frames of the open blocks.
pub(super) fn frames(
    blocks: &[Block],
    parts: &[Part],
    placed: &[Placed],
    open: &Open,
) -> Vec<Frame> {
    let mut frames = Vec::new();
    let operators = parts
        .iter()
        .zip(placed)
        .filter(|(part, _)| part.kind == Kind::Operator);
    let mut operators = operators.peekable();
    for block in blocks.iter().filter(|block| open.has(block.number)) {
        while operators
            .next_if(|(part, _)| part.first < block.first)
            .is_some()
        {}
        let (mut left, mut top, mut right, mut bottom) = (i64::MAX, i64::MAX, i64::MIN, i64::MIN);
        while let Some((_, at)) = operators.next_if(|(part, _)| part.first <= block.last) {
            (left, top) = (left.min(at.x), top.min(at.y));
            (right, bottom) = (right.max(at.x + at.w), bottom.max(at.y + at.h));
        }
        if left > right {
            continue;
        }
        frames.push(Frame {
            id: format!("b{}", block.number),
            label: format!("block {} of {}", block.at, block.times),
            x: left - MARGIN,
            y: top - MARGIN,
            w: right - left + 2 * MARGIN,
            h: bottom - top + 2 * MARGIN,
            first_node: block.first,
            last_node: block.last,
        });
    }
    frames
}
