//! Processes that say what they do, one JSON object a line.
#![allow(dead_code, clippy::unwrap_used)] // each test uses a part

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

/// Longest silence of a process that somebody waits for.
const PATIENCE: Duration = Duration::from_secs(300);

/// A process that ends with the test, and what it says, line by line.
pub(crate) struct Running {
    pub(crate) child: Child,
    events: Receiver<Value>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Running {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (tell, events) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Ok(event) = serde_json::from_str(&line) {
                    let _ = tell.send(event);
                }
            }
        });
        Running { child, events }
    }

    /// The next event that is as wanted; panics when the process ends without it.
    pub(crate) fn wait_for(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            match self.events.recv_timeout(PATIENCE) {
                Ok(event) if wanted(&event) => return event,
                Ok(_) => {}
                Err(e) => panic!("no {what}: {e}"),
            }
        }
    }

    pub(crate) fn event(&self, name: &str) -> Value {
        self.wait_for(name, |e| e["event"] == name)
    }

    pub(crate) fn acts(&self, what: &str) {
        self.wait_for(what, |e| {
            e["what"].as_str().is_some_and(|said| said.contains(what))
        });
    }

    /// Waits until so many workers are there.
    pub(crate) fn sees_workers(&self, count: usize) {
        self.wait_for("workers", |e| {
            e["workers"].as_array().is_some_and(|w| w.len() == count)
        });
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
