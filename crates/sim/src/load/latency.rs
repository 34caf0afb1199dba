//! How long actions took.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

/// Times of one action, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Latencies {
    /// The action.
    pub action: &'static str,
    /// How often.
    pub count: usize,
    /// Half were as fast.
    pub p50: f64,
    /// Nine in ten were as fast.
    pub p90: f64,
    /// Nineteen in twenty were as fast.
    pub p95: f64,
    /// Ninety-nine in a hundred were as fast.
    pub p99: f64,
    /// The slowest.
    pub max: f64,
}

/// All times, in microseconds by action.
#[derive(Debug, Default)]
pub(super) struct Samples(Mutex<BTreeMap<&'static str, Vec<u32>>>);

impl Samples {
    pub(super) fn add(&self, action: &'static str, took: Duration) {
        let micros = took.as_micros().try_into().unwrap_or(u32::MAX);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(action).or_default().push(micros);
    }

    pub(super) fn latencies(self) -> Vec<Latencies> {
        let all = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        all.into_iter()
            .map(|(action, times)| of(action, times))
            .collect()
    }
}

fn of(action: &'static str, mut times: Vec<u32>) -> Latencies {
    times.sort_unstable();
    // the least time that so many of a thousand do not exceed
    let at = |permille: usize| {
        let rank = (times.len() * permille).div_ceil(1000).max(1) - 1;
        times
            .get(rank)
            .map_or(0.0, |micros| f64::from(*micros) / 1000.0)
    };
    Latencies {
        action,
        count: times.len(),
        p50: at(500),
        p90: at(900),
        p95: at(950),
        p99: at(990),
        max: at(1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_seen() {
        let all = of("post", (1..=200).rev().map(|ms| ms * 1000).collect());
        assert_eq!(
            (all.p50, all.p90, all.p95, all.p99, all.max),
            (100.0, 180.0, 190.0, 198.0, 200.0)
        );
        let one = of("post", vec![7_000]);
        assert_eq!((one.p50, one.p99, one.max), (7.0, 7.0, 7.0));
        assert_eq!(of("post", Vec::new()).max, 0.0);
    }
}
