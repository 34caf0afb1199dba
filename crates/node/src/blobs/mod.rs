//! Blobs: what is too large for the chain, named by what it commits to.
//!
//! Nothing that a reader gets from here is unchecked: inputs and outputs are what the digest says that they are asked by,
//! receipts what the board says of their task, shown segments what their dispute has bound. What is not is an error with the
//! blob's name, as is what is larger than anything that could be right, before it is read.

mod retention;
mod runs;
mod store;
#[cfg(test)]
mod wild;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use gavel_dispute::SegmentFacts;
use gavel_model::Model;
use gavel_numerics::{Tensor, TensorType};
use gavel_trace::{Digest, live_root};
use gavel_verifier::{Outputs, ShownTensor, SignedReceipt, StoredOutput};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Board, Committed, NodeError, ShownSegment, input_digest};

pub use retention::Pruned;
pub use store::Found;
pub(crate) use store::Store;

/// Bytes of a signed receipt, at most.
const MAX_RECEIPT: u64 = 64 << 10;
/// Bytes that go with a tensor: its header, a digest in its place.
const PER_TENSOR: u64 = 512;

/// A content-addressed store: memory, a directory, or a store behind a URL. Clones share it.
#[derive(Clone, Debug)]
pub struct Blobs {
    store: Store,
    kept: Arc<Mutex<Kept>>,
}

/// Most bytes of inputs that a process keeps.
const KEPT_BYTES: usize = 256 << 20;

/// Inputs that were checked against their digest, oldest first: whoever has read them needs the store no more.
#[derive(Debug, Default)]
struct Kept {
    inputs: Vec<(Digest, Vec<Tensor>)>,
    bytes: usize,
}

impl Kept {
    /// Adds inputs within `most` bytes in all: the oldest leave for them, and what is larger by itself is not kept.
    fn add(&mut self, digest: &Digest, inputs: &[Tensor], most: usize) {
        let size = |inputs: &[Tensor]| inputs.iter().map(|t| t.le_bytes().len()).sum::<usize>();
        let bytes = size(inputs);
        if bytes > most || self.inputs.iter().any(|(name, _)| name == digest) {
            return;
        }
        while self.bytes + bytes > most && !self.inputs.is_empty() {
            let (_, oldest) = self.inputs.remove(0);
            self.bytes -= size(&oldest);
        }
        self.bytes += bytes;
        self.inputs.push((*digest, inputs.to_vec()));
    }
}

impl Blobs {
    /// In this process.
    pub fn memory() -> Blobs {
        Blobs::with(Store::memory())
    }

    fn with(store: Store) -> Blobs {
        Blobs {
            store,
            kept: Arc::default(),
        }
    }

    /// The same store as another process sees it, which keeps for itself what it has read.
    pub fn apart(&self) -> Blobs {
        Blobs::with(self.store.clone())
    }

    /// Inputs that were [kept](Self::keep).
    pub(crate) fn kept(&self, digest: &Digest) -> Option<Vec<Tensor>> {
        // a panic elsewhere leaves the list whole
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.inputs.iter().find(|(name, _)| name == digest);
        found.map(|(_, inputs)| inputs.clone())
    }

    /// Keeps inputs that are what their digest says, in this process, in case that the store loses them.
    pub(crate) fn keep(&self, digest: &Digest, inputs: &[Tensor]) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.add(digest, inputs, KEPT_BYTES);
    }

    /// In a store of the caller's.
    pub fn over(objects: Arc<dyn object_store::ObjectStore>) -> Blobs {
        Blobs::with(Store::over(objects))
    }

    /// In a directory, created if absent.
    ///
    /// # Errors
    /// The file system said no.
    pub fn directory(path: &Path) -> Result<Blobs, NodeError> {
        Store::directory(path).map(Blobs::with)
    }

    /// A directory, or the URL of a store: `file:`, `http:`, `https:`, `s3:`, `gs:`, `az:`. Keys, regions and endpoints of the
    /// last three come from the variables of their own tools.
    ///
    /// # Errors
    /// An unknown scheme, or a directory that cannot be made.
    pub fn open(place: &str) -> Result<Blobs, NodeError> {
        Store::open(place).map(Blobs::with)
    }

    /// Stores a task's inputs under their digest.
    ///
    /// # Errors
    /// The store said no.
    pub async fn put_inputs(&self, digest: &Digest, inputs: &[Tensor]) -> Result<(), NodeError> {
        let shown: Vec<_> = inputs.iter().map(ShownTensor::trimmed).collect();
        self.put(&format!("inputs/{digest}.json"), &shown).await
    }

    /// Removes a task's inputs from the store, not from the memory of those who have read them.
    ///
    /// # Errors
    /// The store said no.
    pub async fn remove_inputs(&self, digest: &Digest) -> Result<(), NodeError> {
        self.store.delete(&format!("inputs/{digest}.json")).await
    }

    /// A task's inputs: those that the digest binds, or none.
    ///
    /// # Errors
    /// The store said no, or the blob is not what its name says.
    pub async fn inputs(
        &self,
        digest: &Digest,
        model: &Model,
    ) -> Result<Option<Vec<Tensor>>, NodeError> {
        let name = format!("inputs/{digest}.json");
        let types = || model.graph().inputs.iter().map(|(_, ty)| ty);
        let most = bytes_of(types());
        let Some(shown) = self.get::<Vec<ShownTensor>>(&name, most).await? else {
            return Ok(None);
        };
        let tensors = ShownTensor::tensors(&shown, types());
        let tensors = tensors.filter(|tensors| tensors.len() == types().count());
        let tensors = tensors.ok_or_else(|| corrupt(&name, NO_TENSORS))?;
        match input_digest(model, &tensors)? == *digest {
            true => Ok(Some(tensors)),
            false => Err(corrupt(&name, "its tensors have another digest")),
        }
    }

    /// Stores a result's outputs under their digest: the first `whole` as they are, of the others the digests.
    ///
    /// # Errors
    /// The store said no.
    pub async fn put_outputs(
        &self,
        digest: &Digest,
        outputs: &[Arc<Tensor>],
        whole: usize,
    ) -> Result<(), NodeError> {
        let (shown, rest) = outputs.split_at(whole.min(outputs.len()));
        let outputs = Outputs {
            tensors: shown.iter().map(|t| t.as_ref().clone()).collect(),
            rest: rest.iter().map(|t| gavel_engine::digest(t)).collect(),
        };
        let name = format!("outputs/{digest}.json");
        self.put(&name, &outputs.stored()).await
    }

    /// A result's outputs: those that the digest binds, or none.
    ///
    /// # Errors
    /// The store said no, or the blob is not what its name says.
    pub async fn outputs(
        &self,
        digest: &Digest,
        model: &Model,
    ) -> Result<Option<Outputs>, NodeError> {
        let name = format!("outputs/{digest}.json");
        let outputs = model.graph().outputs.iter();
        let most = bytes_of(outputs.filter_map(|(_, source)| model.type_of(*source)));
        let Some(stored) = self.get::<Vec<StoredOutput>>(&name, most).await? else {
            return Ok(None);
        };
        let outputs = Outputs::read(stored, model).ok_or_else(|| corrupt(&name, NO_TENSORS))?;
        let found = live_root(model.header().live_height, &outputs.digests());
        match found.is_ok_and(|found| found == *digest) {
            true => Ok(Some(outputs)),
            false => Err(corrupt(&name, "its tensors have another digest")),
        }
    }

    /// Stores what a provider signed about its result of an attempt.
    ///
    /// # Errors
    /// The store said no.
    pub async fn put_receipt(&self, receipt: &SignedReceipt) -> Result<(), NodeError> {
        let name = receipt_name(receipt.task_id, receipt.attempt);
        self.put(&name, receipt).await
    }

    /// What the provider of a task's current result signed about it, if it did and signed for what it committed.
    ///
    /// # Errors
    /// The store said no.
    pub async fn receipt(
        &self,
        board: &Board,
        id: u64,
    ) -> Result<Option<SignedReceipt>, NodeError> {
        let Some(task) = board.task(id).filter(|task| !task.output_digest.is_zero()) else {
            return Ok(None);
        };
        let name = receipt_name(id, task.attempt);
        let receipt = match self.get::<SignedReceipt>(&name, MAX_RECEIPT).await {
            // a stranger stored it: what is unreadable is as good as absent
            Err(NodeError::Blob { .. }) => return Ok(None),
            other => other?,
        };
        Ok(receipt.filter(|receipt| {
            receipt.check().is_ok()
                && receipt.chain_id == board.chain_id
                && receipt.market.0 == board.contracts.market.as_slice()
                && (receipt.task_id, receipt.attempt) == (id, task.attempt)
                && receipt.provider.0 == task.provider.as_slice()
                && (receipt.class_id, receipt.model_id) == (task.class, task.model)
                && receipt.input_digest == task.input_digest
                && (receipt.output_digest, receipt.trace_root)
                    == (task.output_digest, task.trace_root)
        }))
    }

    /// Stores what a provider shows of a disputed segment.
    ///
    /// # Errors
    /// The store said no.
    pub async fn put_segment(
        &self,
        trace_root: &Digest,
        shown: &ShownSegment,
    ) -> Result<(), NodeError> {
        let name = segment_name(trace_root, shown.leaf_index);
        self.put(&name, shown).await
    }

    /// What a provider showed of a disputed segment, as far as it holds against what the dispute has bound.
    ///
    /// # Errors
    /// The store said no.
    pub async fn segment(
        &self,
        trace_root: &Digest,
        model: &Model,
        bound: &SegmentFacts,
    ) -> Result<Option<Committed>, NodeError> {
        let name = segment_name(trace_root, bound.leaf_index);
        let most = segment_bytes(model);
        let shown = match self.get::<ShownSegment>(&name, most).await {
            // what somebody made unreadable is as good as not shown
            Err(NodeError::Blob { .. }) => return Ok(None),
            other => other?,
        };
        Ok(shown.and_then(|shown| shown.check(model, bound)))
    }

    /// Writes, reads and removes a blob of no meaning.
    ///
    /// # Errors
    /// The store says no to one of the three.
    pub async fn probe(&self) -> Result<(), NodeError> {
        let name = format!("probe/{}", std::process::id());
        self.put(&name, "gavel").await?;
        let found = self.get::<String>(&name, PER_TENSOR).await?;
        self.store.delete(&name).await?;
        match found.as_deref() {
            Some("gavel") => Ok(()),
            _ => Err(corrupt(&name, "another blob was written")),
        }
    }

    async fn put<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> Result<(), NodeError> {
        let bytes = serde_json::to_vec(value).map_err(|e| corrupt(name, e))?;
        self.store.put(name, bytes.into()).await
    }

    async fn get<T: DeserializeOwned>(
        &self,
        name: &str,
        most: u64,
    ) -> Result<Option<T>, NodeError> {
        let Some(bytes) = self.store.get(name, most).await? else {
            return Ok(None);
        };
        let read = serde_json::from_slice(&bytes);
        read.map(Some).map_err(|e| corrupt(name, e))
    }
}

/// Most bytes of a blob of tensors of these types: base64, and what goes with each.
fn bytes_of<'a>(types: impl Iterator<Item = &'a TensorType>) -> u64 {
    let each = types.map(|ty| {
        let bytes = ty.byte_len().map_or(u64::MAX / 4, |n| n as u64);
        (bytes / 3 + 1).saturating_mul(4).saturating_add(PER_TENSOR)
    });
    each.fold(PER_TENSOR, u64::saturating_add)
}

/// Most bytes of a shown segment of a model: no segment has more than all nodes, and all that is live before one.
fn segment_bytes(model: &Model) -> u64 {
    let before = (0..model.segments().len() as u32).filter_map(|c| model.live_before(c));
    let lives = before.map(|live| bytes_of(live.iter().filter_map(|s| model.type_of(*s))));
    let nodes = bytes_of(model.graph().nodes.iter().map(|node| &node.output));
    let slots = model
        .segments()
        .iter()
        .map(|s| s.live.len())
        .max()
        .unwrap_or(0) as u64;
    let live = lives.max().unwrap_or(0);
    nodes
        .saturating_add(live)
        .saturating_add(slots * PER_TENSOR)
}

/// What is wrong with a list of tensors that is none.
const NO_TENSORS: &str = "its tensors are not those of the model";

fn receipt_name(task: u64, attempt: u8) -> String {
    format!("receipts/{task}-{attempt}.json")
}

fn segment_name(trace_root: &Digest, leaf_index: u64) -> String {
    format!("segments/{trace_root}-{leaf_index}.json")
}

fn corrupt(name: &str, reason: impl std::fmt::Display) -> NodeError {
    NodeError::Blob {
        name: name.to_owned(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_model::{CommitPolicy, Graph, Node, Source};
    use gavel_numerics::Op;

    /// A model that returns inputs of these types.
    fn returning(values: &[Tensor]) -> Model {
        let nodes = (0..).zip(values).map(|(i, value)| Node {
            name: String::new(),
            op: Op::Identity,
            inputs: vec![Source::Input(i)],
            output: value.ty().clone(),
        });
        let named = (0..).zip(values);
        let graph = Graph {
            inputs: (named
                .clone()
                .map(|(i, v)| (format!("x{i}"), v.ty().clone())))
            .collect(),
            nodes: nodes.collect(),
            outputs: (named.map(|(i, _)| (format!("y{i}"), Source::node(i)))).collect(),
        };
        Model::build(
            graph,
            Vec::new(),
            Default::default(),
            &CommitPolicy::default(),
        )
        .unwrap()
    }

    #[tokio::test]
    async fn what_is_stored_is_found_by_its_digest_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("blobs");
        let inputs = vec![
            Tensor::f32([2], vec![1.0, -0.0]).unwrap(),
            Tensor::i64([1], vec![-3]).unwrap(),
        ];
        let model = returning(&inputs);
        for blobs in [
            Blobs::memory(),
            Blobs::open(place.to_str().unwrap()).unwrap(),
        ] {
            let (one, other) = (input_digest(&model, &inputs).unwrap(), Digest([2; 32]));
            blobs.put_inputs(&one, &inputs).await.unwrap();
            assert_eq!(blobs.inputs(&one, &model).await.unwrap().unwrap(), inputs);
            assert_eq!(blobs.inputs(&other, &model).await.unwrap(), None);
            assert_eq!(blobs.outputs(&one, &model).await.unwrap(), None);
            let outputs: Vec<_> = inputs.iter().cloned().map(Arc::new).collect();
            let digests: Vec<_> = inputs.iter().map(gavel_engine::digest).collect();
            let result = live_root(model.header().live_height, &digests).unwrap();
            for whole in 0..=3 {
                blobs.put_outputs(&result, &outputs, whole).await.unwrap();
                let found = blobs.outputs(&result, &model).await.unwrap().unwrap();
                assert_eq!(found.tensors, inputs[..whole.min(2)]);
                assert_eq!(found.digests(), digests);
            }
        }
    }

    #[tokio::test]
    async fn zeros_at_the_end_take_no_room_and_cannot_be_made_to() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::directory(folder.path()).unwrap();
        let mut values = vec![0.0; 1 << 20];
        values[5] = 1.5;
        let cache = vec![Tensor::f32([1 << 10, 1 << 10], values).unwrap()];
        let model = returning(&cache);
        let digest = input_digest(&model, &cache).unwrap();
        blobs.put_inputs(&digest, &cache).await.unwrap();
        let file = folder.path().join(format!("inputs/{digest}.json"));
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.len() < 200, "{}", text.len());
        let found = blobs.inputs(&digest, &model).await.unwrap().unwrap();
        assert_eq!(found, cache);
        // 64 GiB of zeros in a hundred bytes
        std::fs::write(&file, text.replace("[1024,1024]", "[1024,16777216]")).unwrap();
        assert!(blobs.inputs(&digest, &model).await.is_err());
        let many = format!("[{}]", vec![&text[1..text.len() - 1]; 2000].join(","));
        std::fs::write(&file, many).unwrap();
        assert!(blobs.inputs(&digest, &model).await.is_err());
    }

    #[tokio::test]
    async fn a_corrupt_blob_is_an_error_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::directory(folder.path()).unwrap();
        let input = Tensor::f32([2], vec![1.0, 2.0]).unwrap();
        let input = [input];
        let model = returning(&input);
        let digest = input_digest(&model, &input).unwrap();
        blobs.put_inputs(&digest, &input).await.unwrap();
        let file = folder.path().join(format!("inputs/{digest}.json"));
        let text = std::fs::read_to_string(&file).unwrap();
        let unlike = [Tensor::f32([2], vec![1.0, 2.5]).unwrap()];
        let third = Digest([3; 32]);
        blobs.put_inputs(&third, &unlike).await.unwrap();
        let other = folder
            .path()
            .join(format!("inputs/{}.json", Digest([3; 32])));
        for broken in [
            text.replace("[2]", "[3]"),
            text[..text.len() / 2].to_owned(),
            // tensors of the right type that are not those
            std::fs::read_to_string(other).unwrap(),
            // more bytes than anything that could be right
            format!("{text}{}", " ".repeat(4096)),
            "[]".to_owned(),
        ] {
            std::fs::write(&file, &broken).unwrap();
            let error = blobs.inputs(&digest, &model).await.unwrap_err().to_string();
            assert!(error.contains(&format!("inputs/{digest}")), "{error}");
            // as outputs they are no better
            let outputs = folder.path().join(format!("outputs/{digest}.json"));
            std::fs::create_dir_all(outputs.parent().unwrap()).unwrap();
            std::fs::write(&outputs, &broken).unwrap();
            assert!(blobs.outputs(&digest, &model).await.is_err(), "{broken}");
        }
    }

    #[test]
    fn the_oldest_inputs_leave_and_one_that_is_too_large_pushes_nobody_out() {
        let input = |values: usize| vec![Tensor::f32([values as u64], vec![1.0; values]).unwrap()];
        let mut kept = Kept::default();
        for (name, values) in [(1, 10), (2, 10), (2, 10), (3, 11), (4, 5), (5, 26)] {
            kept.add(&Digest([name; 32]), &input(values), 100);
        }
        let names: Vec<u8> = kept.inputs.iter().map(|(name, _)| name.0[0]).collect();
        assert_eq!((names, kept.bytes), (vec![3, 4], 64));
    }

    #[test]
    fn an_unknown_place_is_refused() {
        assert!(Blobs::open("gopher://somewhere/else").is_err());
    }
}
