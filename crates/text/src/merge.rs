//! The merge loop of byte-pair encodings: the pair of best rank first, of equal ones the leftmost.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

/// A run of the text that stands for one symbol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Symbol {
    /// First byte.
    pub(crate) start: u32,
    /// One past the last byte.
    pub(crate) end: u32,
    /// What the vocabulary calls it.
    pub(crate) id: u32,
}

impl Symbol {
    /// Its bytes within the text.
    pub(crate) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

const NONE: u32 = u32::MAX;

struct Link {
    symbol: Symbol,
    previous: u32,
    /// [`NONE`] after the last one.
    next: u32,
}

/// Merges neighbours until `pair` knows no more, in O(n log n) calls of it.
///
/// `pair` gives the rank (the least is merged first) and the id of what two neighbours merge to. `symbols` are
/// in order and adjacent; fewer than 2^32 - 1 of them.
pub(crate) fn merge(
    symbols: impl Iterator<Item = Symbol>,
    pair: impl Fn(Symbol, Symbol) -> Option<(u32, u32)>,
) -> Vec<Symbol> {
    let mut links: Vec<Link> = symbols
        .zip(0u32..)
        .map(|(symbol, at)| Link {
            symbol,
            previous: at.wrapping_sub(1),
            next: at + 1,
        })
        .collect();
    match links.last_mut() {
        Some(last) => last.next = NONE,
        None => return Vec::new(),
    }
    // rank, index of the left one, its start is fixed; the end of the right one tells whether it is still true
    let mut queue = BinaryHeap::new();
    let offer = |queue: &mut BinaryHeap<_>, links: &[Link], left: u32, right: u32| {
        if left == NONE || right == NONE {
            return;
        }
        let (l, r) = (links[left as usize].symbol, links[right as usize].symbol);
        if let Some((rank, id)) = pair(l, r) {
            queue.push(Reverse((rank, left, right, r.end, id)));
        }
    };
    for right in 1..links.len() as u32 {
        offer(&mut queue, &links, right - 1, right);
    }
    while let Some(Reverse((_, left, right, end, id))) = queue.pop() {
        let (l, r) = (&links[left as usize], &links[right as usize]);
        // a symbol that was merged into its left neighbour has no next; one that grew has another next or end
        if l.next != right || r.symbol.end != end {
            continue;
        }
        let after = r.next;
        let merged = &mut links[left as usize];
        merged.symbol.end = end;
        merged.symbol.id = id;
        merged.next = after;
        let before = merged.previous;
        let gone = &mut links[right as usize];
        gone.symbol.start = gone.symbol.end;
        gone.next = NONE;
        if after != NONE {
            links[after as usize].previous = left;
        }
        offer(&mut queue, &links, before, left);
        offer(&mut queue, &links, left, after);
    }
    links
        .into_iter()
        .map(|link| link.symbol)
        .filter(|s| s.start != s.end)
        .collect()
}
