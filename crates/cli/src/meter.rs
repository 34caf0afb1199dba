//! How far long work is: a line on a terminal's standard error that is gone at the end.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::output::DIM;

/// Work below this is not spoken of.
const SILENT: Duration = Duration::from_millis(400);
/// Time between two looks of the line.
const BETWEEN: Duration = Duration::from_millis(100);

/// The line.
pub(crate) struct Meter {
    what: String,
    start: Instant,
    shown: Option<Instant>,
    terminal: bool,
}

impl Meter {
    /// Nothing is shown yet.
    pub(crate) fn new(what: String) -> Meter {
        Meter {
            // names come from people and go to a terminal
            what: what.chars().filter(|c| !c.is_control()).collect(),
            start: Instant::now(),
            shown: None,
            terminal: std::io::stderr().is_terminal(),
        }
    }

    /// `done` of `total` are done.
    pub(crate) fn show(&mut self, done: u64, total: u64) {
        let recent = self.shown.is_some_and(|at| at.elapsed() < BETWEEN);
        if !self.terminal || recent || self.start.elapsed() < SILENT {
            return;
        }
        self.shown = Some(Instant::now());
        let percent = 100.0 * done as f64 / total.max(1) as f64;
        let mut err = anstream::stderr();
        // nothing can be done about a closed stderr
        let _ = write!(err, "\r\x1b[K{DIM}{} {percent:.0} %{DIM:#}", self.what);
        let _ = err.flush();
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(anstream::stderr(), "\r\x1b[K");
        }
    }
}
