//! A file that has been read, to be bound to extents once or many times.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;

use super::kept::{Keeping, Kept};
use super::proto::{GraphProto, ModelProto};
use super::{ImportOptions, Importer, assets, budget};
use crate::{Hashing, Model, ModelError, diffusion};

/// An ONNX file.
pub struct OnnxFile {
    file: Bytes,
    proto: ModelProto,
    /// Files beside it, as [`ImportOptions::files`]: of families.
    files: BTreeMap<String, Bytes>,
    /// Constants of the first binding.
    kept: Arc<Kept>,
}

impl OnnxFile {
    /// Reads a file.
    ///
    /// # Errors
    /// What is malformed.
    pub fn parse(file: Bytes) -> Result<OnnxFile, ModelError> {
        budget::check(&file)?;
        let proto = ModelProto::decode(file.clone())?;
        Ok(OnnxFile {
            file,
            proto,
            files: BTreeMap::new(),
            kept: Arc::default(),
        })
    }

    /// With the files beside it that a family's tensors lie in.
    pub fn with_files(mut self, files: BTreeMap<String, Bytes>) -> OnnxFile {
        self.files = files;
        self
    }

    pub(crate) fn files(&self) -> &BTreeMap<String, Bytes> {
        &self.files
    }

    /// The model with these extents.
    ///
    /// # Errors
    /// As [`super::import`].
    pub fn bind(&self, options: &ImportOptions) -> Result<Model, ModelError> {
        let graph = self.graph()?;
        let keeping = Keeping::of(&self.kept);
        let mut importer = self.importer(options, keeping)?;
        let (graph, weights) = importer.run(graph)?;
        let assets = assets(&self.proto);
        if assets.contains_key(diffusion::ASSET) {
            return diffusion::model(graph, weights, assets, &options.commit);
        }
        let digests = self.kept.digests(&weights)?;
        Model::of_digests(graph, weights, digests, assets, &options.commit)
    }

    /// [`bind`](Self::bind) that keeps what further bindings need not make again: weights, constants that follow from
    /// them, and their digests.
    ///
    /// # Errors
    /// As [`super::import`]; a file that draws pictures, whose tasks are words and not arrays.
    pub(crate) fn bind_first(
        &mut self,
        options: &ImportOptions,
        hashing: &mut Hashing<'_>,
    ) -> Result<Model, ModelError> {
        let assets = assets(&self.proto);
        if assets.contains_key(diffusion::ASSET) {
            return Err(ModelError::File(
                "a model that draws is asked in words, which say no extents; bind its dimensions"
                    .into(),
            ));
        }
        let graph = self.graph()?;
        let mut importer = self.importer(options, Keeping::first())?;
        let (graph, weights) = importer.run(graph)?;
        let mut kept = importer.keeping.into_kept();
        let digests = hashing.digests(weights.iter().map(|w| &w.value))?;
        kept.remember(weights.iter().zip(digests.iter().copied()));
        self.kept = Arc::new(kept);
        Model::of_digests(graph, weights, digests, assets, &options.commit)
    }

    /// Names of the inputs that are not initializers, and the names of their axes' dimensions.
    pub(crate) fn inputs(&self) -> Vec<(String, Vec<Option<String>>)> {
        let Ok(graph) = self.graph() else {
            return Vec::new();
        };
        let inputs = graph.input.iter().filter(|input| {
            let mut initializers = graph.initializer.iter();
            initializers.all(|tensor| tensor.name != input.name)
        });
        let axes = inputs.map(|input| {
            let ty = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
            let shape = ty.and_then(|t| t.shape.as_ref());
            let dims = shape.map_or(&[][..], |shape| &shape.dim);
            let names = dims.iter().map(|dim| dim.dim_param.clone());
            (input.name.clone(), names.collect())
        });
        axes.collect()
    }

    fn graph(&self) -> Result<&GraphProto, ModelError> {
        let graph = self.proto.graph.as_ref();
        graph.ok_or_else(|| ModelError::File("the file holds no graph".into()))
    }

    fn importer<'p>(
        &'p self,
        options: &'p ImportOptions,
        keeping: Keeping,
    ) -> Result<Importer<'p>, ModelError> {
        Importer::new(
            &self.proto,
            self.graph()?,
            self.file.clone(),
            options,
            keeping,
        )
    }
}
