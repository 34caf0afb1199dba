//! Not a unit of money comes from nowhere or goes there.
#![allow(clippy::unwrap_used)]

use std::num::NonZero;
use std::time::Instant;

use gavel_economics::contracts::conserve;

#[tokio::test]
async fn money_is_conserved_over_some_thousand_calls() {
    let played = conserve(4_000, 1, None, |_| {}).await.unwrap();
    let seen = played.seen;
    let done: u64 = seen.done.values().sum();
    let refused: u64 = seen.refused.values().sum();
    assert_eq!((played.calls, done + refused), (4_000, 4_000));
    assert!(done > 1_500 && refused > 400, "{seen:?}");
    for what in [
        "Finalize",
        "Timeout",
        "SealTrap",
        "RevealTrap",
        "CollectTrap",
    ] {
        assert!(seen.done.contains_key(what), "{what}: {seen:?}");
    }
    let alone = conserve(500, 1, NonZero::new(1), |_| {}).await.unwrap();
    assert_eq!(
        alone,
        conserve(500, 1, NonZero::new(2), |_| {}).await.unwrap()
    );
}

#[tokio::test]
#[ignore = "some minutes, in release: cargo test --release -p gavel-economics --test conserve -- --ignored --nocapture"]
async fn money_is_conserved_over_a_million_calls() {
    let started = Instant::now();
    let told = std::sync::atomic::AtomicU64::new(0);
    let each = |calls: u64| {
        let part = calls / 50_000;
        if told.fetch_max(part, std::sync::atomic::Ordering::Relaxed) < part {
            println!("{calls} calls, {:.0} s", started.elapsed().as_secs_f64());
        }
    };
    let played = conserve(1_000_000, 7, None, each).await.unwrap();
    println!(
        "{} calls in {:.0} s\n{:#?}",
        played.calls,
        started.elapsed().as_secs_f64(),
        played.seen
    );
    assert_eq!(played.calls, 1_000_000);
}
