//! Merkle trees of fixed height, their rows and their openings.

use crate::{Digest, TraceError, node};
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// Greatest height of a tree.
pub const MAX_HEIGHT: u8 = 32;

/// Levels between a disputed node and its row: degree 16.
pub const ROW_LEVELS: u8 = 4;

/// `ceil(log2(max(n, 1)))`: the height of a tree that holds `n` leaves.
pub const fn height(n: u64) -> u8 {
    if n <= 1 {
        0
    } else {
        (u64::BITS - (n - 1).leading_zeros()) as u8
    }
}

/// Length of the row of a node at height `at`: `2^min(at, 4)`.
pub const fn row_len(at: u8) -> usize {
    1 << if at < ROW_LEVELS { at } else { ROW_LEVELS }
}

/// `Z_level`: the root of a tree of that height without leaves. Heights above 32 give `Z_32`.
pub fn zero_subtree(level: u8) -> Digest {
    static ZEROS: OnceLock<[Digest; MAX_HEIGHT as usize + 1]> = OnceLock::new();
    let zeros = ZEROS.get_or_init(|| {
        let mut current = Digest::ZERO;
        core::array::from_fn(|k| {
            if k > 0 {
                current = node(&current, &current);
            }
            current
        })
    });
    zeros[level.min(MAX_HEIGHT) as usize]
}

/// Root of a row of 1, 2, 4, 8 or 16 digests.
pub fn fold(row: &[Digest]) -> Result<Digest, TraceError> {
    if !row.len().is_power_of_two() || row.len() > 1 << ROW_LEVELS {
        return Err(TraceError::RowLength(row.len()));
    }
    let mut level = [Digest::ZERO; 1 << ROW_LEVELS];
    level[..row.len()].copy_from_slice(row);
    let mut len = row.len();
    while len > 1 {
        len /= 2;
        for i in 0..len {
            level[i] = node(&level[2 * i], &level[2 * i + 1]);
        }
    }
    Ok(level[0])
}

/// A Merkle tree of fixed height whose missing leaves on the right are `Z_0`.
///
/// Memory is two digests per leaf that was given, whatever the height: padding is never stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MerkleTree {
    /// `levels[k]`: the nodes at height `k` that have a given leaf below them.
    levels: Vec<Vec<Digest>>,
}

impl MerkleTree {
    /// A tree of height `height` over `leaves`, padded on the right.
    pub fn new(height: u8, leaves: Vec<Digest>) -> Result<Self, TraceError> {
        if height > MAX_HEIGHT {
            return Err(TraceError::HeightTooLarge(height));
        }
        if leaves.len() as u64 > 1 << height {
            return Err(TraceError::TooManyLeaves {
                leaves: leaves.len() as u64,
                height,
            });
        }
        let mut levels = Vec::with_capacity(height as usize + 1);
        levels.push(leaves);
        for level in 0..height {
            let below = levels.last().map_or(&[][..], Vec::as_slice);
            let above = below
                .chunks(2)
                .map(|pair| match pair {
                    [l, r] => node(l, r),
                    [l, ..] => node(l, &zero_subtree(level)),
                    [] => zero_subtree(level + 1),
                })
                .collect();
            levels.push(above);
        }
        Ok(MerkleTree { levels })
    }

    /// The smallest tree that holds `leaves`.
    pub fn of(leaves: Vec<Digest>) -> Result<Self, TraceError> {
        Self::new(height(leaves.len() as u64), leaves)
    }

    /// Height of the tree.
    pub fn height(&self) -> u8 {
        (self.levels.len() - 1) as u8
    }

    /// The leaves that were given, padding left out.
    pub fn leaves(&self) -> &[Digest] {
        self.levels.first().map_or(&[], Vec::as_slice)
    }

    /// The root.
    pub fn root(&self) -> Digest {
        self.at(self.height(), 0)
    }

    fn at(&self, level: u8, index: u64) -> Digest {
        let stored = self.levels.get(level as usize);
        let found = stored.and_then(|nodes| nodes.get(usize::try_from(index).ok()?));
        found.copied().unwrap_or_else(|| zero_subtree(level))
    }

    fn check(&self, at: u8, index: u64) -> Result<(), TraceError> {
        let height = self.height();
        if at > height || index >= 1 << (height - at) {
            return Err(TraceError::OutOfTree { at, index, height });
        }
        Ok(())
    }

    /// The node at height `at` above the leaves and index `index` among the nodes of that height.
    pub fn node_at(&self, at: u8, index: u64) -> Result<Digest, TraceError> {
        self.check(at, index)?;
        Ok(self.at(at, index))
    }

    /// Leaf `index`; `Z_0` where it is padding.
    pub fn leaf(&self, index: u64) -> Result<Digest, TraceError> {
        self.node_at(0, index)
    }

    /// Replaces leaf `index`, one of those that were given, in time proportional to the height.
    pub fn replace(&mut self, index: u64, leaf: Digest) -> Result<(), TraceError> {
        let outside = TraceError::OutOfTree {
            at: 0,
            index,
            height: self.height(),
        };
        let mut at = usize::try_from(index).map_err(|_| outside.clone())?;
        let slot = self
            .levels
            .first_mut()
            .and_then(|leaves| leaves.get_mut(at));
        *slot.ok_or(outside)? = leaf;
        for level in 1..self.levels.len() {
            at /= 2;
            let (left, right) = (2 * at as u64, 2 * at as u64 + 1);
            let below = level as u8 - 1;
            self.levels[level][at] = node(&self.at(below, left), &self.at(below, right));
        }
        Ok(())
    }

    /// The row of a node: its `2^min(at, 4)` descendants, left to right. It [`fold`]s to the node.
    pub fn row(&self, at: u8, index: u64) -> Result<Vec<Digest>, TraceError> {
        self.check(at, index)?;
        let down = at.min(ROW_LEVELS);
        let first = index << down;
        Ok((first..first + (1 << down))
            .map(|i| self.at(at - down, i))
            .collect())
    }

    /// The opening of leaf `index`; padding opens too.
    pub fn open(&self, index: u64) -> Result<Opening, TraceError> {
        self.check(0, index)?;
        let siblings = (0..self.height())
            .map(|k| self.at(k, (index >> k) ^ 1))
            .collect();
        Ok(Opening { index, siblings })
    }
}

/// The siblings that lead from one leaf to the root, leaf first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// Index of the leaf; bit `k` says on which side the path is at level `k`.
    pub index: u64,
    /// One sibling per level.
    pub siblings: Vec<Digest>,
}

impl Opening {
    /// The root that this opening leads to from `leaf`.
    pub fn root(&self, leaf: &Digest) -> Digest {
        let mut current = *leaf;
        for (k, sibling) in self.siblings.iter().enumerate() {
            let right = k < 64 && self.index >> k & 1 == 1;
            current = if right {
                node(sibling, &current)
            } else {
                node(&current, sibling)
            };
        }
        current
    }

    /// Whether `leaf` is at `self.index` in the tree of that height with that root. False for an
    /// opening of another length and for an index outside the tree.
    pub fn verify(&self, height: u8, leaf: &Digest, root: &Digest) -> bool {
        height <= MAX_HEIGHT
            && self.siblings.len() == height as usize
            && self.index < 1 << height
            && self.root(leaf) == *root
    }

    /// [`Opening::verify`] at a demanded index, with an error that says what was wrong.
    pub fn check(
        &self,
        what: &'static str,
        height: u8,
        index: u64,
        leaf: &Digest,
        root: &Digest,
    ) -> Result<(), TraceError> {
        if height > MAX_HEIGHT {
            return Err(TraceError::HeightTooLarge(height));
        }
        if self.siblings.len() != height as usize {
            return Err(TraceError::OpeningLength {
                what,
                height,
                found: self.siblings.len(),
            });
        }
        if self.index != index {
            return Err(TraceError::OpeningIndex {
                what,
                expected: index,
                found: self.index,
            });
        }
        if index >= 1 << height {
            return Err(TraceError::OutOfTree {
                at: 0,
                index,
                height,
            });
        }
        let found = self.root(leaf);
        if found != *root {
            return Err(TraceError::Mismatch {
                what,
                expected: *root,
                found,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leaves(n: usize, salt: u8) -> Vec<Digest> {
        (0..n)
            .map(|i| Digest([salt ^ (i as u8).wrapping_mul(37); 32]))
            .collect()
    }

    /// The definition, without laziness.
    fn naive_root(height: u8, leaves: &[Digest]) -> Digest {
        let mut level = leaves.to_vec();
        level.resize(1 << height, Digest::ZERO);
        while level.len() > 1 {
            level = level.chunks(2).map(|p| node(&p[0], &p[1])).collect();
        }
        level[0]
    }

    #[test]
    fn heights() {
        let expected = [
            (0, 0),
            (1, 0),
            (2, 1),
            (3, 2),
            (4, 2),
            (5, 3),
            (1024, 10),
            (1025, 11),
            (u64::MAX, 64),
        ];
        for (n, h) in expected {
            assert_eq!(height(n), h, "{n}");
        }
    }

    #[test]
    fn tall_trees_stay_small() {
        let tree = MerkleTree::new(32, leaves(3, 1)).unwrap();
        assert!(tree.levels.iter().map(Vec::len).sum::<usize>() < 40);
        let last = u64::from(u32::MAX);
        assert!(
            tree.open(last)
                .unwrap()
                .verify(32, &Digest::ZERO, &tree.root())
        );
        assert_eq!(tree.row(32, 0).unwrap().len(), 16);
        assert_eq!(tree.row(0, last).unwrap(), [Digest::ZERO]);
        assert!(tree.open(last + 1).is_err());
        assert!(MerkleTree::new(33, vec![]).is_err());
        assert_eq!(
            MerkleTree::new(32, vec![]).unwrap().root(),
            zero_subtree(32)
        );
    }

    #[test]
    fn rows_of_other_lengths_do_not_fold() {
        for n in [0, 3, 5, 6, 7, 9, 15, 17, 32] {
            assert_eq!(fold(&leaves(n, 0)), Err(TraceError::RowLength(n)));
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(h in 0u8..8, fill in 0.0f64..=1.0, salt: u8) {
            let n = ((1u64 << h) as f64 * fill) as usize;
            let tree = MerkleTree::new(h, leaves(n, salt)).unwrap();
            prop_assert_eq!(tree.root(), naive_root(h, &leaves(n, salt)));
            prop_assert!(MerkleTree::new(h, leaves((1 << h) + 1, salt)).is_err());
            for g in 0..=h {
                for i in 0..1u64 << (h - g) {
                    prop_assert_eq!(fold(&tree.row(g, i).unwrap()).unwrap(), tree.node_at(g, i).unwrap());
                }
                prop_assert!(tree.row(g, 1 << (h - g)).is_err());
            }
        }

        #[test]
        fn a_replaced_leaf_gives_the_tree_over_the_new_leaves(h in 0u8..7, extra in 0u8..3, n in 1usize..65, at: usize) {
            let n = n.min(1 << h);
            let mut expected = leaves(n, 5);
            let mut tree = MerkleTree::new(h + extra, expected.clone()).unwrap();
            expected[at % n] = Digest([200; 32]);
            tree.replace((at % n) as u64, Digest([200; 32])).unwrap();
            prop_assert_eq!(&tree, &MerkleTree::new(h + extra, expected).unwrap());
            prop_assert!(tree.replace(n as u64, Digest::ZERO).is_err());
        }

        #[test]
        fn an_opening_fits_one_place_only(h in 1u8..9, i: u64, other: u64, level: usize, byte in 0usize..32) {
            let tree = MerkleTree::new(h, leaves((1 << h) - 1, 9)).unwrap();
            let (i, other) = (i % (1 << h), other % (1 << h));
            let (leaf, root) = (tree.leaf(i).unwrap(), tree.root());
            let good = tree.open(i).unwrap();
            prop_assert!(good.verify(h, &leaf, &root));
            prop_assert!(good.check("leaf", h, i, &leaf, &root).is_ok());
            // index, height, length, sibling, leaf
            let moved = Opening { index: other, ..good.clone() };
            prop_assert_eq!(moved.verify(h, &leaf, &root), other == i);
            prop_assert!(!good.verify(h + 1, &leaf, &root));
            prop_assert!(!good.verify(h - 1, &leaf, &root));
            let wrapped = Opening { index: i + (1 << h), ..good.clone() };
            prop_assert!(!wrapped.verify(h, &leaf, &root));
            let mut short = good.clone();
            short.siblings.pop();
            prop_assert!(!short.verify(h, &leaf, &root));
            let mut bent = good.clone();
            let at = level % bent.siblings.len();
            bent.siblings[at].0[byte] ^= 1;
            prop_assert!(!bent.verify(h, &leaf, &root));
            let mut wrong = leaf;
            wrong.0[byte] ^= 0x80;
            prop_assert!(!good.verify(h, &wrong, &root));
        }
    }
}
