//! Every rule of the appeal refuses the move that it was written against.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod appeal_common;

use std::collections::BTreeSet;

use appeal_common::players::*;
use appeal_common::recorded::{record, world};
use appeal_common::slot::SlotWorld;
use appeal_common::*;
use gavel_dispute::appeal::*;
use gavel_trace::*;

use AppealRole::{Accuser, Bystander, Defender};

#[test]
fn each_rule_has_a_move_that_it_stops() {
    let (world, claimed) = world();
    let (liar, honest) = (world.case(&claimed), world.case(&world.truth));
    let games = record(&world, &claimed);
    let mut seen = BTreeSet::new();
    let mut expect =
        |id: &'static str, view: &AppealView, role, proposed: &AppealMove, case: &Case, now| {
            let found = broken_appeal_rules(&AppealSituation {
                view,
                role,
                case: Some(case),
                proposed,
                now,
            });
            let found: BTreeSet<_> = found.into_iter().map(|rule| rule.id).collect();
            assert!(
                found.contains(id),
                "{id} let it pass: {proposed:?}; broken: {found:?}"
            );
            seen.insert(id);
        };
    let when = |what: fn(&AppealPhase) -> bool| {
        let found = games.iter().find(|(view, ..)| what(&view.phase)).unwrap();
        (found.0.clone(), found.2.clone())
    };
    let late = u64::from(BUDGET) + 2;

    let (tensor, opened) = when(|p| *p == AppealPhase::Tensor);
    expect("in-turn", &tensor, Accuser, &opened, &liar, 1);
    expect("in-time", &tensor, Defender, &opened, &liar, late);
    let claim = AppealMove::ClaimTimeout;
    expect("timeout-is-late", &tensor, Accuser, &claim, &honest, 1);
    expect("timeout-is-late", &tensor, Defender, &claim, &honest, late);
    let AppealMove::OpenTensor(open) = &opened else {
        panic!()
    };
    let changes: [fn(&mut OpenTensor); 5] = [
        |o| o.node.dims.push(1),
        |o| o.node.attributes.push(1),
        |o| o.node_proof[0].0[0] ^= 1,
        |o| o.chunk_root.0[0] ^= 1,
        |o| o.row.swap(0, 1),
    ];
    for change in changes {
        let mut open = open.clone();
        change(&mut open);
        let open = AppealMove::OpenTensor(open);
        expect("opening-holds", &tensor, Defender, &open, &liar, 1);
    }
    let mut other = open.clone();
    other.claimed = number(1);
    let other = AppealMove::OpenTensor(other);
    expect("answers-the-claim", &tensor, Defender, &other, &liar, 1);

    let (row, revealed) = when(|p| matches!(p, AppealPhase::Row { .. }));
    let AppealMove::RevealRow { node, row: digests } = &revealed else {
        panic!()
    };
    let short = AppealMove::RevealRow {
        node: *node,
        row: digests[1..].to_vec(),
    };
    expect("opening-holds", &row, Defender, &short, &liar, 1);
    let other = AppealMove::RevealRow {
        node: number(1),
        row: digests.clone(),
    };
    expect("answers-the-claim", &row, Defender, &other, &liar, 1);

    let (pick, picked) = when(|p| matches!(p, AppealPhase::PickChunk { .. }));
    let AppealMove::PickChunk {
        row: digests,
        child,
    } = &picked
    else {
        panic!()
    };
    let at = |child| AppealMove::PickChunk {
        row: digests.clone(),
        child,
    };
    expect(
        "never-an-equal-pick",
        &pick,
        Accuser,
        &at(child + 1),
        &honest,
        1,
    );
    expect("leftmost-only", &pick, Accuser, &at(child + 1), &honest, 1);
    expect("answers-the-claim", &pick, Accuser, &at(16), &honest, 1);
    expect("in-turn", &pick, Defender, &picked, &honest, 1);
    expect("in-turn", &pick, Bystander, &picked, &honest, 1);

    let (chunk_view, shown) = when(|p| matches!(p, AppealPhase::Chunk { .. }));
    let AppealMove::RevealChunk { node, chunk: bytes } = &shown else {
        panic!()
    };
    let other = AppealMove::RevealChunk {
        node: *node,
        chunk: bytes[1..].to_vec(),
    };
    expect("opening-holds", &chunk_view, Defender, &other, &liar, 1);

    let (pick, picked) = when(|p| matches!(p, AppealPhase::PickElement { .. }));
    let AppealMove::PickElement { chunk, within } = &picked else {
        panic!()
    };
    let next = AppealMove::PickElement {
        chunk: chunk.clone(),
        within: within + 1,
    };
    expect("never-an-equal-pick", &pick, Accuser, &next, &honest, 1);
    let other = AppealMove::PickElement {
        chunk: chunk[4..].to_vec(),
        within: *within,
    };
    expect("answers-the-claim", &pick, Accuser, &other, &honest, 1);
    // Two elements are wrong: the second is not the first.
    let mut two = chunk.clone();
    let first = usize::from(*within);
    two[4 * first + 8] ^= 1;
    let mut both = pick.clone();
    both.phase = match both.phase {
        AppealPhase::PickElement { index, .. } => AppealPhase::PickElement {
            index,
            chunk: two.clone(),
        },
        other => other,
    };
    let second = AppealMove::PickElement {
        chunk: two,
        within: *within + 2,
    };
    expect("leftmost-only", &both, Accuser, &second, &honest, 1);

    let (states, given) = when(|p| matches!(p, AppealPhase::States { .. }));
    let AppealMove::RevealStates {
        end,
        batches,
        states: digests,
    } = &given
    else {
        panic!()
    };
    let reveal = |batches, states: &[Digest]| AppealMove::RevealStates {
        end: *end,
        batches,
        states: states.to_vec(),
    };
    expect("in-turn", &states, Accuser, &given, &honest, 1);
    for wrong in [batches - 1, batches + 1] {
        let reveal = reveal(wrong, digests);
        expect(
            "batches-are-counted",
            &states,
            Defender,
            &reveal,
            &honest,
            1,
        );
    }
    let mut wrong = digests.clone();
    wrong[5] = number(1);
    let wrong = reveal(*batches, &wrong);
    expect(
        "states-are-the-programs",
        &states,
        Defender,
        &wrong,
        &honest,
        1,
    );
    let other = AppealMove::RevealStates {
        end: number(1),
        batches: *batches,
        states: digests.clone(),
    };
    expect("answers-the-claim", &states, Defender, &other, &honest, 1);

    let (pick, picked) = when(|p| matches!(p, AppealPhase::PickState { .. }));
    let AppealMove::PickState {
        states: digests,
        part,
    } = &picked
    else {
        panic!()
    };
    let at = |part| AppealMove::PickState {
        states: digests.clone(),
        part,
    };
    expect(
        "never-an-equal-pick",
        &pick,
        Accuser,
        &at(part - 1),
        &honest,
        1,
    );
    expect(
        "answers-the-claim",
        &pick,
        Accuser,
        &at(part + 1),
        &honest,
        1,
    );

    let (step, executed) = when(|p| matches!(p, AppealPhase::Step { .. }));
    expect(
        "never-for-the-other-side",
        &step,
        Defender,
        &executed,
        &liar,
        1,
    );
    expect("in-turn", &pick, Accuser, &executed, &honest, 1);
    // A batch in the middle of the run does not end the machine.
    let early = AppealView {
        phase: states.phase.clone(),
        ..step.clone()
    };
    expect(
        "never-for-the-other-side",
        &early,
        Accuser,
        &executed,
        &honest,
        1,
    );
    let AppealMove::Step { end, proof } = &executed else {
        panic!()
    };
    let mut spoiled = 0;
    for how in 0..SPOILS {
        let mut proof = proof.clone();
        if spoil(&mut proof, how) {
            spoiled += 1;
            let step_move = AppealMove::Step { end: *end, proof };
            expect("shown-opens", &step, Accuser, &step_move, &honest, 1);
        }
    }
    assert!(spoiled >= 19);

    let slot = SlotWorld::new(1, From::Live, number(41));
    let model = AppealModel::open(slot.setup, 0);
    let resolve = |proof: SlotProof| AppealMove::ResolveSlot {
        claimed: number(41),
        proof: Box::new(proof),
    };
    let (view, case) = (model.view(), slot.case());
    expect(
        "never-for-the-other-side",
        view,
        Defender,
        &resolve(slot.proof.clone()),
        &case,
        1,
    );
    let mut bent = slot.proof.clone();
    bent.at.slot = 3;
    expect("shown-opens", view, Accuser, &resolve(bent), &case, 1);

    // a defender that does not have the claimed tensor opens nothing
    for view in [&tensor, &row, &chunk_view] {
        let sent = decide_appeal(view, Defender, Some(&honest), 1);
        assert_eq!(sent, None, "{:?}", view.phase);
    }

    let mut over = tensor.clone();
    over.phase = AppealPhase::Ended(AppealOutcome::Guilty);
    for (_, role, sent) in &games {
        expect("not-after-the-end", &over, *role, sent, &honest, 1);
    }

    let all: BTreeSet<_> = APPEAL_RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(all.len(), APPEAL_RULES.len(), "two rules share a name");
    assert_eq!(seen, all, "rules without a test");
}

#[test]
fn nobody_moves_without_a_case() {
    let (world, claimed) = world();
    for (view, ..) in record(&world, &claimed) {
        for role in [Defender, Accuser, Bystander] {
            assert_eq!(decide_appeal(&view, role, None, 1), None);
        }
        let case = world.case(&world.truth);
        assert_eq!(propose_appeal(&view, Bystander, Some(&case), 1), None);
        // a slot's case says nothing of an operator
        let slot = SlotWorld::new(1, From::Op, number(1)).case();
        assert_eq!(decide_appeal(&view, Accuser, Some(&slot), 1), None);
    }
}
