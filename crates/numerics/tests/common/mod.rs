//! What several tests of kernels share.

use gavel_numerics::kernels::Parallel;

/// Runs parts on this many threads, the last part first.
pub(crate) struct Threads(pub(crate) usize);

impl Parallel for Threads {
    fn workers(&self) -> usize {
        self.0
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for worker in 0..self.0 {
                scope.spawn(move || {
                    (0..parts)
                        .rev()
                        .filter(|i| i % self.0 == worker)
                        .for_each(part)
                });
            }
        });
    }
}
