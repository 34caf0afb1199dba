//! Families: a model with open dimensions, as the enumerated set of its bindings (`spec/model.md`, "Families").

mod domain;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use gavel_trace::{Digest, FamilyHeader, MerkleTree, Opening, binding_leaf, bindings_tree, height};

use crate::onnx::{ImportOptions, OnnxFile};
use crate::{CommitPolicy, Cuts, Hashing, Model, ModelError};
use domain::domain_error;
pub use domain::{Dimension, Domain};

/// Most bindings of a family.
pub const MAX_BINDINGS: u32 = 4096;
/// Bindings that are built between two reports.
const REPORT_EVERY: usize = 16;

/// A family: the file, and the identities of all its bindings. A binding is an ordinary model, built when it is asked for.
pub struct Family {
    file: OnnxFile,
    domain: Domain,
    /// Where the largest binding is cut.
    cuts: Arc<Cuts>,
    /// Names of the inputs and of their axes.
    inputs: Vec<(String, Vec<Option<String>>)>,
    model_ids: Vec<Digest>,
    index_of: HashMap<Digest, u32>,
    tree: MerkleTree,
    header: FamilyHeader,
    id: Digest,
}

impl Family {
    /// Builds every binding once, for its identity. `hashing` is for the weights, which all share; `progress` is told how
    /// many bindings are done, of how many, on the calling thread.
    ///
    /// # Errors
    /// A binding that is refused, with its extents; two bindings that are the same model, so that a task could not
    /// say which of them it is.
    pub fn build(
        mut file: OnnxFile,
        domain: Domain,
        hashing: &mut Hashing<'_>,
        progress: &mut dyn FnMut(u32, u32),
    ) -> Result<Family, ModelError> {
        let count = domain.count();
        let last = count - 1;
        let options = options(&file, &domain, last, CommitPolicy::CostModel);
        let largest = file
            .bind_first(&options, hashing)
            .map_err(|e| refused(&domain, last, e))?;
        let cuts = Arc::new(Cuts::of(&largest));
        let inputs = file.inputs();
        let found = (0..count).map(|_| Ok(largest.model_id()));
        let found = Mutex::new(found.collect::<Vec<_>>());
        progress(1, count);
        let indices: Vec<u32> = (0..last).collect();
        for part in indices.chunks(REPORT_EVERY) {
            hashing.parallel.run(part.len(), &|i| {
                let id = bind(&file, &domain, part[i], &cuts).map(|model| model.model_id());
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                found[part[i] as usize] = id;
            });
            progress(part[part.len() - 1] + 2, count);
        }
        let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        let model_ids = found.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut index_of = HashMap::with_capacity(model_ids.len());
        for (index, id) in (0..).zip(&model_ids) {
            if let Some(other) = index_of.insert(*id, index) {
                let [other, index] = [other, index].map(|i| told(&domain, i));
                return Err(ModelError::File(format!(
                    "{other} and {index} are the same model; name only dimensions that the model depends on"
                )));
            }
        }
        let tree = bindings_tree(&model_ids)?;
        let header = FamilyHeader {
            count,
            bindings_root: tree.root(),
            domain: domain.encode(),
        };
        Ok(Family {
            id: header.family_id(),
            file,
            domain,
            cuts,
            inputs,
            model_ids,
            index_of,
            tree,
            header,
        })
    }

    /// The identity that users, receipts and providers name.
    pub fn id(&self) -> Digest {
        self.id
    }

    /// What the identity is the hash of.
    pub fn header(&self) -> &FamilyHeader {
        &self.header
    }

    /// Its open dimensions.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Identities of the bindings, in their order.
    pub fn model_ids(&self) -> &[Digest] {
        &self.model_ids
    }

    /// Names of the inputs.
    pub fn inputs(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().map(|(name, _)| name.as_str())
    }

    /// Number of the binding that is this model.
    pub fn index_of(&self, model_id: &Digest) -> Option<u32> {
        self.index_of.get(model_id).copied()
    }

    /// The opening of a binding under the family's root.
    pub fn open(&self, index: u32) -> Option<Opening> {
        self.tree.open(index.into()).ok()
    }

    /// Number of the binding that arrays of these shapes, by the names of the inputs, ask for.
    ///
    /// # Errors
    /// Extents that contradict each other, are outside of the domain, or are missing.
    pub fn binding_of(&self, shapes: &BTreeMap<String, Vec<u64>>) -> Result<u32, ModelError> {
        let mut extents = BTreeMap::new();
        for (input, axes) in &self.inputs {
            let Some(shape) = shapes.get(input).filter(|s| s.len() == axes.len()) else {
                continue;
            };
            for (name, &extent) in axes.iter().zip(shape) {
                let Some(name) = name else { continue };
                let before = extents.insert(name.clone(), extent);
                if let Some(before) = before.filter(|&before| before != extent) {
                    let reason = format!("it is {before} in one input and {extent} in {input}");
                    return Err(domain_error(name, reason));
                }
            }
        }
        self.domain.index_of(&extents)
    }

    /// Extents of a binding, for people: `batch=1,seq=128`.
    pub fn told(&self, index: u32) -> String {
        told(&self.domain, index)
    }

    /// A binding as a model.
    ///
    /// # Errors
    /// There is no such binding.
    pub fn binding(&self, index: u32) -> Result<Model, ModelError> {
        if index >= self.header.count {
            let count = self.header.count;
            return Err(ModelError::File(format!(
                "binding {index} of a family of {count}"
            )));
        }
        bind(&self.file, &self.domain, index, &self.cuts)
    }
}

/// Whether `model_id` is binding `index` of the family with this header.
pub fn is_binding(header: &FamilyHeader, index: u32, model_id: &Digest, opening: &Opening) -> bool {
    let leaf = binding_leaf(index, model_id);
    index < header.count
        && opening.index == u64::from(index)
        && opening.verify(height(header.count.into()), &leaf, &header.bindings_root)
}

fn options(file: &OnnxFile, domain: &Domain, index: u32, commit: CommitPolicy) -> ImportOptions {
    ImportOptions {
        files: file.files().clone(),
        dimensions: domain.extents(index),
        commit,
        ..ImportOptions::default()
    }
}

fn bind(
    file: &OnnxFile,
    domain: &Domain,
    index: u32,
    cuts: &Arc<Cuts>,
) -> Result<Model, ModelError> {
    let options = options(file, domain, index, CommitPolicy::Like(Arc::clone(cuts)));
    file.bind(&options).map_err(|e| refused(domain, index, e))
}

fn refused(domain: &Domain, index: u32, source: ModelError) -> ModelError {
    ModelError::Binding {
        extents: told(domain, index),
        source: Box::new(source),
    }
}

/// `batch=1,seq=128`.
fn told(domain: &Domain, index: u32) -> String {
    let extents = domain.extents(index).into_iter();
    let extents: Vec<String> = extents.map(|(name, n)| format!("{name}={n}")).collect();
    extents.join(",")
}
