//! One model process: started, asked, watched, ended.

use std::io::{self, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use super::wire::{self, Body, Packed, Reply, Request};
use super::{SandboxError, SandboxOptions};

/// Bytes of a process's last words that are kept.
const LAST_WORDS: usize = 4 << 10;
/// Ticks of a processor's clock in a second, as `/proc` counts on every Linux.
const TICKS: u64 = 100;

pub(super) struct Process {
    child: Child,
    requests: ChildStdin,
    replies: ChildStdout,
    words: Arc<Mutex<Vec<u8>>>,
}

impl Process {
    /// Starts a process with no environment but the instruction set's name and no descriptor but its pipes. Its walls it
    /// puts up itself, before it reads a request.
    pub(super) fn start(options: &SandboxOptions) -> Result<Process, SandboxError> {
        keep_descriptors().map_err(SandboxError::Start)?;
        let mut command = Command::new(&options.program);
        command
            .args(&options.arguments)
            .args(["--memory", &options.limits.memory.to_string()])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for path in &options.readable {
            command.arg("--read").arg(path);
        }
        if let Some(isa) = std::env::var_os("GAVEL_ISA") {
            command.env("GAVEL_ISA", isa);
        }
        let mut child = command.spawn().map_err(SandboxError::Start)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(requests), Some(replies), Some(mut errors)) = pipes else {
            return Err(SandboxError::Start(io::Error::other("it has no pipes")));
        };
        let words = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&words);
        // read to its end, so that nobody waits for a full pipe; what is said first is kept
        std::thread::spawn(move || {
            let mut piece = [0; 512];
            while let Ok(n @ 1..) = errors.read(&mut piece) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                let room = LAST_WORDS.saturating_sub(kept.len());
                kept.extend_from_slice(&piece[..n.min(room)]);
            }
        });
        Ok(Process {
            child,
            requests,
            replies,
            words,
        })
    }

    /// Asks for an answer whose tensors have at most `most` bytes; after an error the process is of no more use.
    pub(super) fn ask(
        &mut self,
        request: &Request,
        body: &Packed,
        most: u64,
        patience: Duration,
    ) -> Result<(Reply, Body), SandboxError> {
        let pid = Pid::from_child(&self.child);
        self.limit_processor_time(pid, patience);
        let (answered, waits) = mpsc::channel::<()>();
        // the child is not waited for while the watch runs, so that its id is nobody else's
        let watch = std::thread::spawn(move || {
            let late = waits.recv_timeout(patience) == Err(RecvTimeoutError::Timeout);
            late && kill_process(pid, Signal::KILL).is_ok()
        });
        let reply = wire::write(&mut self.requests, request, body)
            .and_then(|()| wire::read(&mut self.replies, most));
        drop(answered);
        let late = watch.join().unwrap_or(false);
        match reply {
            Ok(reply) if !late => Ok(reply),
            _ if late => Err(SandboxError::TooLong(patience)),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                Err(SandboxError::Answer(e.to_string()))
            }
            _ => Err(SandboxError::Ended(self.epitaph())),
        }
    }

    /// What the request may take of the processors' time; the kernel ends the process that takes more.
    fn limit_processor_time(&self, pid: Pid, patience: Duration) {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        let used = used_seconds(self.child.id()).unwrap_or(0);
        let most = used
            .saturating_add(patience.as_secs().saturating_mul(cpus))
            .saturating_add(2);
        let limit = Rlimit {
            current: Some(most),
            maximum: None,
        };
        // without it there is the clock on the wall
        let _ = prlimit(Some(pid), Resource::Cpu, limit);
    }

    /// How it ended, and what it said.
    fn epitaph(&mut self) -> String {
        let _ = self.child.kill();
        let how = match self.child.wait() {
            Ok(status) => match status.signal() {
                Some(signal) => format!("signal {signal}"),
                None => format!("status {}", status.code().unwrap_or_default()),
            },
            Err(error) => error.to_string(),
        };
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let words = String::from_utf8_lossy(&words);
        let words: String = words
            .chars()
            .filter(|c| !c.is_control() || *c == '\n')
            .collect();
        match words.trim() {
            "" => how,
            words => format!("{how}: {words}"),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whatever this process was given by the one that started it, or libraries have opened, ends where a program starts: what
/// this language opens does so by itself.
fn keep_descriptors() -> io::Result<()> {
    let (first, last) = (3u32, u32::MAX);
    // SAFETY: numbers go in, and what changes is a flag of descriptors, which stay open here.
    let done = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            last,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Seconds that a process has run on all processors.
fn used_seconds(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // the name before it may have anything in it but this
    let (_, rest) = stat.rsplit_once(')')?;
    let mut ticks = rest
        .split_whitespace()
        .skip(11)
        .map_while(|n| n.parse::<u64>().ok());
    Some((ticks.next()? + ticks.next()?) / TICKS)
}
