//! Blobs: what is too large for the chain, named by what it commits to.
//!
//! Nothing read from here is trusted: inputs and outputs are checked against the digest they are named by,
//! shown segments against what their dispute has bound ([`ShownSegment::check`]).

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use gavel_model::Model;
use gavel_numerics::Tensor;
use gavel_trace::Digest;
use gavel_verifier::{Outputs, ShownTensor, SignedReceipt, StoredOutput};
use object_store::memory::InMemory;
use object_store::path::Path as Name;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::{NodeError, ShownSegment};

/// A content-addressed store: a directory or memory; of `object_store`'s other stores this build has none. Clones share it.
#[derive(Clone, Debug)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
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
        Blobs::over(Arc::new(InMemory::new()))
    }

    fn over(store: Arc<dyn ObjectStore>) -> Blobs {
        Blobs {
            store,
            kept: Arc::default(),
        }
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

    /// In a directory, created if absent.
    ///
    /// # Errors
    /// The file system said no.
    pub fn directory(path: &Path) -> Result<Blobs, NodeError> {
        let failed = |source: std::io::Error| {
            NodeError::Store(object_store::Error::Generic {
                store: "directory",
                source: format!("{}: {source}", path.display()).into(),
            })
        };
        std::fs::create_dir_all(path).map_err(failed)?;
        let store = object_store::local::LocalFileSystem::new_with_prefix(path)?;
        Ok(Blobs::over(Arc::new(store)))
    }

    /// A directory, or a URL of a store that this build knows.
    ///
    /// # Errors
    /// An unknown scheme, or a directory that cannot be made.
    pub fn open(place: &str) -> Result<Blobs, NodeError> {
        match Url::parse(place) {
            Ok(url) if url.scheme() != "file" => {
                let (store, prefix) = object_store::parse_url(&url)?;
                Ok(Blobs::over(Arc::new(PrefixStore::new(store, prefix))))
            }
            Ok(url) => match url.to_file_path() {
                Ok(path) => Blobs::directory(&path),
                Err(()) => Blobs::directory(Path::new(url.path())),
            },
            Err(_) => Blobs::directory(Path::new(place)),
        }
    }

    /// Stores a task's inputs under their digest.
    ///
    /// # Errors
    /// The store said no.
    pub async fn put_inputs(&self, digest: &Digest, inputs: &[Tensor]) -> Result<(), NodeError> {
        let shown: Vec<_> = inputs.iter().map(ShownTensor::trimmed).collect();
        self.put(&format!("inputs/{digest}.json"), &shown).await
    }

    /// A task's inputs. The caller checks them against the digest.
    ///
    /// # Errors
    /// The store said no, or the blob is no list of tensors that the model takes.
    pub async fn inputs(
        &self,
        digest: &Digest,
        model: &Model,
    ) -> Result<Option<Vec<Tensor>>, NodeError> {
        let name = format!("inputs/{digest}.json");
        let Some(shown) = self.get::<Vec<ShownTensor>>(&name).await? else {
            return Ok(None);
        };
        let types = model.graph().inputs.iter().map(|(_, ty)| ty);
        match ShownTensor::tensors(&shown, types) {
            Some(tensors) => Ok(Some(tensors)),
            None => Err(corrupt(&name, NO_TENSORS)),
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

    /// A result's outputs. The caller checks their digests.
    ///
    /// # Errors
    /// The store said no, or the blob is no list of tensors that the model gives, and digests.
    pub async fn outputs(
        &self,
        digest: &Digest,
        model: &Model,
    ) -> Result<Option<Outputs>, NodeError> {
        let name = format!("outputs/{digest}.json");
        let Some(stored) = self.get::<Vec<StoredOutput>>(&name).await? else {
            return Ok(None);
        };
        match Outputs::read(stored, model) {
            Some(outputs) => Ok(Some(outputs)),
            None => Err(corrupt(&name, NO_TENSORS)),
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

    /// What a provider signed about its result of an attempt. The caller checks it.
    ///
    /// # Errors
    /// The store said no, or the blob is no receipt.
    pub async fn receipt(
        &self,
        task: u64,
        attempt: u8,
    ) -> Result<Option<SignedReceipt>, NodeError> {
        self.get(&receipt_name(task, attempt)).await
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

    /// What a provider showed of a disputed segment.
    ///
    /// # Errors
    /// The store said no, or the blob is no segment.
    pub async fn segment(
        &self,
        trace_root: &Digest,
        leaf_index: u64,
    ) -> Result<Option<ShownSegment>, NodeError> {
        self.get(&segment_name(trace_root, leaf_index)).await
    }

    /// Writes, reads and removes a blob of no meaning.
    ///
    /// # Errors
    /// The store says no to one of the three.
    pub async fn probe(&self) -> Result<(), NodeError> {
        let name = format!("probe/{}", std::process::id());
        self.put(&name, "gavel").await?;
        let found = self.get::<String>(&name).await?;
        self.store.delete(&Name::from(name.as_str())).await?;
        match found.as_deref() {
            Some("gavel") => Ok(()),
            _ => Err(corrupt(&name, "another blob was written")),
        }
    }

    async fn put<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> Result<(), NodeError> {
        let bytes = serde_json::to_vec(value).map_err(|e| corrupt(name, e))?;
        self.store.put(&Name::from(name), bytes.into()).await?;
        Ok(())
    }

    async fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, NodeError> {
        let bytes = match self.store.get(&Name::from(name)).await {
            Ok(found) => found.bytes().await?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(other) => return Err(other.into()),
        };
        serde_json::from_slice(&bytes).map_err(|e| corrupt(name, e))
    }
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
            let (one, other) = (Digest([1; 32]), Digest([2; 32]));
            blobs.put_inputs(&one, &inputs).await.unwrap();
            assert_eq!(blobs.inputs(&one, &model).await.unwrap().unwrap(), inputs);
            assert_eq!(blobs.inputs(&other, &model).await.unwrap(), None);
            assert_eq!(blobs.outputs(&one, &model).await.unwrap(), None);
            let outputs: Vec<_> = inputs.iter().cloned().map(Arc::new).collect();
            for whole in 0..=3 {
                blobs.put_outputs(&one, &outputs, whole).await.unwrap();
                let found = blobs.outputs(&one, &model).await.unwrap().unwrap();
                assert_eq!(found.tensors, inputs[..whole.min(2)]);
                let digests: Vec<_> = inputs.iter().map(gavel_engine::digest).collect();
                assert_eq!(found.digests(), digests);
            }
        }
    }

    #[tokio::test]
    async fn zeros_at_the_end_take_no_room_and_cannot_be_made_to() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::directory(folder.path()).unwrap();
        let digest = Digest([4; 32]);
        let mut values = vec![0.0; 1 << 20];
        values[5] = 1.5;
        let cache = vec![Tensor::f32([1 << 10, 1 << 10], values).unwrap()];
        blobs.put_inputs(&digest, &cache).await.unwrap();
        let model = returning(&cache);
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
        let digest = Digest([3; 32]);
        let input = Tensor::f32([2], vec![1.0, 2.0]).unwrap();
        let input = [input];
        let model = returning(&input);
        blobs.put_inputs(&digest, &input).await.unwrap();
        let file = folder.path().join(format!("inputs/{digest}.json"));
        let text = std::fs::read_to_string(&file).unwrap();
        for broken in [
            text.replace("[2]", "[3]"),
            text[..text.len() / 2].to_owned(),
        ] {
            std::fs::write(&file, broken).unwrap();
            let error = blobs.inputs(&digest, &model).await.unwrap_err().to_string();
            assert!(error.contains("inputs/0x0303"), "{error}");
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
