//! From the flags to a deployment on a chain and a key.

use std::path::Path;

use crate::args::PasswordArgs;
use crate::failure::{Context as _, Exit, Failure};
use crate::files;

pub(crate) use gavel_settlement::amount::TOKEN;
/// Environment variable with a key's password.
const PASSWORD: &str = "GAVEL_PASSWORD";
const MAX_PASSWORD_BYTES: u64 = 1 << 12;

/// Runs a command that waits for the network.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .at("starting threads")?;
    runtime.block_on(work)
}

/// A key's password: the first line of a file, or an environment variable.
pub(crate) fn password(args: &PasswordArgs) -> Result<String, Failure> {
    match &args.password_file {
        Some(file) => {
            let bytes = files::read(file, MAX_PASSWORD_BYTES, "a file with a password")?;
            let text = String::from_utf8(bytes).at(file.display())?;
            Ok(text.lines().next().unwrap_or_default().to_owned())
        }
        None => std::env::var(PASSWORD).map_err(|_| {
            Failure::usage("no password for the key file")
                .expected(format!("--password-file FILE or the variable {PASSWORD}"))
        }),
    }
}

pub(crate) fn key_failure(path: &Path, error: impl std::fmt::Display) -> Failure {
    let text = error.to_string().replace("Mac Mismatch", "wrong password");
    let failure = Failure::new(text)
        .ends(Exit::Config)
        .expected("a key file and its password");
    match path.exists() {
        true => failure,
        false => failure.hint(format!("`gavel key new {}` makes one", path.display())),
    }
}

/// For a role with duties: the first SIGTERM sets `draining` and is told, and the next one, or an interrupt at any time,
/// resolves it.
pub(crate) fn told_to_drain(
    draining: std::sync::Arc<std::sync::atomic::AtomicBool>,
    tell: impl Fn() + Send + 'static,
) -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    Ok(async move {
        #[cfg(unix)]
        loop {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => return,
                _ = terminate.recv() => {}
            }
            if draining.swap(true, std::sync::atomic::Ordering::Relaxed) {
                return;
            }
            tell();
        }
        #[cfg(not(unix))]
        {
            let _ = (draining, tell);
            let _ = tokio::signal::ctrl_c().await;
        }
    })
}

/// Resolves when the process is asked to end: by an interrupt or, on Unix, by SIGTERM.
pub(crate) fn told_to_stop() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    })
}
