//! Openings under a provider's root that a party can give without having the provider's whole tree.

use std::collections::BTreeMap;

use gavel_trace::{Digest, MerkleTree, Opening, ROW_LEVELS, node};

use crate::board::Row;

/// What is known of a tree of the provider's, up to one disputed leaf.
pub(crate) enum ProviderTree<'a> {
    /// All of it.
    Whole(&'a MerkleTree),
    /// The rows that lead to the disputed leaf, and a tree of one's own for what lies left of them.
    UpTo {
        disputed: u64,
        nodes: BTreeMap<(u8, u64), Digest>,
        own: &'a MerkleTree,
    },
}

impl<'a> ProviderTree<'a> {
    /// Takes one's own tree where that is the provider's, else the rows that lead to the disputed leaf.
    pub(crate) fn find(
        own: &'a MerkleTree,
        root: &Digest,
        disputed: u64,
        rows: &[Row],
    ) -> Option<ProviderTree<'a>> {
        if own.root() == *root {
            return Some(ProviderTree::Whole(own));
        }
        let nodes = nodes_of_rows(root, own.height(), disputed, rows)?;
        Some(ProviderTree::UpTo {
            disputed,
            nodes,
            own,
        })
    }

    /// What an opening of the disputed leaf shows; `None` if it opens something else.
    pub(crate) fn by_opening(
        own: &'a MerkleTree,
        root: &Digest,
        leaf: &Digest,
        opening: &Opening,
    ) -> Option<ProviderTree<'a>> {
        if !opening.verify(own.height(), leaf, root) {
            return None;
        }
        let mut nodes = BTreeMap::new();
        let mut at = *leaf;
        for (level, sibling) in (0..own.height()).zip(&opening.siblings) {
            let index = opening.index >> level;
            nodes.insert((level, index), at);
            nodes.insert((level, index ^ 1), *sibling);
            at = match index % 2 {
                0 => node(&at, sibling),
                _ => node(sibling, &at),
            };
        }
        Some(ProviderTree::UpTo {
            disputed: opening.index,
            nodes,
            own,
        })
    }

    /// Whether everything left of the disputed leaf is one's own.
    pub(crate) fn agrees_before(&self) -> bool {
        let (disputed, nodes, own) = match self {
            ProviderTree::Whole(_) => return true,
            ProviderTree::UpTo {
                disputed,
                nodes,
                own,
            } => (*disputed, nodes, own),
        };
        (0..own.height()).all(|level| {
            let at = disputed >> level;
            let left = at.checked_sub(1).filter(|_| at % 2 == 1);
            left.is_none_or(|left| {
                nodes.get(&(level, left)).copied() == own.node_at(level, left).ok()
            })
        })
    }

    /// The opening of a leaf that lies not after the disputed one. It holds if both trees agree to the left of that.
    pub(crate) fn open(&self, index: u64) -> Option<Opening> {
        let (disputed, nodes, own) = match self {
            ProviderTree::Whole(tree) => return tree.open(index).ok(),
            ProviderTree::UpTo {
                disputed,
                nodes,
                own,
            } => (*disputed, nodes, own),
        };
        let siblings = (0..own.height()).map(|level| {
            let sibling = (index >> level) ^ 1;
            let own = || own.node_at(level, sibling).ok();
            match nodes.get(&(level, sibling)) {
                Some(node) => Some(*node),
                None if sibling < disputed >> level => own(),
                None => None,
            }
        });
        let siblings = siblings.collect::<Option<_>>()?;
        Some(Opening { index, siblings })
    }
}

/// Every node that is in a row between a root and a leaf, or follows from one, by height and index.
fn nodes_of_rows(
    root: &Digest,
    height: u8,
    leaf: u64,
    rows: &[Row],
) -> Option<BTreeMap<(u8, u64), Digest>> {
    let mut nodes = BTreeMap::new();
    let (mut at, mut left) = (*root, height);
    while left > 0 {
        let row = rows.iter().find(|r| r.node == at && r.height == left)?;
        let down = left.min(ROW_LEVELS);
        let below = left - down;
        let (first, child) = ((leaf >> left) << down, (leaf >> below) & ((1 << down) - 1));
        let tree = MerkleTree::new(down, row.row.clone()).ok()?;
        for level in 0..=down {
            for i in 0..1 << (down - level) {
                let node = tree.node_at(level, i).ok()?;
                nodes.insert((below + level, (first >> level) + i), node);
            }
        }
        at = tree.leaf(child).ok()?;
        left = below;
    }
    Some(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(height: u8, salts: impl Iterator<Item = u8>) -> MerkleTree {
        MerkleTree::new(height, salts.map(|salt| Digest([salt; 32])).collect()).unwrap()
    }

    fn rows_to(tree: &MerkleTree, index: u64) -> Vec<Row> {
        let mut rows = Vec::new();
        let mut height = tree.height();
        while height > 0 {
            rows.push(Row {
                node: tree.node_at(height, index >> height).unwrap(),
                height,
                row: tree.row(height, index >> height).unwrap(),
            });
            height -= height.min(ROW_LEVELS);
        }
        rows
    }

    #[test]
    fn rows_and_agreement_open_everything_up_to_the_disputed_leaf() {
        for (height, leaves) in [(0, 1), (1, 2), (3, 5), (4, 16), (6, 40), (9, 300)] {
            for disputed in (0..leaves).step_by(if leaves > 50 { 37 } else { 1 }) {
                let own = tree(height, (0..leaves).map(|i| i as u8));
                let theirs = tree(
                    height,
                    (0..leaves).map(|i| (i as u8) ^ u8::from(i >= disputed) << 7),
                );
                let root = theirs.root();
                let rows = rows_to(&theirs, disputed);
                let found = ProviderTree::find(&own, &root, disputed, &rows).unwrap();
                for i in 0..=disputed {
                    let opening = found.open(i).unwrap();
                    let leaf = theirs.leaf(i).unwrap();
                    assert!(
                        opening.verify(height, &leaf, &root),
                        "{height} {disputed} {i}"
                    );
                }
                assert!(found.agrees_before());
                let opening = theirs.open(disputed).unwrap();
                let by = |opening: &Opening| {
                    let leaf = theirs.leaf(disputed).unwrap();
                    ProviderTree::by_opening(&own, &root, &leaf, opening).map(|tree| {
                        let all = (0..=disputed).map(|i| tree.open(i).unwrap());
                        all.collect::<Vec<_>>()
                    })
                };
                let all = (0..=disputed).map(|i| theirs.open(i).unwrap());
                assert_eq!(by(&opening), Some(all.collect()));
                let elsewhere = Opening {
                    index: disputed + 1,
                    ..opening
                };
                assert_eq!(by(&elsewhere), None);
                let passed_over = tree(
                    height,
                    (0..leaves).map(|i| (i as u8) ^ u8::from(i + 1 >= disputed) << 7),
                );
                let rows = rows_to(&passed_over, disputed);
                let found = ProviderTree::find(&own, &passed_over.root(), disputed, &rows).unwrap();
                assert_eq!(found.agrees_before(), disputed == 0, "{height} {disputed}");
                let whole = ProviderTree::find(&theirs, &root, disputed, &[]);
                assert!(matches!(whole, Some(ProviderTree::Whole(_))));
            }
        }
        let (own, theirs) = (tree(5, 0..20), tree(5, 1..21));
        let rows = rows_to(&theirs, 3);
        let root = theirs.root();
        assert!(ProviderTree::find(&own, &root, 19, &rows[..1]).is_none());
        // leaves 16 to 19 are in another row, which nobody revealed
        let found = ProviderTree::find(&own, &root, 3, &rows).unwrap();
        assert!(found.open(17).is_none());
    }
}
