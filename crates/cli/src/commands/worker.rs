//! `gavel worker`, the process that models are read and run in, and how a role starts it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gavel_engine::{Engine, EngineOptions};
use gavel_node::sandbox::{
    SandboxError, SandboxExecutor, SandboxLimits, SandboxOptions, Served, WorkerOptions, serve,
};
use gavel_node::{EngineExecutor, Models};

use crate::args_ops::{SandboxArgs, WorkerArgs};
use crate::failure::{Context as _, Exit, Failure};
use crate::files::{self, Servable};

/// Longest time that models may take to be read: every byte of the weights is hashed.
const LOAD: Duration = Duration::from_secs(3600);
/// Memory of a machine that does not say how much it has.
const MEMORY: u64 = 8 << 30;

pub(super) fn run(args: WorkerArgs) -> Result<Exit, Failure> {
    let options = WorkerOptions {
        memory: args.memory,
        readable: args.read,
    };
    serve(&options, load).at("the model process")?;
    Ok(Exit::Done)
}

fn load(names: &[String]) -> Result<(Arc<EngineExecutor>, Vec<Served>), String> {
    let (mut models, mut served) = (Models::new(), Vec::new());
    for name in names {
        served.push(match files::servable(name).map_err(|e| e.text())? {
            Servable::Model(model) => Served::Model(models.add(*model)),
            Servable::Family(family) => Served::Family(models.add_family(family)),
        });
    }
    let engine = Engine::new(EngineOptions::default()).map_err(|e| e.to_string())?;
    let executor = EngineExecutor::new(engine, models).map_err(|e| e.to_string())?;
    Ok((Arc::new(executor), served))
}

/// A process for these models, with what they need and nothing else.
pub(super) fn start(names: &[String], args: &SandboxArgs) -> Result<SandboxExecutor, SandboxError> {
    let mut readable = args.sandbox_read.clone();
    for name in names {
        readable.extend(files_of(name));
    }
    let sizes = readable
        .iter()
        .filter_map(|path| std::fs::metadata(path).ok());
    let files: u64 = sizes.map(|m| m.len()).sum();
    let physical = physical_memory().unwrap_or(MEMORY);
    let memory = match args.sandbox_memory {
        Some(mib) => mib << 20,
        None => physical / 4 * 3 + files,
    };
    SandboxExecutor::start(SandboxOptions {
        program: std::env::current_exe().map_err(SandboxError::Start)?,
        arguments: vec!["worker".to_owned()],
        models: names.to_vec(),
        readable,
        limits: SandboxLimits {
            memory,
            request: Duration::from_secs(args.sandbox_seconds),
            load: LOAD,
        },
    })
}

pub(super) fn refused(names: &[String], error: &SandboxError) -> Failure {
    let failure = Failure::new(format!("{}: {error}", names.join(", ")));
    match error {
        SandboxError::Refused(_) => failure,
        _ => failure.hint(
            "--sandbox-memory and --sandbox-seconds move its limits; --sandbox off reads the model where the key is",
        ),
    }
}

/// The files of a model: its own, or its folder's, and those beside it whose names begin as its own does.
fn files_of(name: &str) -> Vec<PathBuf> {
    let path = match Path::new(name).exists() {
        true => name,
        false => name.rsplit_once('@').map_or(name, |(path, _)| path),
    };
    let path = Path::new(path);
    if !path.is_file() {
        // a folder, or a shipped model, which lies in no file
        return path.is_dir().then(|| path.to_owned()).into_iter().collect();
    }
    let mut files = vec![path.to_owned()];
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let beside = std::fs::read_dir(folder.unwrap_or(Path::new("."))).ok();
    for entry in beside.into_iter().flatten().flatten() {
        let other = entry.file_name();
        let related = stem.is_some_and(|stem| other.to_string_lossy().starts_with(stem));
        let beside = match folder {
            Some(folder) => folder.join(&other),
            None => PathBuf::from(&other),
        };
        if related && beside.is_file() && beside != path && !is_key(&beside) {
            files.push(beside);
        }
    }
    files
}

/// Whether a file may be a key: those are small, and weights are not.
fn is_key(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "json")
}

fn physical_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_read_its_model_and_not_the_key_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["net.onnx", "net.onnx.data", "net.json", "other.onnx", "key"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let place = |name: &str| dir.path().join(name);
        let mut found = files_of(&format!("{}@seq=1..8", place("net.onnx").display()));
        found.sort();
        assert_eq!(found, [place("net.onnx"), place("net.onnx.data")]);
        assert!(files_of("digits-small").is_empty());
        let folder = dir.path().to_str().unwrap();
        assert_eq!(files_of(folder), [dir.path()]);
    }
}
