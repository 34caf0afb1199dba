//! The trace of a sequence, kept as its rows are computed.
//!
//! Of every slot that can be live the digests before and after each row of a pass are collected; the live roots of all
//! its commit points are then hashed together.

use std::sync::Arc;

use gavel_model::llama::{LlamaConfig, roles};
use gavel_numerics::DType;
use gavel_trace::{
    CHUNK_BYTES, Digest, GrowingDigest, MerkleTree, RowsShape, TensorHeader, append_rows,
    chunk_leaf, chunk_tree, live_root, live_roots, tensor_digest,
};

use super::LanguageError;
use super::live::{Live, LivePlan};
use crate::team::Team;

/// Rows of a task: enough to hash side by side, few enough to share among threads.
const ROWS: usize = 16;

/// The digest of the tokens, of which a step changes at most one.
struct Tokens {
    bytes: Vec<u8>,
    header: TensorHeader,
    tree: MerkleTree,
}

impl Tokens {
    fn new(tokens: &[i32]) -> Result<Tokens, LanguageError> {
        let bytes: Vec<u8> = tokens.iter().flat_map(|t| t.to_le_bytes()).collect();
        Ok(Tokens {
            header: TensorHeader::new(DType::I32.id(), vec![tokens.len() as u64])?,
            tree: chunk_tree(&bytes)?,
            bytes,
        })
    }

    fn set(&mut self, index: usize, token: i32) -> Result<(), LanguageError> {
        self.bytes[4 * index..4 * index + 4].copy_from_slice(&token.to_le_bytes());
        let chunk = 4 * index / CHUNK_BYTES;
        let start = chunk * CHUNK_BYTES;
        let end = self.bytes.len().min(start + CHUNK_BYTES);
        let leaf = chunk_leaf(&self.bytes[start..end]);
        Ok(self.tree.replace(chunk as u64, leaf)?)
    }

    fn digest(&self) -> Digest {
        self.header.digest(&self.tree.root())
    }
}

fn counter(value: i64) -> Digest {
    tensor_digest(DType::I64.id(), &[1], &value.to_le_bytes())
}

/// Digests of the rows that a layer's caches or a residual got in a pass.
pub(crate) struct Recorder {
    plan: Arc<LivePlan>,
    tokens: Tokens,
    /// Keys and values, layer by layer.
    caches: Vec<GrowingDigest>,
    /// Per output slot the digests before the first row of the pass and after each row.
    slots: Vec<Vec<Digest>>,
    /// Per cut the digests of each row of the pass.
    residuals: Vec<Vec<Digest>>,
    input_digest: Digest,
    leaves: Vec<Digest>,
}

impl Recorder {
    /// The trace before step 0.
    pub(crate) fn new(
        plan: &Arc<LivePlan>,
        shape: &Arc<RowsShape>,
        config: &LlamaConfig,
        tokens: &[i32],
        params: &[i64],
    ) -> Result<Recorder, LanguageError> {
        let tokens = Tokens::new(tokens)?;
        let words: Vec<u8> = params.iter().flat_map(|w| w.to_le_bytes()).collect();
        let params = tensor_digest(DType::I64.id(), &[params.len() as u64], &words);
        let empty = GrowingDigest::new(Arc::clone(shape));
        let caches = vec![empty; 2 * config.layers as usize];
        let small = [counter(0), counter(0), tokens.digest(), params];
        let before = small
            .into_iter()
            .chain(caches.iter().map(GrowingDigest::digest));
        let slots: Vec<Vec<Digest>> = before.map(|digest| vec![digest]).collect();
        let inputs: Vec<Digest> = slots.iter().map(|slot| slot[0]).collect();
        Ok(Recorder {
            tokens,
            caches,
            slots,
            residuals: vec![Vec::new(); plan.cuts.len()],
            input_digest: live_root(plan.height, &inputs)?,
            leaves: Vec::new(),
            plan: Arc::clone(plan),
        })
    }

    /// Live root of the inputs of step 0.
    pub(crate) fn input_digest(&self) -> Digest {
        self.input_digest
    }

    /// Live roots so far, in the order of (step, commit point).
    pub(crate) fn into_leaves(self) -> Vec<Digest> {
        self.leaves
    }

    /// The tasks of hashing the rows that a layer's caches got.
    pub(crate) fn cache_rows<'a>(
        &'a mut self,
        layer: usize,
        keys: &'a [f32],
        values: &'a [f32],
        rows: usize,
    ) -> Vec<HashTask<'a>> {
        let first = roles::keys(layer);
        let (_, slots) = self.slots.split_at_mut(first);
        let (_, caches) = self.caches.split_at_mut(2 * layer);
        let pairs = caches.iter_mut().zip(slots).zip([keys, values]);
        let mut parts = pairs.map(|((cache, out), rows)| CacheRows { cache, out, rows });
        let (Some(keys), Some(values)) = (parts.next(), parts.next()) else {
            return Vec::new();
        };
        // one row of each is hashed in less time together; many are shared among threads
        match rows < ROWS {
            true => vec![HashTask::Caches(vec![keys, values])],
            false => vec![HashTask::Caches(vec![keys]), HashTask::Caches(vec![values])],
        }
    }

    /// The tasks of hashing the residual rows after a layer, if they are live somewhere.
    pub(crate) fn residual_rows<'a>(
        &'a mut self,
        layer: usize,
        rows: &'a [f32],
        width: usize,
    ) -> Vec<HashTask<'a>> {
        let Some(cut) = self.plan.cuts.iter().position(|&cut| cut == layer) else {
            return Vec::new();
        };
        let out = &mut self.residuals[cut];
        out.clear();
        out.resize(rows.len() / width, Digest::ZERO);
        let parts = rows.chunks(ROWS * width).zip(out.chunks_mut(ROWS));
        parts
            .map(|(rows, out)| HashTask::Residual { rows, width, out })
            .collect()
    }

    /// Takes up what a step did besides its caches: the token that it appended, if any, and its stop state.
    pub(crate) fn row(
        &mut self,
        position: usize,
        appended: Option<(usize, i32)>,
        stop: i64,
    ) -> Result<(), LanguageError> {
        if let Some((index, token)) = appended {
            self.tokens.set(index, token)?;
        }
        let params = self.slots[roles::PARAMS].last().copied();
        let after = [
            counter(stop),
            counter(position as i64 + 1),
            self.tokens.digest(),
            params.unwrap_or_default(),
        ];
        for (slot, digest) in self.slots.iter_mut().zip(after) {
            slot.push(digest);
        }
        Ok(())
    }

    /// Hashes the live roots of the `rows` rows of the pass that count, and gets ready for the next pass.
    pub(crate) fn finish(&mut self, rows: usize, team: &Team) -> Result<(), LanguageError> {
        let points = self.plan.points.len();
        let blocks = rows.div_ceil(ROWS);
        let mut parts: Vec<Part> = (0..points * blocks)
            .map(|i| Part {
                point: i % points,
                first: i / points * ROWS,
                roots: Ok(Vec::new()),
            })
            .collect();
        team.each(&mut parts, |part| {
            part.roots = self.roots(part.point, part.first..rows.min(part.first + ROWS));
        });
        let mut leaves = vec![Digest::ZERO; rows * points];
        for part in parts {
            for (i, root) in part.roots?.into_iter().enumerate() {
                leaves[(part.first + i) * points + part.point] = root;
            }
        }
        self.leaves.append(&mut leaves);
        for slot in &mut self.slots {
            let last = slot.get(rows).copied().unwrap_or_default();
            slot.clear();
            slot.push(last);
        }
        Ok(())
    }

    fn roots(
        &self,
        point: usize,
        rows: std::ops::Range<usize>,
    ) -> Result<Vec<Digest>, LanguageError> {
        let live = &self.plan.points[point];
        let lists: Vec<Digest> = rows
            .flat_map(|row| {
                live.iter().map(move |slot| match *slot {
                    Live::Before(i) => self.slots[i][row],
                    Live::After(i) => self.slots[i][row + 1],
                    Live::Residual(cut) => self.residuals[cut][row],
                })
            })
            .collect();
        Ok(live_roots(self.plan.height, live.len(), &lists)?)
    }
}

/// Live roots of some rows at one commit point.
struct Part {
    point: usize,
    first: usize,
    roots: Result<Vec<Digest>, LanguageError>,
}

/// Rows of one cache, and where their digests go.
pub(crate) struct CacheRows<'a> {
    cache: &'a mut GrowingDigest,
    out: &'a mut Vec<Digest>,
    rows: &'a [f32],
}

/// Hashing that a thread does beside a product.
pub(crate) enum HashTask<'a> {
    /// Rows of caches.
    Caches(Vec<CacheRows<'a>>),
    /// Rows of the residual, `[1, width]` each.
    Residual {
        /// The rows.
        rows: &'a [f32],
        /// Their extent.
        width: usize,
        /// A digest per row.
        out: &'a mut [Digest],
    },
}

impl HashTask<'_> {
    /// Hashes.
    pub(crate) fn run(&mut self) -> Result<(), LanguageError> {
        match self {
            HashTask::Caches(parts) => {
                let bytes: Vec<_> = parts.iter().map(|part| le_bytes(part.rows)).collect();
                let bytes: Vec<&[u8]> = bytes.iter().map(AsRef::as_ref).collect();
                let mut caches: Vec<&mut GrowingDigest> =
                    parts.iter_mut().map(|part| &mut *part.cache).collect();
                let mut found = append_rows(&mut caches, &bytes)?;
                let each = found.len() / parts.len().max(1);
                for part in parts.iter_mut().rev() {
                    part.out.extend(found.drain(found.len() - each..));
                }
            }
            HashTask::Residual { rows, width, out } => {
                for (row, out) in rows.chunks(*width).zip(out.iter_mut()) {
                    *out = tensor_digest(DType::F32.id(), &[1, *width as u64], &le_bytes(row));
                }
            }
        }
        Ok(())
    }
}

/// The little-endian bytes of values; borrowed on little-endian machines.
fn le_bytes(values: &[f32]) -> std::borrow::Cow<'_, [u8]> {
    #[cfg(target_endian = "little")]
    return bytemuck::cast_slice(values).into();
    #[cfg(target_endian = "big")]
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}
