//! Elapsed time, for the timings of a run. Results never depend on it.

use std::time::Duration;

/// Started when made. Where the platform has no clock, no time ever passes.
pub(crate) struct Stopwatch(
    #[cfg(not(all(target_family = "wasm", target_os = "unknown")))] std::time::Instant,
);

impl Stopwatch {
    #[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
    pub(crate) fn start() -> Stopwatch {
        Stopwatch(std::time::Instant::now())
    }

    #[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    pub(crate) fn start() -> Stopwatch {
        Stopwatch()
    }

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    pub(crate) fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}
