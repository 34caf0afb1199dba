//! `gavel worker`, the process that models are read and run in, and how a role starts it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gavel_engine::{Engine, EngineOptions};
use gavel_node::sandbox::{
    SandboxError, SandboxExecutor, SandboxLimits, SandboxOptions, Served, WorkerOptions, serve,
};
use gavel_node::{EngineExecutor, Models};
use gavel_trace::Digest;

use crate::args::PasswordArgs;
use crate::args_node::PartyArgs;
use crate::args_ops::{SandboxArgs, SandboxMode, WorkerArgs};
use crate::args_protection::StateArgs;
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

pub(super) fn load(names: &[String]) -> Result<(Arc<EngineExecutor>, Vec<Served>), String> {
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
    let refused = |failure: Failure| SandboxError::Refused(failure.text());
    let readable = readable(names, args).map_err(refused)?;
    // what has to be fetched is fetched here: that process has no network
    let located = names
        .iter()
        .map(|name| Ok(files::located(name)?.name.into_owned()));
    let located = located.collect::<Result<_, Failure>>().map_err(refused)?;
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
        models: located,
        readable,
        limits: SandboxLimits {
            memory,
            request: Duration::from_secs(args.sandbox_seconds),
            load: LOAD,
        },
    })
}

fn readable(names: &[String], args: &SandboxArgs) -> Result<Vec<PathBuf>, Failure> {
    let mut readable = args.sandbox_read.clone();
    for name in names {
        let located = files::located(name)?;
        match located.folder {
            Some(folder) => readable.push(folder),
            None => readable.extend(files_of(&located.name)),
        }
    }
    Ok(readable)
}

/// The identity that a stranger's files in a folder give, computed where they can do no harm.
pub(crate) fn identity(name: &str, folder: &Path) -> Result<Digest, Failure> {
    let args = SandboxArgs {
        sandbox: SandboxMode::Auto,
        sandbox_memory: None,
        sandbox_seconds: LOAD.as_secs(),
        sandbox_read: vec![folder.to_owned()],
    };
    let names = [name.to_owned()];
    match start(&names, &args) {
        Ok(there) => match there.served().first() {
            Some(Served::Model(id) | Served::Family(id)) => Ok(*id),
            None => Err(Failure::new(format!("{name}: nothing is served"))),
        },
        Err(SandboxError::Unsupported) => Ok(match files::servable(name)? {
            Servable::Model(model) => model.model_id(),
            Servable::Family(family) => family.id(),
        }),
        Err(error) => Err(refused(&names, &error)),
    }
}

/// Files that a command is given and a model must not see.
pub(super) struct Secrets<'a> {
    pub(super) key: Option<&'a Path>,
    pub(super) password: &'a PasswordArgs,
    pub(super) state: Option<&'a StateArgs>,
}

impl<'a> Secrets<'a> {
    /// Those of a party.
    pub(super) fn of(party: &'a PartyArgs) -> Secrets<'a> {
        Secrets {
            key: Some(&party.key.key),
            password: &party.key.password,
            state: Some(&party.state),
        }
    }

    /// Refuses models, files and folders among which one of these is.
    pub(super) fn hidden_from(&self, names: &[String], args: &SandboxArgs) -> Result<(), Failure> {
        if args.sandbox == SandboxMode::Off {
            return Ok(());
        }
        let readable = readable(names, args)?;
        let state = self.state.and_then(|s| s.state.as_deref());
        let state = state.map(|place| Path::new(place.strip_prefix("file:").unwrap_or(place)));
        let secrets = [
            ("key", self.key),
            ("password", self.password.password_file.as_deref()),
            ("protection database", state),
        ];
        for (what, secret) in secrets {
            // what is not there yet lies in its folder
            let Some(secret) = secret.and_then(real) else {
                continue;
            };
            let inside = |open: &&PathBuf| real(open).is_some_and(|r| secret.starts_with(r));
            if let Some(open) = readable.iter().find(inside) {
                return Err(Failure::usage(format!(
                    "the {what} in {} could be read by the process that reads {}",
                    secret.display(),
                    open.display()
                ))
                .expected("keys, passwords and databases elsewhere than models"));
            }
        }
        Ok(())
    }
}

/// Where a file is, or would be.
fn real(path: &Path) -> Option<PathBuf> {
    if let Ok(real) = path.canonicalize() {
        return Some(real);
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    Some(folder.canonicalize().ok()?.join(path.file_name()?))
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

/// What exporters of ONNX append, to the name of the file or of the model, for the file that the weights lie in. Numbers
/// may follow, and so may the name of a tensor where there is a file for each.
const WEIGHTS: [&str; 6] = [".data", "_data", ".bin", ".weight", ".weights", "_weights"];

/// The files of a model: its own, or its folder's, and those beside it that an exporter makes with it.
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
    let text = |part: Option<&std::ffi::OsStr>| part.and_then(|p| p.to_str()).map(str::to_owned);
    let own = (text(path.file_name()), text(path.file_stem()));
    let (true, (Some(name), Some(stem))) = (path.extension().is_some_and(|e| e == "onnx"), own)
    else {
        // other formats have everything in one file
        return files;
    };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let beside = std::fs::read_dir(folder.unwrap_or(Path::new("."))).ok();
    for entry in beside.into_iter().flatten().flatten() {
        let other = entry.file_name();
        let related = other
            .to_str()
            .is_some_and(|o| holds_weights(o, &name, &stem));
        let beside = match folder {
            Some(folder) => folder.join(&other),
            None => PathBuf::from(&other),
        };
        if related && beside.is_file() {
            files.push(beside);
        }
    }
    files
}

/// Whether a file's name is one that an exporter gives to weights of the model `name`, whose name without its ending is
/// `stem`.
fn holds_weights(other: &str, name: &str, stem: &str) -> bool {
    let begins = |rest: &str| {
        WEIGHTS.iter().any(|ending| {
            let behind = rest.strip_prefix(ending);
            behind.is_some_and(|b| b.is_empty() || b.starts_with(['.', '_', '-']))
        })
    };
    [name, stem]
        .iter()
        .any(|own| other.strip_prefix(own).is_some_and(begins))
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
        let place = |name: &str| dir.path().join(name);
        let model = [
            "net.bin",
            "net.data",
            "net.onnx",
            "net.onnx.data",
            "net.onnx_data_1",
        ];
        // a key that is called as the model is, and what else begins so
        let others = [
            "net",
            "net.json",
            "net.onnx.json",
            "net.password",
            "net-old.key",
            "other.onnx",
        ];
        for name in model.iter().chain(&others) {
            std::fs::write(place(name), "").unwrap();
        }
        let mut found = files_of(&format!("{}@seq=1..8", place("net.onnx").display()));
        found.sort();
        assert_eq!(found, model.map(place));
        assert_eq!(files_of(place("net").to_str().unwrap()), [place("net")]);
        assert!(files_of("digits-small").is_empty());
        let folder = dir.path().to_str().unwrap();
        assert_eq!(files_of(folder), [dir.path()]);
    }

    #[test]
    fn a_key_among_what_a_model_may_see_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| dir.path().join(name);
        std::fs::create_dir(place("model")).unwrap();
        for name in ["model/config.json", "model/key", "key", "password"] {
            std::fs::write(place(name), "").unwrap();
        }
        let args = |read: &[&str], sandbox| SandboxArgs {
            sandbox,
            sandbox_memory: None,
            sandbox_seconds: 1,
            sandbox_read: read.iter().map(|name| place(name)).collect(),
        };
        let hidden = |key: &str, password: &str, state: &str, args: &SandboxArgs| {
            let password = PasswordArgs {
                password_file: Some(place(password)),
            };
            let state = StateArgs {
                state: Some(place(state).display().to_string()),
                accept_foreign_acts: false,
            };
            let key = place(key);
            let secrets = Secrets {
                key: Some(&key),
                password: &password,
                state: Some(&state),
            };
            let names = [place("model").display().to_string()];
            secrets.hidden_from(&names, args).is_ok()
        };
        let own = args(&[], SandboxMode::Auto);
        assert!(hidden("key", "password", "state.db", &own));
        assert!(!hidden("model/key", "password", "state.db", &own));
        assert!(!hidden("model/../model/key", "password", "state.db", &own));
        assert!(!hidden("key", "model/config.json", "state.db", &own));
        assert!(!hidden("key", "password", "model/new.db", &own));
        assert!(!hidden(
            "key",
            "password",
            "state.db",
            &args(&["password"], SandboxMode::Auto)
        ));
        assert!(hidden(
            "model/key",
            "password",
            "state.db",
            &args(&[], SandboxMode::Off)
        ));
    }
}
