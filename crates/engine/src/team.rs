//! Threads for a step: between two of its hundreds of short parallel parts they spin, because waking a thread takes
//! longer than a part.
//!
//! Who calls [`Team::run`] works too, and the others help if they come in time: the call waits for those that took a
//! part, never for one that the operating system has not let run. Idle helpers yield, then sleep.

use std::cell::UnsafeCell;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Condvar, Mutex, PoisonError, TryLockError};
use std::thread::JoinHandle;

use gavel_numerics::kernels::Parallel;

use crate::place;

/// Looks at the state before a helper yields its processor, and yields before it sleeps: about 20 µs and, on an idle
/// machine, a millisecond.
const SPINS: u32 = 1 << 9;
const YIELDS: u32 = 1 << 11;

/// The state of the current job in one word: helpers inside in the low bits, whether more may enter, its number above.
const INSIDE: usize = 0xffff;
const OPEN: usize = 1 << 16;
const NUMBER: usize = 1 << 17;

/// A job: its parts and what to do with each.
#[derive(Clone, Copy)]
struct Job {
    part: *const (dyn Fn(usize) + Sync),
    parts: usize,
}

/// On a line of its own, so that who waits for one thing does not slow who counts another.
#[repr(align(128))]
struct Line<T>(T);

struct Shared {
    state: Line<AtomicUsize>,
    /// By thread, the caller first: the next part of its share.
    next: Vec<Line<AtomicUsize>>,
    job: UnsafeCell<Job>,
    panicked: AtomicBool,
    quit: AtomicBool,
    sleepers: AtomicUsize,
    /// The processor of who called last.
    caller: AtomicUsize,
    bed: Mutex<()>,
    wake: Condvar,
}

// SAFETY: `job` is written only while no helper is inside and none may enter, and read only inside; `part` points to
// something `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer is followed only while `Team::run` holds what it points to.
unsafe impl Send for Shared {}

/// A fixed number of threads, the caller's included.
pub(crate) struct Team {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
    /// Held by the call that drives the helpers; another call works alone.
    driver: Mutex<()>,
}

impl Team {
    /// `threads` threads; 0 means one per CPU.
    ///
    /// # Errors
    /// The operating system refuses a thread.
    pub(crate) fn new(threads: usize) -> io::Result<Team> {
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n.min(INSIDE),
        };
        let nothing: &(dyn Fn(usize) + Sync) = &|_| {};
        let shared = Arc::new(Shared {
            state: Line(AtomicUsize::new(0)),
            next: (0..threads).map(|_| Line(AtomicUsize::new(0))).collect(),
            job: UnsafeCell::new(Job {
                part: nothing,
                parts: 0,
            }),
            panicked: AtomicBool::new(false),
            quit: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            caller: AtomicUsize::new(usize::MAX),
            bed: Mutex::new(()),
            wake: Condvar::new(),
        });
        let mut team = Team {
            shared,
            helpers: Vec::new(),
            driver: Mutex::new(()),
        };
        for i in 1..threads {
            let shared = Arc::clone(&team.shared);
            let helper = std::thread::Builder::new()
                .name(format!("gavel-engine-{i}"))
                .spawn(move || shared.help(i))?;
            team.helpers.push(helper);
        }
        Ok(team)
    }

    /// `f` over `items`, results in order.
    pub(crate) fn map<T: Sync, R: Send>(&self, items: &[T], f: impl Fn(&T) -> R + Sync) -> Vec<R> {
        if items.len() <= 1 || self.helpers.is_empty() {
            return items.iter().map(f).collect();
        }
        let mut pairs: Vec<(&T, Option<R>)> = items.iter().map(|item| (item, None)).collect();
        self.each(&mut pairs, |(item, found)| *found = Some(f(item)));
        pairs.into_iter().filter_map(|(_, found)| found).collect()
    }

    /// Calls `f` once for every item, on any threads.
    pub(crate) fn each<T: Send>(&self, items: &mut [T], f: impl Fn(&mut T) + Sync) {
        if items.len() <= 1 || self.helpers.is_empty() {
            return items.iter_mut().for_each(f);
        }
        let items: Vec<Mutex<&mut T>> = items.iter_mut().map(Mutex::new).collect();
        // each lock is taken once
        self.run(items.len(), &|i| {
            f(&mut items[i].lock().unwrap_or_else(PoisonError::into_inner))
        });
    }
}

impl Parallel for Team {
    fn workers(&self) -> usize {
        self.helpers.len() + 1
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        let driver = match self.helpers.is_empty() || parts <= 1 {
            true => None,
            false => match self.driver.try_lock() {
                Ok(driver) => Some(driver),
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            },
        };
        let Some(_driver) = driver else {
            return (0..parts).for_each(part);
        };
        let shared = &*self.shared;
        // SAFETY: the closer below keeps this call until no helper is inside and none can enter, also when a part
        // panics, so that the pointer, whose lifetime is forgotten here, is not followed later.
        let part: &'static (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(part) };
        // SAFETY: no helper is inside, and none may enter before the state says so.
        unsafe { *shared.job.get() = Job { part, parts } };
        let here = place::here().unwrap_or(usize::MAX);
        shared.caller.store(here, Ordering::Relaxed);
        for (thread, next) in shared.next.iter().enumerate() {
            let first = shared.share(thread, parts).start;
            next.0.store(first, Ordering::Relaxed);
        }
        shared.panicked.store(false, Ordering::Relaxed);
        let number = (shared.state.0.load(Ordering::Relaxed) / NUMBER).wrapping_add(1);
        shared
            .state
            .0
            .store(number.wrapping_mul(NUMBER) | OPEN, Ordering::Release);
        let closer = Closer(shared);
        shared.wake_sleepers();
        shared.work(0, part, parts);
        drop(closer);
        if shared.panicked.swap(false, Ordering::Relaxed) {
            resume_unwind(Box::new("a part of a step panicked on another thread"));
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::SeqCst);
        {
            let _bed = self
                .shared
                .bed
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            self.shared.wake.notify_all();
        }
        for helper in self.helpers.drain(..) {
            // a helper catches every panic
            let _ = helper.join();
        }
    }
}

/// Ends the job when dropped: nobody enters any more, and those inside have left.
struct Closer<'a>(&'a Shared);

impl Drop for Closer<'_> {
    fn drop(&mut self) {
        let state = &self.0.state.0;
        state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut looks = 0;
        while state.load(Ordering::Acquire) & INSIDE != 0 {
            pause(&mut looks);
        }
    }
}

/// Spins at first, then lets others run.
fn pause(looks: &mut u32) {
    *looks += 1;
    match *looks < SPINS {
        true => std::hint::spin_loop(),
        false => std::thread::yield_now(),
    }
}

impl Shared {
    /// The parts that a thread begins with: the same ones of all jobs of so many parts, so that it finds in its cache what it
    /// has left there.
    fn share(&self, thread: usize, parts: usize) -> Range<usize> {
        let threads = self.next.len();
        thread * parts / threads..(thread + 1) * parts / threads
    }

    /// Takes parts until none is left: those of its share, then what is left of the others'.
    fn work(&self, thread: usize, part: &(dyn Fn(usize) + Sync), parts: usize) {
        let threads = self.next.len();
        for of in (thread..threads).chain(0..thread) {
            let end = self.share(of, parts).end;
            loop {
                let i = self.next[of].0.fetch_add(1, Ordering::Relaxed);
                if i >= end {
                    break;
                }
                part(i);
            }
        }
    }

    fn wake_sleepers(&self) {
        // either a helper that lies down sees the new job, or this sees the helper
        fence(Ordering::SeqCst);
        if self.sleepers.load(Ordering::Relaxed) > 0 {
            let _bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
            self.wake.notify_all();
        }
    }

    /// The life of a helper.
    fn help(&self, thread: usize) {
        let (mut last, mut looks) = (0, 0);
        while !self.quit.load(Ordering::Relaxed) {
            let state = self.state.0.load(Ordering::Acquire);
            let number = state / NUMBER;
            if state & OPEN == 0 || number == last {
                looks = match looks < SPINS + YIELDS {
                    true => {
                        pause(&mut looks);
                        if looks >= SPINS {
                            place::leave(self.caller.load(Ordering::Relaxed));
                        }
                        looks
                    }
                    false => {
                        self.sleep(state);
                        0
                    }
                };
                continue;
            }
            let entered = self.state.0.compare_exchange(
                state,
                state + 1,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            if entered.is_err() {
                continue;
            }
            (last, looks) = (number, 0);
            // SAFETY: inside, so that the job stays as it is until this helper leaves.
            let Job { part, parts } = unsafe { *self.job.get() };
            // SAFETY: `Team::run` holds what the pointer points to until this helper leaves.
            let part = unsafe { &*part };
            if catch_unwind(AssertUnwindSafe(|| self.work(thread, part, parts))).is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.state.0.fetch_sub(1, Ordering::Release);
        }
    }

    /// Sleeps until there is another job than the one of `state`, or no more.
    fn sleep(&self, state: usize) {
        let mut bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::Relaxed);
        loop {
            fence(Ordering::SeqCst);
            let same = self.state.0.load(Ordering::Relaxed) / NUMBER == state / NUMBER;
            if !same || self.quit.load(Ordering::Relaxed) {
                break;
            }
            bed = self.wake.wait(bed).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_runs_once_whoever_comes() {
        for threads in [1, 2, 5] {
            let team = Team::new(threads).unwrap();
            assert_eq!(team.workers(), threads);
            for parts in (0..40).chain([1000]) {
                let counts: Vec<AtomicUsize> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
                team.run(parts, &|i| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|n| n.load(Ordering::Relaxed) == 1));
                let mut items: Vec<usize> = (0..parts).collect();
                team.each(&mut items, |i| *i += 7);
                assert!(items.iter().enumerate().all(|(i, &n)| n == i + 7));
            }
        }
    }

    #[test]
    fn shares_are_all_parts_in_order() {
        for threads in [1, 2, 3, 5] {
            let team = Team::new(threads).unwrap();
            for parts in [0, 1, 2, 7, 64] {
                let shares = (0..threads).map(|thread| team.shared.share(thread, parts));
                let all: Vec<usize> = shares.clone().flatten().collect();
                assert_eq!(all, (0..parts).collect::<Vec<_>>());
                assert!(
                    shares
                        .clone()
                        .all(|share| share.len() <= parts.div_ceil(threads))
                );
            }
        }
    }

    #[test]
    fn a_thread_begins_with_its_own_share() {
        let team = Team::new(2).unwrap();
        let caller = std::thread::current().id();
        for _ in 0..200 {
            // neither thread gets to a second part before the other has a first
            let both = std::sync::Barrier::new(2);
            team.run(2, &|part| {
                both.wait();
                assert_eq!(part == 0, std::thread::current().id() == caller);
            });
        }
    }

    #[test]
    fn a_job_inside_a_job_runs_on_its_thread() {
        let team = Team::new(3).unwrap();
        let count = AtomicUsize::new(0);
        team.run(8, &|_| {
            team.run(8, &|_| {
                count.fetch_add(1, Ordering::Relaxed);
            })
        });
        assert_eq!(count.into_inner(), 64);
    }

    #[test]
    fn a_panic_ends_the_job_and_not_the_team() {
        let team = Team::new(3).unwrap();
        for bad in 0..16 {
            let run = AssertUnwindSafe(|| team.run(16, &|i| assert!(i != bad, "part {i}")));
            assert!(catch_unwind(run).is_err());
        }
        let count = AtomicUsize::new(0);
        team.run(16, &|_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.into_inner(), 16);
    }

    #[test]
    fn sleepers_wake_for_work_and_for_the_end() {
        let team = Team::new(4).unwrap();
        for _ in 0..3 {
            while team.shared.sleepers.load(Ordering::Relaxed) < 3 {
                std::thread::yield_now();
            }
            team.run(4, &|_| {});
        }
        drop(team);
    }
}
