//! From what the user calls a model to the model: an ONNX file, a GGUF file, a folder of the hub, a shipped name.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use gavel_engine::EngineOptions;
use gavel_model::family::Family;
use gavel_model::gguf::Gguf;
use gavel_model::llama::{self, LanguageModel};
use gavel_model::npy::{npz_types, read_npz_one};
use gavel_model::onnx::{self, import_shared};
use gavel_model::{Hashing, Model, ModelError, Progress, files_beside, shipped};
use gavel_numerics::TensorType;
use gavel_numerics::kernels::Parallel;
use gavel_trace::Digest;

use super::family::{self, one_of, with_domain};
use super::inputs::MAX_INPUT_BYTES;
use super::{check_asked, located, lower_first, map, read, regular};
use crate::failure::{Context as _, Failure};
use crate::meter::Meter;

/// A protobuf message has at most this many bytes.
const MAX_ONNX_BYTES: u64 = (1 << 31) - 1;
/// Most bytes of an input that shapes depend on.
const MAX_BOUND_BYTES: usize = 1 << 20;
const GGUF_MAGIC: &[u8] = b"GGUF";
const FOLDER: &str =
    "a folder with config.json, tokenizer.json and model.safetensors (or its index and parts)";

/// What was found behind a name.
pub(crate) enum Loaded {
    /// A network that runs once.
    Network(Box<Model>),
    /// A language model.
    Language(Box<LanguageModel>),
    /// Networks that differ in the extents of their inputs.
    Family(Box<Family>),
}

/// What parties serve.
pub(crate) enum Servable {
    /// A model.
    Model(Box<Model>),
    /// A family.
    Family(Arc<Family>),
}

/// What stands where a model is expected.
fn model_words() -> String {
    format!(
        "an ONNX file, a GGUF file, a folder with config.json and model.safetensors, or the name of a shipped model ({})",
        shipped::names().collect::<Vec<_>>().join(", ")
    )
}

/// What is behind a name or a path; a language model with this context, or the default one.
///
/// `NAME@TOKENS` is a language model with that context, wherever a model is named; `NAME@DIMENSION=LOW..HIGH` a family; `0x…` what has
/// that identity.
pub(crate) fn load(name: &str, context: Option<u32>) -> Result<Loaded, Failure> {
    let loaded = load_files(&located(name)?.name, context)?;
    let id = match &loaded {
        Loaded::Network(model) => model.model_id(),
        Loaded::Language(model) => model.model.model_id(),
        Loaded::Family(family) => family.id(),
    };
    check_asked(name, &id)?;
    Ok(loaded)
}

fn load_files(name: &str, context: Option<u32>) -> Result<Loaded, Failure> {
    if let Some((file, domain)) = with_domain(name) {
        if context.is_some() {
            return Err(no_language_model(name));
        }
        let family = family::family(name, file, domain)?;
        return Ok(Loaded::Family(Box::new(family)));
    }
    let (name, own) = with_context(name);
    let context = match (context, own) {
        (Some(asked), Some(own)) if asked != own => {
            return Err(Failure::usage(format!(
                "a context of {asked} tokens beside {name}@{own}"
            )));
        }
        (asked, own) => asked.or(own),
    };
    let path = Path::new(with_dimensions(name).0);
    let gguf = match shipped::language_file(name) {
        Some(file) => Some(file),
        None if shipped::file(name).is_some() => None,
        None if path.is_dir() => return hub(path, context),
        None => mapped_gguf(path)?,
    };
    match gguf {
        Some(bytes) => {
            let model = identified(name, |hashing| {
                llama::from_gguf(&Gguf::parse(bytes)?, &options(context), hashing)
            })?;
            Ok(Loaded::Language(Box::new(model)))
        }
        None if context.is_some() => Err(no_language_model(name)),
        None => Ok(Loaded::Network(Box::new(onnx_model(name)?))),
    }
}

/// A name, and the context behind its `@`; a file may have an `@` in its name.
fn with_context(name: &str) -> (&str, Option<u32>) {
    let parts = name.rsplit_once('@').filter(|_| !Path::new(name).exists());
    match parts.and_then(|(name, context)| Some((name, context.parse().ok()?))) {
        Some((name, context)) => (name, Some(context)),
        None => (name, None),
    }
}

/// The model behind a name, or of a family the binding that is `model_id`.
pub(crate) fn model_as(name: &str, model_id: &Digest) -> Result<Model, Failure> {
    Ok(match load(name, None)? {
        Loaded::Network(model) => *model,
        Loaded::Language(model) => model.model,
        Loaded::Family(family) => {
            let index = family.index_of(model_id).ok_or_else(|| {
                Failure::new(format!("{model_id} is none of the bindings of {name}"))
            })?;
            family::bound(&family, name, index)?
        }
    })
}

/// The network behind a name: what runs once, on a picture or tensors.
pub(crate) fn network(name: &str, instead: &str) -> Result<Model, Failure> {
    match load(name, None)? {
        Loaded::Network(model) => Ok(*model),
        Loaded::Language(_) => {
            Err(Failure::new(format!("{name} is a language model")).hint(instead))
        }
        Loaded::Family(family) => Err(one_of(name, &family)),
    }
}

/// The language model behind a name.
pub(crate) fn language(name: &str, context: Option<u32>) -> Result<LanguageModel, Failure> {
    match load(name, context)? {
        Loaded::Language(model) => Ok(*model),
        Loaded::Network(_) | Loaded::Family(_) => Err(no_language_model(name)),
    }
}

fn no_language_model(name: &str) -> Failure {
    let shipped: Vec<_> = shipped::LANGUAGE_MODELS.iter().map(|(n, _)| *n).collect();
    Failure::new(format!("{name} is no language model")).expected(format!(
        "a GGUF file, a folder with config.json and model.safetensors, or the shipped {}",
        shipped.join(", ")
    ))
}

/// The model behind a name, if this program's parties could run and retrace it.
pub(crate) fn servable_model(name: &str) -> Result<Model, Failure> {
    match servable(name)? {
        Servable::Model(model) => Ok(*model),
        Servable::Family(family) => Err(one_of(name, &family)),
    }
}

/// The model or family behind a name, if this program's parties could run and retrace it; of a family the largest binding.
pub(crate) fn servable(name: &str) -> Result<Servable, Failure> {
    let check = |model: &Model| {
        EngineOptions::default().check(model).map_err(|e| {
            Failure::new(format!("{name}: {e}"))
                .expected("a model that every party can run and retrace")
        })
    };
    let model = match load(name, None)? {
        Loaded::Network(model) => model,
        Loaded::Language(model) => Box::new(model.model),
        Loaded::Family(family) => {
            let last = family.model_ids().len().saturating_sub(1);
            check(&family::bound(&family, name, last as u32)?)?;
            return Ok(Servable::Family(family.into()));
        }
    };
    check(&model)?;
    Ok(Servable::Model(model))
}

fn options(context: Option<u32>) -> llama::ImportOptions {
    let mut options = llama::ImportOptions::default();
    options.context = context;
    options
}

/// The content of a GGUF file; `None` of another file.
pub(super) fn mapped_gguf(path: &Path) -> Result<Option<bytes::Bytes>, Failure> {
    let place = path.display();
    regular(path, &model_words())?;
    if path.extension().is_some_and(|e| e == "safetensors") {
        return Err(Failure::new(format!("{place} holds weights alone"))
            .expected("the folder that it lies in, with config.json and the tokenizer"));
    }
    let mut magic = Vec::new();
    let file = std::fs::File::open(path).at(place.to_string())?;
    file.take(GGUF_MAGIC.len() as u64)
        .read_to_end(&mut magic)
        .at(place.to_string())?;
    match magic == GGUF_MAGIC {
        true => gavel_model::map(path).map(Some).at(place),
        false => Ok(None),
    }
}

/// The model of a folder.
fn hub(path: &Path, context: Option<u32>) -> Result<Loaded, Failure> {
    let place = path.display().to_string();
    if !path.join("config.json").exists() {
        return Err(
            Failure::new(format!("{place} is a directory without config.json"))
                .expected(model_words()),
        );
    }
    let files = gavel_model::hf_folder(path).map_err(|e| {
        let what = match &e {
            ModelError::Io { path, source } => {
                format!("{}: {}", path.display(), lower_first(source))
            }
            other => format!("{place}: {other}"),
        };
        Failure::new(what).expected(FOLDER)
    })?;
    let model = identified(&place, |hashing| {
        llama::from_hf(&files, &options(context), hashing)
    })?;
    Ok(Loaded::Language(Box::new(model)))
}

/// Reads a language model, telling how far its identity is, which costs a look at every byte.
fn identified(
    name: &str,
    read: impl FnOnce(&mut Hashing<'_>) -> Result<LanguageModel, ModelError>,
) -> Result<LanguageModel, Failure> {
    let mut meter = Meter::new(format!("identity of {name}"));
    read(&mut Hashing {
        parallel: &Cpus::all(),
        progress: &mut |Progress { done, total }| meter.show(done, total),
    })
    .map_err(|e| {
        let failure = Failure::new(format!("{name}: {e}"));
        match &e {
            ModelError::Tensor { reason, .. } if reason.contains("beyond the file's end") => {
                failure.hint("the file is cut short; fetch it again")
            }
            ModelError::Tensor { reason, .. } if reason.contains("is not supported") => {
                failure.hint("take the same model in these formats")
            }
            ModelError::Config { field, .. } if field == "context" => {
                failure.hint("a shorter --context, which is part of the model_id")
            }
            _ => failure,
        }
    })
}

/// The ONNX model behind a name.
fn onnx_model(name: &str) -> Result<Model, Failure> {
    let (file, options) = onnx_file(name)?;
    import_shared(file, &options).map_err(refused(name))
}

/// A name, and the dimensions that stand behind its `@`: `bert.onnx@batch=1,sequence=128`.
fn with_dimensions(name: &str) -> (&str, BTreeMap<String, u64>) {
    let parts = name.rsplit_once('@').filter(|_| !Path::new(name).exists());
    let dimensions = parts.and_then(|(name, dimensions)| {
        let each = dimensions.split(',').map(|one| {
            let (name, extent) = one.split_once('=')?;
            Some((name.to_owned(), extent.parse().ok()?))
        });
        Some((name, each.collect::<Option<_>>()?))
    });
    dimensions.unwrap_or((name, BTreeMap::new()))
}

fn onnx_file(name: &str) -> Result<(Bytes, onnx::ImportOptions), Failure> {
    let (path, dimensions) = with_dimensions(name);
    let (file, files) = onnx_files(name, path)?;
    let mut options = onnx::ImportOptions::default();
    options.dimensions = dimensions;
    options.files = files;
    Ok((file, options))
}

/// The bytes of an ONNX file, or of a shipped model, and the files beside it that its tensors lie in.
pub(super) fn onnx_files(
    name: &str,
    path: &str,
) -> Result<(Bytes, BTreeMap<String, Bytes>), Failure> {
    if let Some(file) = shipped::file(path) {
        return Ok((Bytes::from_static(file), BTreeMap::new()));
    }
    let path = Path::new(path);
    let file = map(path, MAX_ONNX_BYTES, &model_words())?;
    let files = files_beside(path, &file).map_err(refused(name))?;
    Ok((file, files))
}

/// A network, and the inputs whose values its shapes depend on: those are taken from the arrays at `input`, as the extents that the
/// file leaves open, and make it a model of its own.
pub(crate) fn network_for(
    name: &str,
    instead: &str,
    input: &Path,
) -> Result<(Model, Vec<(String, TensorType)>), Failure> {
    let (asked, located) = (name, located(name)?);
    let name = &*located.name;
    let mut bound = Vec::new();
    if let Some((file, domain)) = with_domain(name) {
        let family = family::family(name, file, domain)?;
        check_asked(asked, &family.id())?;
        let index = family::binding(&family, name, input)?;
        return Ok((family::bound(&family, name, index)?, bound));
    }
    let path = Path::new(with_dimensions(name).0);
    let by_name = input.extension().is_some_and(|e| e == "npz");
    if !by_name || !path.is_file() || mapped_gguf(path)?.is_some() {
        return Ok((network(asked, instead)?, bound));
    }
    let (file, mut options) = onnx_file(name)?;
    let arrays = read(input, MAX_INPUT_BYTES, "an .npz file")?;
    let types = npz_types(&arrays).at(input.display())?;
    options.shapes = types
        .into_iter()
        .map(|(name, ty)| (name, ty.dims))
        .collect();
    loop {
        let (input_name, ty) = match import_shared(file.clone(), &options) {
            Ok(model) => {
                check_asked(asked, &model.model_id())?;
                return Ok((model, bound));
            }
            Err(ModelError::Unbound { input, ty, .. })
                if !options.values.contains_key(&input)
                    && ty.byte_len().is_ok_and(|n| n <= MAX_BOUND_BYTES) =>
            {
                (input, ty)
            }
            Err(error) => return Err(refused(name)(error)),
        };
        let value = read_npz_one(&arrays, &input_name, &ty).at(input.display())?;
        let value = value.ok_or_else(|| {
            Failure::new(format!(
                "{}: there is no array {input_name:?}",
                input.display()
            ))
            .expected(format!("{ty}, on which a shape of {name} depends"))
        })?;
        options.values.insert(input_name.clone(), value);
        bound.push((input_name, ty));
    }
}

pub(super) fn refused(name: &str) -> impl Fn(ModelError) -> Failure {
    move |e| {
        let failure = Failure::new(match &e {
            ModelError::Io { path, source } => {
                format!("{name}: {}: {}", path.display(), lower_first(source))
            }
            other => format!("{name}: {other}"),
        });
        match e {
            ModelError::Io { .. } => {
                failure.expected("the files that its tensors lie in, in the folder of the model")
            }
            ModelError::Protobuf(_) => failure.expected(model_words()),
            ModelError::Unsupported { .. } => failure.hint(
                "export the model with operators of that list, for inference and not for training",
            ),
            _ => failure,
        }
    }
}

/// As many threads as there are CPUs; with fewer, if the system has no more, it only takes longer.
pub(super) struct Cpus(usize);

impl Cpus {
    pub(super) fn all() -> Cpus {
        Cpus(std::thread::available_parallelism().map_or(1, usize::from))
    }
}

impl Parallel for Cpus {
    fn workers(&self) -> usize {
        self.0
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= parts {
                    return;
                }
                part(i);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.0.min(parts) {
                let _ = std::thread::Builder::new().spawn_scoped(scope, work);
            }
            work();
        });
    }
}
