//! The same market on the contracts and in the abstract.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use gavel_economics::agents::{self, Agent, Kind};
use gavel_economics::market::{Market, Traps};
use gavel_economics::{Assumptions, contracts, solve};

#[tokio::test]
async fn a_market_on_the_contracts_keeps_the_ledgers_books() {
    let assumed = Assumptions::default();
    let solution = solve(&assumed).unwrap();
    let all = agents::all();
    let rest = 0.5 / (all.len() - 1) as f64;
    let kind = |(i, agent): (usize, Arc<dyn Agent>)| Kind {
        agent,
        share: if i == 0 { 0.5 } else { rest },
    };
    let market = Market {
        providers: 40,
        tasks: 300,
        // every trap that is found is shared by three
        traps: Traps {
            share_ppm: 100_000,
            friends: 2,
        },
        ..Market::new(
            &assumed,
            &solution,
            all.into_iter().enumerate().map(kind).collect(),
        )
    };
    // every balance is compared after every round
    let played = contracts::play(&market, |_| {}).await.unwrap();
    assert!(played.outcome.settled > 100, "{played:?}");
    assert!(played.outcome.disputes > 10, "{played:?}");
    assert!(played.outcome.traps.found > 5, "{played:?}");
    assert!(played.calls > 2_000);
    println!(
        "{} calls, {} rounds, {:?}",
        played.calls, played.rounds, played.outcome.traps
    );
}
