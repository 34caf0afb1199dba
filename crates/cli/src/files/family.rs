//! From `FILE@NAME=LOW..HIGH` to a family, and from arrays to one of its bindings.

use std::collections::BTreeMap;
use std::path::Path;

use gavel_model::family::{Domain, Family};
use gavel_model::npy::{NPY_MAGIC, NPZ_MAGIC, npz_types, read_npy};
use gavel_model::onnx::OnnxFile;
use gavel_model::{Hashing, Model, Progress};

use super::inputs::MAX_INPUT_BYTES;
use super::model::{Cpus, onnx_files, refused};
use super::read;
use crate::failure::{Context as _, Failure};
use crate::meter::Meter;

/// A name, and the domain behind its `@`: dimensions of which at least one has a range.
pub(super) fn with_domain(name: &str) -> Option<(&str, &str)> {
    let parts = name.rsplit_once('@').filter(|_| !Path::new(name).exists());
    parts.filter(|(_, domain)| domain.contains('=') && domain.contains(".."))
}

/// The family of a file with this domain.
pub(super) fn family(name: &str, file: &str, domain: &str) -> Result<Family, Failure> {
    let domain = Domain::parse(domain).map_err(|e| {
        Failure::new(format!("{name}: {e}"))
            .expected("dimensions of the file with their extents: MODEL@batch=1..8,seq=16..512/16")
    })?;
    let (bytes, files) = onnx_files(name, file)?;
    let file = OnnxFile::parse(bytes).map_err(refused(name))?;
    let file = file.with_files(files);
    let mut weights = Meter::new(format!("weights of {name}"));
    let mut bindings = Meter::new(format!("bindings of {name}"));
    let mut hashing = Hashing {
        parallel: &Cpus::all(),
        progress: &mut |Progress { done, total }| weights.show(done, total),
    };
    let mut bound = |done: u32, of: u32| bindings.show(done.into(), of.into());
    Family::build(file, domain, &mut hashing, &mut bound).map_err(refused(name))
}

/// The binding of a family that the arrays in a file ask for.
pub(crate) fn binding(family: &Family, name: &str, input: &Path) -> Result<u32, Failure> {
    let place = input.display();
    let inputs: Vec<&str> = family.inputs().collect();
    let expected = format!(
        "an .npy or .npz file with {}, whose extents say which of the {} bindings of {} it is",
        inputs.join(", "),
        family.model_ids().len(),
        family.domain()
    );
    let file = read(input, MAX_INPUT_BYTES, &expected)?;
    let mut shapes = BTreeMap::new();
    if file.starts_with(NPZ_MAGIC) {
        let types = npz_types(&file).at(place.to_string())?;
        shapes.extend(types.into_iter().map(|(name, ty)| (name, ty.dims)));
    } else if file.starts_with(NPY_MAGIC) {
        let array = read_npy(&file).at(place.to_string())?;
        let first = inputs.first().map(|name| (*name).to_owned());
        shapes.extend(first.map(|name| (name, array.dims().to_vec())));
    } else {
        return Err(Failure::new(format!("{place} says no extents")).expected(expected));
    }
    family.binding_of(&shapes).map_err(|e| {
        Failure::new(format!("{place}: {e}")).hint(format!("gavel model inspect {name}"))
    })
}

/// A binding as a model.
pub(super) fn bound(family: &Family, name: &str, index: u32) -> Result<Model, Failure> {
    family.binding(index).map_err(refused(name))
}

/// What stands where one model is expected.
pub(super) fn one_of(name: &str, family: &Family) -> Failure {
    let (file, _) = with_domain(name).unwrap_or((name, ""));
    let largest = family.told(u32::MAX);
    Failure::new(format!(
        "{name} is a family of {} models",
        family.model_ids().len()
    ))
    .expected(format!(
        "one model, with all extents bound: {file}@{largest}"
    ))
}
