//! What the machine can do at most, and what this process has used of it.

use std::time::{Duration, Instant};

use gavel_numerics::kernels::{Isa, Storage, peak};

use crate::failure::Failure;

/// Bytes that no cache holds.
const COLD: usize = 256 << 20;
/// Time of a look at a limit.
const LOOK: Duration = Duration::from_millis(30);
/// Looks, of which the best counts.
const LOOKS: usize = 5;

/// Limits of so many threads together, in the words that kernels use.
pub(crate) struct Limits {
    /// Bytes read from memory a second.
    pub(crate) read: f64,
    /// Multiplications and additions of bytes a second.
    pub(crate) int8: f64,
    /// Multiplications and additions of f32 a second.
    pub(crate) float: f64,
}

impl Limits {
    /// Measures them. Takes memory: look at [`gavel_engine::resident`] before.
    pub(crate) fn measure(isa: Isa, threads: usize) -> Limits {
        // on huge pages where there are any, as weights are
        let mut memory = Storage::new(COLD);
        memory.bytes_mut().fill(1);
        let parts: Vec<&[u8]> = memory.bytes().chunks(COLD.div_ceil(threads)).collect();
        let best = |look: &dyn Fn() -> f64| (0..LOOKS).map(|_| look()).fold(0.0, f64::max);
        let read = best(&|| {
            let seconds = together(threads, &|i| peak::read(isa, parts[i]));
            COLD as f64 / seconds
        });
        let operations = |run: &(dyn Fn(usize) -> u64 + Sync)| {
            let steps = steps(run);
            let work = 2 * run(1) * steps as u64 * threads as u64;
            best(&|| {
                work as f64
                    / together(threads, &|_| {
                        run(steps);
                    })
            })
        };
        Limits {
            read,
            int8: operations(&|steps| peak::dots(isa, steps)),
            float: operations(&|steps| peak::fma(isa, steps)),
        }
    }
}

/// Steps that take about as long as a look.
fn steps(run: &(dyn Fn(usize) -> u64 + Sync)) -> usize {
    const FIRST: usize = 10_000;
    run(FIRST);
    let start = Instant::now();
    run(FIRST);
    let each = start.elapsed().as_secs_f64() / FIRST as f64;
    (LOOK.as_secs_f64() / each.max(1e-12)) as usize + 1
}

/// Seconds in which `threads` threads each do their part.
fn together(threads: usize, part: &(dyn Fn(usize) + Sync)) -> f64 {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for i in 1..threads {
            scope.spawn(move || part(i));
        }
        part(0);
    });
    start.elapsed().as_secs_f64()
}

/// CPU time of all threads of this process so far.
#[cfg(unix)]
pub(crate) fn cpu_time() -> Option<Duration> {
    use rustix::time::{ClockId, clock_gettime};
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).ok()
}

/// CPU time of all threads of this process so far.
#[cfg(not(unix))]
pub(crate) fn cpu_time() -> Option<Duration> {
    None
}

/// Raises the number of files that this process may have open to this, where it is lower.
#[cfg(unix)]
pub(crate) fn allow_open_files(needed: u64) -> Result<(), Failure> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // none is no limit
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(needed),
        maximum: limit.maximum,
    };
    if limit.maximum.is_some_and(|most| most < needed)
        || setrlimit(Resource::Nofile, raised).is_err()
    {
        let most = limit.maximum.or(limit.current).unwrap_or_default();
        return Err(Failure::new(format!(
            "{needed} files have to be open, and this process may open {most}"
        ))
        .expected("a higher limit (`ulimit -Hn`), or fewer connections"));
    }
    Ok(())
}

/// Raises the number of files that this process may have open to this, where it is lower.
#[cfg(not(unix))]
pub(crate) fn allow_open_files(_: u64) -> Result<(), Failure> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_numbers_of_this_machine() {
        let limits = Limits::measure(Isa::best(), 2);
        for found in [limits.read, limits.int8, limits.float] {
            assert!(found.is_finite() && found > 1e6, "{found}");
        }
    }

    #[test]
    fn the_clock_of_the_process_goes_on() {
        if let Some(before) = cpu_time() {
            peak::fma(Isa::scalar(), 200_000);
            assert!(cpu_time() > Some(before));
        }
    }
}
