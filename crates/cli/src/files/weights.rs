//! Models by their identity: `0x…` where a name or a file could stand, from the cache or the store that the command line names.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bytes::Bytes;
use gavel_model::shipped;
use gavel_node::weights::{
    CachedModel, Weights, WeightsCache, WeightsError, WeightsFormat, WeightsProgress,
};
use gavel_trace::Digest;

use super::model::{mapped_gguf, onnx_files};
use crate::failure::{Context as _, Exit, Failure};
use crate::meter::Meter;
use crate::network::block_on;

/// Where models are fetched from, and kept.
#[derive(Debug, Default)]
struct Places {
    from: Option<String>,
    cache: Option<PathBuf>,
}

static PLACES: OnceLock<Places> = OnceLock::new();

/// Sets what the command line says of where models are, for the whole process.
pub(crate) fn models_are(from: Option<String>, cache: Option<PathBuf>) {
    let cache = cache.or_else(standard);
    // a process parses one command line
    let _ = PLACES.set(Places { from, cache });
}

/// `$XDG_CACHE_HOME/gavel/models`, or where that is without the variable.
fn standard() -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let folder = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let folder = folder.filter(|folder| folder.is_absolute()).or_else(home)?;
    Some(folder.join("gavel/models"))
}

/// The cache that the command line names.
pub(crate) fn cache() -> Result<WeightsCache, Failure> {
    let root = PLACES.get().and_then(|places| places.cache.clone());
    root.map(WeightsCache::new).ok_or_else(|| {
        Failure::usage("there is no place to keep models in")
            .expected("--models-dir DIR, or the variable HOME")
    })
}

/// The store that the command line names.
pub(crate) fn store() -> Result<&'static str, Failure> {
    let from = PLACES.get().and_then(|places| places.from.as_deref());
    from.ok_or_else(|| {
        Failure::usage("it is not said where models are fetched from").expected(
            "--models-from PLACE, the variable GAVEL_MODELS_FROM, or models_from in the configuration",
        )
    })
}

/// The identity that stands where a name could.
pub(crate) fn asked(name: &str) -> Option<Digest> {
    let digits = name.strip_prefix("0x").filter(|rest| rest.len() == 64)?;
    digits.parse().ok().filter(|_| !Path::new(name).exists())
}

/// Whether what was loaded is what was asked for by identity.
pub(crate) fn check_asked(name: &str, found: &Digest) -> Result<(), Failure> {
    match asked(name).filter(|asked| asked != found) {
        None => Ok(()),
        Some(asked) => Err(Failure::new(format!(
            "the files that are kept as {asked} are those of {found}"
        ))
        .ends(Exit::False)
        .hint(format!(
            "remove {} and have it fetched again",
            cache()?.folder(&asked).display()
        ))),
    }
}

/// A name that says where the model's files are, and the folder of those that were fetched.
pub(crate) struct Located<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) folder: Option<PathBuf>,
}

/// Where the model of a name is: one that is named by its identity is fetched if it is not here.
pub(crate) fn located(name: &str) -> Result<Located<'_>, Failure> {
    let Some(id) = asked(name) else {
        if let Some((id, binding)) = name.rsplit_once('@')
            && asked(id).is_some()
        {
            return Err(Failure::usage(format!("@{binding} behind {id}"))
                .expected("an identity alone: context and extents are part of it"));
        }
        return Ok(Located {
            name: name.into(),
            folder: None,
        });
    };
    let cache = cache()?;
    let model = match cache.find(&id) {
        Some(model) => model,
        None => {
            let from = store().map_err(|failure| {
                failure.because_of(format!("{id} is not in {}", cache.root().display()))
            })?;
            let mut meter = Meter::new(format!("fetching {id:#}…"));
            let mut show = |p: WeightsProgress<'_>| meter.show(p.done, p.total);
            fetch(&id, from, &cache, &mut show)?.0
        }
    };
    Ok(Located {
        name: model.name().into(),
        folder: Some(model.folder),
    })
}

/// Fetches a model into a cache where it is not, has it identified, and gives it its name. Gives the bytes that came.
pub(crate) fn fetch(
    id: &Digest,
    from: &str,
    cache: &WeightsCache,
    progress: &mut (dyn FnMut(WeightsProgress<'_>) + Send),
) -> Result<(CachedModel, u64), Failure> {
    let failed = |e: WeightsError| failure(from, e);
    let waiting = || {
        let at = cache.root().display();
        eprintln!("another process fetches into {at}; waiting for it");
    };
    let lock = cache.lock(waiting).map_err(failed)?;
    if let Some(model) = cache.find(id) {
        return Ok((model, 0));
    }
    // the caller may be within a runtime, and files are waited for here
    let staged = std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            block_on(async {
                let weights = Weights::open(from).map_err(failed)?;
                let manifest = weights.manifest(id).await.map_err(failed)?;
                let staged = weights.fetch(&manifest, cache, &lock, progress).await;
                staged.map_err(failed)
            })
        });
        let ended = work.join();
        ended.unwrap_or_else(|_| Err(Failure::new(format!("fetching {id} panicked"))))
    })?;
    let found = crate::commands::identity(&staged.name(), staged.folder());
    let wrong = match found {
        Ok(found) if found == *id => {
            let fetched = staged.fetched;
            let model = staged.keep(cache).map_err(failed)?;
            return Ok((model, fetched));
        }
        Ok(found) => format!("they are those of {found}"),
        Err(failure) => format!("they are no model: {}", failure.text()),
    };
    staged.discard().map_err(failed)?;
    Err(
        Failure::new(format!("{from} gives other files as {id}: {wrong}"))
            .ends(Exit::False)
            .expected("the files that were published; nothing of these is kept"),
    )
}

/// What went wrong with a store or a cache.
pub(crate) fn failure(place: &str, error: WeightsError) -> Failure {
    let text = format!("{place}: {error}");
    match &error {
        WeightsError::Absent { .. } => Failure::not_found(error)
            .expected("a model that was published there: gavel model publish MODEL --to PLACE"),
        WeightsError::Manifest { .. } => Failure::new(text).ends(Exit::False),
        WeightsError::Lost { .. } | WeightsError::Size { .. } => {
            Failure::new(text).hint("publish the model again, or take another store")
        }
        WeightsError::Corrupt { .. } | WeightsError::Whole { .. } => Failure::new(text)
            .ends(Exit::False)
            .hint("publish the model again, or take another store"),
        WeightsError::Space { .. } => Failure::new(error).hint("--models-dir on a larger disk"),
        WeightsError::Io { .. } => Failure::new(error),
        _ => Failure::new(text)
            .hint("what has come so far is kept: the same command goes on from there"),
    }
}

/// A model as it is published.
pub(crate) struct Publishable {
    pub(crate) kind: WeightsFormat,
    pub(crate) binding: String,
    pub(crate) files: Vec<(String, Bytes)>,
}

/// The files that the model of a name is read from.
pub(crate) fn publishable(name: &str) -> Result<Publishable, Failure> {
    let parts = name.rsplit_once('@').filter(|_| !Path::new(name).exists());
    let (base, binding) = parts.unwrap_or((name, ""));
    let with = |kind, files| Publishable {
        kind,
        binding: binding.to_owned(),
        files,
    };
    if let Some(file) = shipped::language_file(base) {
        let files = vec![(format!("{base}.gguf"), file)];
        return Ok(with(WeightsFormat::Gguf, files));
    }
    let path = Path::new(base);
    if path.is_dir() {
        let names = gavel_model::hf_names(path).at(base)?;
        let mapped = names.into_iter().map(|name| {
            let file = path.join(&name);
            let content = gavel_model::map(&file).at(file.display())?;
            Ok((name, content))
        });
        let files = mapped.collect::<Result<_, Failure>>()?;
        return Ok(with(WeightsFormat::Safetensors, files));
    }
    let own = |ending: &str| {
        let own = path.file_name().and_then(|name| name.to_str());
        match shipped::file(base) {
            Some(_) => Ok(format!("{base}.{ending}")),
            None => own.map(str::to_owned).ok_or_else(|| {
                Failure::new(format!("{base}: its file has no name that can be written"))
            }),
        }
    };
    if shipped::file(base).is_none()
        && let Some(file) = mapped_gguf(path)?
    {
        return Ok(with(WeightsFormat::Gguf, vec![(own("gguf")?, file)]));
    }
    let (file, beside) = onnx_files(name, base)?;
    let files = std::iter::once((own("onnx")?, file)).chain(beside);
    Ok(with(WeightsFormat::Onnx, files.collect()))
}
