//! Where threads run.
//!
//! A thread that is woken may be put on the processor of the one that woke it, and stay there for tens of milliseconds while
//! others are idle: guests of virtual machines take a processor that has halted for one that the host has taken away. A step
//! is over before the scheduler puts that right.

#[cfg(target_os = "linux")]
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// The processor of the calling thread, where the system says.
#[cfg(target_os = "linux")]
pub(crate) fn here() -> Option<usize> {
    Some(sched_getcpu())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn here() -> Option<usize> {
    None
}

/// Moves the calling thread to another processor if it is on this one and may run elsewhere.
#[cfg(target_os = "linux")]
pub(crate) fn leave(processor: usize) {
    if sched_getcpu() != processor || processor >= CpuSet::MAX_CPU {
        return;
    }
    let Ok(allowed) = sched_getaffinity(None) else {
        return;
    };
    let mut others = allowed;
    others.unset(processor);
    if others.count() == 0 || sched_setaffinity(None, &others).is_err() {
        return;
    }
    // being elsewhere is what was wanted, not being kept from coming back; where this fails it is kept, and still runs
    let _ = sched_setaffinity(None, &allowed);
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn leave(_processor: usize) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_leaves_keeps_its_rights() {
        let allowed = sched_getaffinity(None).unwrap();
        leave(sched_getcpu());
        assert!(sched_getaffinity(None).unwrap() == allowed);
        leave(usize::MAX);
        assert!(sched_getaffinity(None).unwrap() == allowed);
    }
}
