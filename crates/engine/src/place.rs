//! Where threads run.
//!
//! A thread that is woken may be put on the processor of the one that woke it, and stay there while others are idle: on a guest
//! of a virtual machine (Linux 6.18) for up to 60 ms. A step is over before the scheduler puts that right.

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

/// Moves the calling thread to another processor if it is on this one and may run elsewhere; whether it has moved.
#[cfg(target_os = "linux")]
pub(crate) fn leave(processor: usize) -> bool {
    if sched_getcpu() != processor || processor >= CpuSet::MAX_CPU {
        return false;
    }
    let Ok(allowed) = sched_getaffinity(None) else {
        return false;
    };
    let mut others = allowed;
    others.unset(processor);
    if others.count() == 0 || sched_setaffinity(None, &others).is_err() {
        return false;
    }
    let moved = sched_getcpu() != processor;
    // being elsewhere is what was wanted, not being kept from coming back; where this fails it is kept, and still runs
    let _ = sched_setaffinity(None, &allowed);
    moved
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn leave(_processor: usize) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_leaves_is_elsewhere_and_keeps_its_rights() {
        let allowed = sched_getaffinity(None).unwrap();
        // the system may move it between the two calls, but not always
        let moved = (0..1000).any(|_| leave(sched_getcpu()));
        assert_eq!(moved, allowed.count() > 1);
        assert!(sched_getaffinity(None).unwrap() == allowed);
        assert!(!leave(usize::MAX));
    }

    #[test]
    fn a_thread_that_may_run_nowhere_else_stays() {
        let allowed = sched_getaffinity(None).unwrap();
        let here = (0..CpuSet::MAX_CPU).find(|&i| allowed.is_set(i)).unwrap();
        let mut only = CpuSet::new();
        only.set(here);
        sched_setaffinity(None, &only).unwrap();
        assert!(!leave(here));
        assert!(sched_getaffinity(None).unwrap() == only);
    }
}
