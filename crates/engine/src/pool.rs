//! The engine's threads: where the parts of a kernel run. Which thread runs a part changes no bit.

use gavel_numerics::kernels::Parallel;
use rayon::prelude::*;

use crate::EngineError;

/// A fixed number of threads; with one, everything runs on the caller's.
pub(crate) struct Pool {
    threads: usize,
    pool: Option<rayon::ThreadPool>,
}

impl Pool {
    /// `threads` threads; 0 means one per CPU.
    pub(crate) fn new(threads: usize) -> Result<Pool, EngineError> {
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        let pool = match threads {
            1 => None,
            _ => Some(
                rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .thread_name(|i| format!("gavel-engine-{i}"))
                    .build()
                    .map_err(|source| EngineError::Threads { threads, source })?,
            ),
        };
        Ok(Pool { threads, pool })
    }

    /// Its threads.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// `f` over `items`, results in order.
    pub(crate) fn map<T: Sync, R: Send>(
        &self,
        items: &[T],
        f: impl Fn(&T) -> R + Sync + Send,
    ) -> Vec<R> {
        match &self.pool {
            Some(pool) if items.len() > 1 => pool.install(|| items.par_iter().map(f).collect()),
            _ => items.iter().map(f).collect(),
        }
    }
}

impl Parallel for Pool {
    fn workers(&self) -> usize {
        self.threads
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        match &self.pool {
            Some(pool) if parts > 1 => {
                pool.install(|| (0..parts).into_par_iter().with_max_len(1).for_each(part))
            }
            _ => (0..parts).for_each(part),
        }
    }
}
