//! Disputes that are appealed to the end, from the ruling on: what came before is the life of a ruling that stands.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gavel_model::Model;
use gavel_node::board::{DisputeEntry, DisputeState};
use gavel_node::faults::{FaultyExecutor, OneUlp};
use gavel_node::{Address, Board, Executor};
use gavel_numerics::Tensor;

use crate::common;
use crate::meter::Operation;
use crate::process::{Seat, Story};
use crate::{Ended, Life, SEATS, Start, every_point, undisturbed};

/// A convolution whose elements are sums of 144 products: more steps than the contract executes at once.
const OPERATOR: usize = 4;
/// Moves of either side below the operator, at least.
const MOVES: usize = 3;

/// The last element of that operator's output that leaves a mark on the trace when it is off by one unit.
pub(crate) fn falsified(model: &Model, inputs: &[Tensor]) -> OneUlp {
    let (honest, id) = common::with_model(model.clone());
    let root = |executor: &dyn Executor| executor.run(&id, inputs).unwrap().trace.trace_root();
    let right = root(honest.as_ref());
    let elements = model.graph().nodes[OPERATOR].output.elements().unwrap();
    let node = OPERATOR;
    let mut ulps = (0..elements).rev().map(|element| OneUlp { node, element });
    ulps.find(|ulp| root(&FaultyExecutor::one_ulp_at(Arc::clone(&honest), *ulp)) != right)
        .unwrap()
}

/// What is true of disputes at their end; the referees that were overturned.
pub(crate) fn judge(board: &Board, story: Story) -> Vec<Address> {
    if story == Story::Ruled {
        return Vec::new();
    }
    let is_upheld = |entry: &DisputeEntry| entry.dispute.state == DisputeState::Upheld;
    let (upheld, void): (Vec<_>, Vec<_>) = board.disputes.values().partition(|e| is_upheld(e));
    assert!(!upheld.is_empty());
    let mut void = void.into_iter();
    assert!(void.all(|entry| entry.dispute.state == DisputeState::Void));
    // where everybody takes longer, an audit may find the same and overtake the appeal
    if let Some(entry) = board.disputes.get(&1).filter(|entry| is_upheld(entry)) {
        assert_eq!(entry.dispute.ruled_guilty, story == Story::Confirmed);
        // by arithmetic, not because somebody was late
        assert!(entry.appeal.decided.is_some());
    }
    // all of them lie in that story: whoever ruled for a cheat that is convicted, or is out for it though another dispute
    // convicted the cheat first
    let ruled = board.disputes.values().map(|entry| &entry.dispute);
    let lied = ruled.filter(|d| story == Story::Overturned && d.ruled_at > 0 && !d.ruled_guilty);
    let out = lied.filter(|d| d.state == DisputeState::Upheld || board.is_tombstoned(&d.referee));
    out.map(|dispute| dispute.referee).collect()
}

/// The network at the moment at which the referee has ruled, with nobody running.
fn at_the_ruling(story: Story, later: u64) -> Start {
    let start = Start::new(story);
    start.chain.advance_to(start.chain.now() + later).unwrap();
    let mut life = Life::new(&start, None, false);
    life.play_until(|life| {
        let mut disputes = life.board().disputes.values();
        disputes.any(|entry| entry.dispute.state == DisputeState::Ruled)
    });
    let ground = life.leaves();
    let posted = *ground.posted.lock().unwrap();
    Start {
        chain: ground.chain.fork(),
        yard: ground.yard.fork(),
        files: ground.folder,
        posted,
        ..start
    }
}

fn sent(done: &[Operation]) -> usize {
    done.iter().filter(|done| done.what == "sends").count()
}

/// What the process in a seat did.
fn of<'a>(ended: &'a Ended, name: &str) -> &'a [Operation] {
    let seat = SEATS.iter().position(|seat: &Seat| seat.name == name);
    &ended.operations[seat.unwrap()]
}

fn both_ways(story: Story) {
    // in one of these rounds the beacon draws no audit while they play
    let mut lives = (0..8).map(|round| {
        let start = at_the_ruling(story, round * 60);
        let base = undisturbed(&start);
        (start, base)
    });
    let (start, base) = lives.find(|(_, base)| base.disputes == 1).unwrap();
    for side in ["cheat", "watcher"] {
        let moves = sent(of(&base, side));
        assert!(moves >= MOVES, "{side} made {moves} moves");
    }
    every_point(&start, &base, false, |ended| {
        assert_eq!(ended.purses, base.purses);
        assert_eq!((ended.vault, ended.supply), (base.vault, base.supply));
        assert_eq!(ended.head, base.head);
    });
    let to_the_end = AtomicUsize::new(0);
    every_point(&start, &base, true, |ended| {
        to_the_end.fetch_add(usize::from(ended.disputes == 1), Ordering::Relaxed);
        assert_eq!(ended.supply, base.supply);
        assert_eq!(ended.held(), base.held());
    });
    assert!(to_the_end.into_inner() > 0, "an audit overtook all of them");
}

#[test]
fn an_appeal_that_overturns_a_lying_referee_survives_the_end_of_any_process() {
    both_ways(Story::Overturned);
}

#[test]
fn an_appeal_that_confirms_a_true_ruling_survives_the_end_of_any_process() {
    both_ways(Story::Confirmed);
}
