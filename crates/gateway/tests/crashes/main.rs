//! `kill -9` of a gateway at every point: whole lives of requests, each played once undisturbed and then once more for each
//! thing that the gateway does and that outlives it, with its end before that, after it, and in the midst of a line.
//!
//! What outlives a gateway is counted where it leaves the process: lines of its journal and their syncs, each step of
//! writing that anew, writes to the database of its key, transactions, blobs, and answers that reach the client. All else is
//! read, or is memory that the end takes. `Within` stands for what a power cut makes of a line that was not synced.
//!
//! The client asks again with its `Idempotency-Key` whenever it got no answer. At the end every task is there once, has one
//! ticket, and is paid for once; what the client was told is the same, to the byte but for the time of day.
#![allow(clippy::unwrap_used)]

mod gate;
mod life;
#[path = "../../../node/tests/crashes/meter.rs"]
mod meter;
#[path = "../../../node/tests/common/mod.rs"]
mod node_common;

pub(crate) use node_common::network;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use gate::Said;
use life::{Ended, Kind, Life, Start};
use meter::{Cut, End};
use serde_json::Value;

const KINDS: [Kind; 5] = [
    Kind::Served,
    Kind::Expired,
    Kind::Cancelled,
    Kind::Reversed,
    Kind::Forgotten,
];

/// What an operation is, whatever it is about.
fn verb(what: &str) -> &str {
    let about = ["/", " answers"];
    let end = about.iter().filter_map(|mark| what.find(mark)).min();
    &what[..end.unwrap_or(what.len())]
}

/// All points at which the gateway can end. Before an operation it leaves what it leaves after the one before, where both
/// are of one turn: nobody else acts in between.
fn points(base: &Ended) -> Vec<End> {
    let mut points = Vec::new();
    let mut before = None;
    for (operation, this) in base.operations.iter().enumerate() {
        let is_first = before.replace(this.turn) != Some(this.turn);
        let mut cuts = is_first
            .then_some(Cut::Before)
            .into_iter()
            .collect::<Vec<_>>();
        cuts.extend(this.what.starts_with("writes ").then_some(Cut::Within));
        cuts.push(Cut::After);
        points.extend(cuts.into_iter().map(|cut| End { operation, cut }));
    }
    points
}

/// What an answer comes to, whenever it was asked for and whoever gave it.
fn essence(said: &Said) -> (u16, Value, Value) {
    let value: Value = serde_json::from_str(&said.text).unwrap_or_default();
    let (choices, code) = (value["choices"].clone(), value["error"]["code"].clone());
    (said.status, choices, code)
}

fn lived(start: &Start, kind: Kind, end: Option<End>, late: bool) -> Ended {
    let mut life = Life::new(start, kind, end, late);
    life.play();
    life.ended()
}

/// Plays each life for each point, on all processors, and has each end judged. Says which ones failed.
fn every_point(late: bool, judge: impl Fn(&Ended, &Ended) + Sync) {
    let start = Start::new();
    let (mut lives, mut verbs) = (Vec::new(), BTreeSet::new());
    for kind in KINDS {
        let base = lived(&start, kind, None, false);
        judge(&base, &base);
        let refused = base.told.iter().filter(|said| said.status == 429);
        let wanted = match kind {
            Kind::Served => 1,
            Kind::Forgotten => 2,
            _ => 0,
        };
        assert_eq!(refused.count(), wanted, "{kind:?}: {:?}", base.told);
        let points = points(&base);
        assert!(
            points.len() > base.operations.len(),
            "{kind:?}: {}",
            points.len()
        );
        println!(
            "{kind:?}: {} operations, {} points",
            base.operations.len(),
            points.len()
        );
        verbs.extend(
            base.operations
                .iter()
                .map(|done| verb(&done.what).to_owned()),
        );
        lives.push((kind, base, points));
    }
    let wanted = [
        "answers",
        "cuts the journal",
        "deletes intents",
        "makes a new journal",
        "puts intents",
        "renames the new journal",
        "sends",
        "stores inputs",
        "syncs the folder",
        "syncs the journal",
        "syncs the new journal",
        "writes a line",
        "writes the new journal",
    ];
    for verb in wanted {
        assert!(verbs.contains(verb), "nothing {verb}: {verbs:?}");
    }
    let all: Vec<_> = lives
        .iter()
        .flat_map(|(kind, base, points)| points.iter().map(move |end| (*kind, base, *end)))
        .collect();
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((kind, base, end)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            let lived = catch_unwind(AssertUnwindSafe(|| {
                judge(base, &lived(&start, *kind, Some(*end), late));
            }));
            if let Err(why) = lived {
                let why = why.downcast_ref::<String>().cloned();
                failed.lock().unwrap().push(format!(
                    "{kind:?} ended {:?} operation {}, which {}: {}",
                    end.cut,
                    end.operation,
                    base.operations[end.operation].what,
                    why.unwrap_or_default(),
                ));
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().unwrap();
    println!("{} points, {} failed", all.len(), failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn a_gateway_that_ends_anywhere_and_starts_again_answers_the_same_and_pays_once() {
    every_point(false, |base, ended| {
        assert_eq!(ended.told, base.told);
        assert_eq!(ended.spent, base.spent);
        assert_eq!(ended.purses, base.purses);
        assert_eq!((ended.held, ended.supply), (base.held, base.supply));
        assert_eq!(ended.head, base.head);
    });
}

#[test]
fn nor_is_anything_paid_twice_where_it_starts_again_late() {
    every_point(true, |base, ended| {
        assert_eq!((ended.held, ended.supply), (base.held, base.supply));
        assert_eq!(ended.told.len(), base.told.len());
        let last = |ended: &Ended| ended.told.last().map(essence);
        assert_eq!(last(ended), last(base));
    });
}
