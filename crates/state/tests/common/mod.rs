//! A PostgreSQL of Debian's package for one test: its own data, its own socket, gone with the test.
#![allow(dead_code)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running server.
pub(crate) struct Server {
    child: Child,
    folder: tempfile::TempDir,
}

impl Server {
    /// Starts one. `None`, with a word on stderr, where the package is not installed.
    pub(crate) fn start() -> Option<Server> {
        let Some(programs) = programs() else {
            eprintln!("skipped: no /usr/lib/postgresql/*/bin/initdb (apt-get install postgresql)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let user = unprivileged();
        if let Some(user) = user {
            std::os::unix::fs::chown(folder.path(), Some(user), Some(user)).unwrap();
        }
        let data = folder.path().join("data");
        let made = run(&programs.join("initdb"), user)
            .args(["--no-sync", "--auth=trust", "--username=gavel", "-D"])
            .arg(&data)
            .current_dir(folder.path())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "initdb: {told}");
        let mut child = run(&programs.join("postgres"), user)
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-D"])
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut told = String::new();
        loop {
            let read = log.read_line(&mut told).unwrap();
            assert!(read > 0, "postgres ended: {told}");
            if told.contains("ready to accept connections") {
                break;
            }
        }
        // a full pipe would stop the server
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Some(Server { child, folder })
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        let host = self.folder.path().to_str().unwrap().replace('/', "%2F");
        format!("postgres:///postgres?host={host}&user=gavel")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGQUIT ends it and its children at once
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-QUIT", &pid]).status();
        let _ = self.child.wait();
    }
}

fn programs() -> Option<PathBuf> {
    let mut versions: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    versions.sort();
    versions.pop()
}

/// The user to run as where this is root, which PostgreSQL refuses to be.
fn unprivileged() -> Option<u32> {
    let id = |args: &[&str]| {
        let out = Command::new("id").args(args).output().unwrap();
        String::from_utf8_lossy(&out.stdout).trim().parse().ok()
    };
    match id(&["-u"]) {
        Some(0) => id(&["-u", "postgres"]),
        _ => None,
    }
}

fn run(program: &Path, user: Option<u32>) -> Command {
    let Some(user) = user else {
        return Command::new(program);
    };
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--reuid={user}"))
        .arg(format!("--regid={user}"))
        .arg("--clear-groups")
        .arg(program);
    command
}
