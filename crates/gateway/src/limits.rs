//! How much a caller may ask for at once and in a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ApiError;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Name of the key.
    pub name: String,
    /// The most that its tasks may cost together.
    pub budget: Option<u128>,
    /// Requests a minute.
    pub requests_per_minute: u32,
    /// Requests at once.
    pub max_concurrent: u32,
}

/// A request that runs; dropped when it is over.
#[derive(Debug)]
pub struct Running(#[allow(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

/// What callers have used.
#[derive(Debug)]
pub struct Limits {
    callers: Mutex<HashMap<String, Used>>,
    queue: Arc<Semaphore>,
    patience: Duration,
}

#[derive(Debug)]
struct Used {
    tokens: f64,
    at: Instant,
    running: Arc<Semaphore>,
}

impl Limits {
    /// So many requests may wait for their caller's others, so long.
    pub fn new(queue: usize, patience: Duration) -> Limits {
        Limits {
            callers: Mutex::default(),
            queue: Arc::new(Semaphore::new(queue)),
            patience,
        }
    }

    /// Takes a request's token out of its caller's bucket, which holds what a minute fills.
    fn take(&self, caller: &Caller, now: Instant) -> Result<Arc<Semaphore>, ApiError> {
        let most = f64::from(caller.requests_per_minute.max(1));
        // a panic elsewhere leaves the counts whole
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let used = callers.entry(caller.name.clone()).or_insert_with(|| Used {
            tokens: most,
            at: now,
            running: Arc::new(Semaphore::new(caller.max_concurrent.max(1) as usize)),
        });
        let passed = now.saturating_duration_since(used.at).as_secs_f64();
        used.tokens = (used.tokens + passed * most / 60.0).min(most);
        used.at = now;
        if used.tokens < 1.0 {
            let seconds = ((1.0 - used.tokens) * 60.0 / most).ceil() as u64;
            let message = format!("This key may ask {most} times a minute; again in {seconds} s");
            return Err(ApiError::rate(seconds, message));
        }
        used.tokens -= 1.0;
        Ok(Arc::clone(&used.running))
    }

    /// Waits until a request may run.
    ///
    /// # Errors
    /// Too many requests in a time, too many that wait, or one that has waited too long.
    pub async fn enter(&self, caller: &Caller) -> Result<Running, ApiError> {
        let running = self.take(caller, Instant::now())?;
        if let Ok(permit) = Arc::clone(&running).try_acquire_owned() {
            return Ok(Running(permit));
        }
        let full = |_| {
            ApiError::queue(
                "queue_full",
                "Too many requests wait for others of their keys",
            )
        };
        let _waiting = self.queue.try_acquire().map_err(full)?;
        match tokio::time::timeout(self.patience, running.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Running(permit)),
            _ => {
                let most = caller.max_concurrent;
                let message = format!("This key may have {most} requests at once, and has");
                Err(ApiError::queue("concurrency_limit_exceeded", message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller() -> Caller {
        Caller {
            name: "ann".to_owned(),
            budget: None,
            requests_per_minute: 6,
            max_concurrent: 1,
        }
    }

    #[test]
    fn a_bucket_holds_a_minute_and_says_when_there_is_more() {
        let limits = Limits::new(1, Duration::ZERO);
        let start = Instant::now();
        for _ in 0..6 {
            limits.take(&caller(), start).unwrap();
        }
        let refused = limits.take(&caller(), start).unwrap_err();
        assert_eq!(
            (refused.code, refused.retry_after),
            ("rate_limit_exceeded", Some(10))
        );
        let later = start + Duration::from_secs(10);
        limits.take(&caller(), later).unwrap();
        assert!(limits.take(&caller(), later).is_err());
        let other = Caller {
            name: "bob".to_owned(),
            ..caller()
        };
        limits.take(&other, start).unwrap();
    }

    #[tokio::test]
    async fn requests_wait_for_their_own_key_and_a_full_queue_says_so() {
        let limits = Limits::new(0, Duration::ZERO);
        let first = limits.enter(&caller()).await.unwrap();
        assert_eq!(
            limits.enter(&caller()).await.unwrap_err().code,
            "queue_full"
        );
        drop(first);
        let limits = Limits::new(1, Duration::ZERO);
        let first = limits.enter(&caller()).await.unwrap();
        let code = limits.enter(&caller()).await.unwrap_err().code;
        assert_eq!(code, "concurrency_limit_exceeded");
        drop(first);
        limits.enter(&caller()).await.unwrap();
    }
}
