//! The appeal levels refuse what is out of turn and what does not open, and judge what is left.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod appeal_common;

use std::collections::BTreeSet;

use appeal_common::operators::{Dice, KINDS, operator};
use appeal_common::players::*;
use appeal_common::recorded::{record, world};
use appeal_common::slot::SlotWorld;
use appeal_common::*;
use gavel_dispute::Refused;
use gavel_dispute::appeal::*;
use gavel_numerics::batch::State;
use gavel_numerics::{Op, Tensor};
use gavel_trace::*;

use AppealRole::{Accuser, Bystander, Defender};

/// Plays a game to the first phase of a kind that satisfies `what`.
fn until(world: &World, claimed: &Tensor, what: impl Fn(&AppealPhase) -> bool) -> AppealModel {
    let (liar, honest) = (world.case(claimed), world.case(&world.truth));
    let mut model = AppealModel::open(world.setup(None), 0);
    while !what(&model.view().phase) {
        let turn = model.view().turn().unwrap();
        let case = if turn == Defender { &liar } else { &honest };
        let sent = decide_appeal(model.view(), turn, Some(case), 1).unwrap();
        model.apply(turn, &sent, 1).unwrap();
    }
    model
}

#[test]
fn states_are_the_defenders_and_their_number_is_said_once() {
    let (world, claimed) = world();
    let liar = world.case(&claimed);
    let first = |p: &AppealPhase| matches!(p, AppealPhase::States { run } if run.batches.is_none());
    let later = |p: &AppealPhase| matches!(p, AppealPhase::States { run } if run.batches.is_some());
    for (mut model, stands) in [
        (until(&world, &claimed, first), None),
        (until(&world, &claimed, later), Some(())),
    ] {
        let given = decide_appeal(model.view(), Defender, Some(&liar), 1).unwrap();
        let AppealMove::RevealStates {
            end,
            batches,
            states,
        } = &given
        else {
            panic!()
        };
        let with = |end, batches, states: &[Digest]| AppealMove::RevealStates {
            end,
            batches,
            states: states.to_vec(),
        };
        for other in [Accuser, Bystander] {
            assert_eq!(model.apply(other, &given, 1), Err(Refused::NotYours));
        }
        let elsewhere = with(number(1), *batches, states);
        let found = model.apply(Defender, &elsewhere, 1);
        assert_eq!(found, Err(Refused::OtherClaim));
        for (count, states) in [
            (*batches, &states[1..]),
            (0, &[][..]),
            (MAX_BATCHES + 1, &[number(1); 31]),
        ] {
            let found = model.apply(Defender, &with(*end, count, states), 1);
            assert_eq!(found, Err(Refused::Range));
        }
        // as many states as that many batches have
        let more = vec![number(1); parts(batches + 1) as usize - 1];
        let found = model
            .clone()
            .apply(Defender, &with(*end, batches + 1, &more), 1);
        let expected = if stands.is_some() {
            Err(Refused::Range)
        } else {
            Ok(())
        };
        assert_eq!(found, expected);
        model.apply(Defender, &given, 1).unwrap();
    }
}

#[test]
fn a_batch_that_does_not_end_the_run_is_no_verdict_before_its_turn() {
    let (world, claimed) = world();
    let honest = world.case(&world.truth);
    let states = |p: &AppealPhase| matches!(p, AppealPhase::States { .. });
    let mut model = until(&world, &claimed, states);
    let AppealPhase::States { run } = model.view().phase else {
        panic!()
    };
    // the proof of the first batch, as if it were the disputed one
    let first = Run {
        batches: Some(1),
        ..run
    };
    let at = AppealView {
        phase: AppealPhase::Step { run: first },
        ..model.view().clone()
    };
    let step = decide_appeal(&at, Accuser, Some(&honest), 1).unwrap();
    for role in [Accuser, Defender, Bystander] {
        assert_eq!(model.apply(role, &step, 1), Err(Refused::Unfinished));
    }
}

#[test]
fn picks_are_the_accusers_and_from_what_is_shown() {
    let (world, claimed) = world();
    for (view, role, sent) in record(&world, &claimed) {
        if view.turn() != Some(Accuser) {
            continue;
        }
        let mut model = until(&world, &claimed, |phase| *phase == view.phase);
        for other in [Defender, Bystander] {
            assert_eq!(model.apply(other, &sent, 1), Err(Refused::NotYours));
        }
        let elsewhere = match sent.clone() {
            AppealMove::PickChunk { mut row, child } => {
                row.swap(0, 1);
                AppealMove::PickChunk { row, child }
            }
            AppealMove::PickElement { mut chunk, within } => {
                chunk[0] ^= 1;
                AppealMove::PickElement { chunk, within }
            }
            AppealMove::PickState { mut states, part } => {
                states.push(number(1));
                AppealMove::PickState { states, part }
            }
            other => panic!("{other:?}"),
        };
        let found = model.apply(role, &elsewhere, 1);
        assert_eq!(found, Err(Refused::OtherClaim));
        model.apply(role, &sent, 1).unwrap();
    }
}

/// No proof with anything changed is accepted, whichever operator it is about.
#[test]
fn a_spoiled_step_is_refused() {
    let mut spoiled = BTreeSet::new();
    for kind in KINDS {
        let (op, inputs) = operator(kind, u64::from(kind) * 31);
        let world = World::new(SMALL, &op, inputs, digest_of);
        if world.truth.is_empty() {
            continue;
        }
        let honest = world.case(&world.truth);
        let mut model = AppealModel::open(world.setup(None), 0);
        let mut last = Slanderer {
            world: &world,
            last: false,
            patience: 100,
            late: false,
            dice: Dice(1),
        };
        // a pick of padding ends it sooner
        while let Some(turn) = model.view().turn() {
            let view = model.view().clone();
            if turn == Accuser {
                let sent = last.moves(&view, Accuser, 1);
                assert!(
                    sent.iter()
                        .any(|sent| model.apply(Accuser, sent, 1).is_ok())
                );
                continue;
            }
            let sent = decide_appeal(&view, Defender, Some(&honest), 1);
            let sent = sent.unwrap_or_else(|| panic!("{op:?}: nothing in {:?}", view.phase));
            if let AppealMove::Step { end, proof } = &sent {
                for how in 0..SPOILS {
                    let (mut proof, end) = (proof.clone(), *end);
                    if spoil(&mut proof, how) {
                        let found = model.apply(Accuser, &AppealMove::Step { end, proof }, 1);
                        let refused = matches!(
                            found,
                            Err(Refused::Opening | Refused::Unshown | Refused::Range)
                        );
                        assert!(refused, "{op:?}, change {how}: {found:?}");
                        spoiled.insert(how);
                    }
                }
                let bystander = model.apply(Bystander, &sent, 1);
                assert_eq!(bystander, Ok(()), "it authenticates itself");
                break;
            }
            model.apply(Defender, &sent, 1).unwrap();
        }
        let cleared = AppealPhase::Ended(AppealOutcome::Cleared);
        assert_eq!(model.view().phase, cleared, "{op:?}");
    }
    assert_eq!(spoiled.len() as u32, SPOILS, "{spoiled:?}");
}

#[test]
fn a_slot_is_judged_by_what_it_copies() {
    for leaf_index in [0, 1, 3, 5] {
        for from in [From::Op, From::Live] {
            for right in [true, false] {
                let claimed = if right { number(42) } else { number(41) };
                let slot = SlotWorld::new(leaf_index, from, claimed);
                let case = slot.case();
                let mut model = AppealModel::open(slot.setup, 0);
                let view = model.view().clone();
                let sent = |role| propose_appeal(&view, role, Some(&case), 1);
                let (winner, loser, outcome) = match right {
                    true => (Defender, Accuser, AppealOutcome::Cleared),
                    false => (Accuser, Defender, AppealOutcome::Guilty),
                };
                assert_eq!(sent(loser), None);
                let sent = sent(winner).unwrap();
                let AppealMove::ResolveSlot { claimed, proof } = &sent else {
                    panic!()
                };
                let changes: [fn(&mut SlotProof); 8] = [
                    |p| p.digest = number(40),
                    |p| p.segment.entry.index += 1,
                    |p| p.segment.entry.live_count += 1,
                    |p| p.list_proof[0].0[0] ^= 1,
                    |p| p.at.source.index ^= 1,
                    |p| p.at.proof[0].0[0] ^= 1,
                    |p| p.at.source.kind = SourceKind::Weight,
                    |p| p.at.proof.push(Digest::ZERO),
                ];
                for (i, change) in changes.into_iter().enumerate() {
                    let (claimed, mut proof) = (*claimed, proof.clone());
                    change(&mut proof);
                    let found = model.apply(winner, &AppealMove::ResolveSlot { claimed, proof }, 1);
                    assert_eq!(found, Err(Refused::Opening), "change {i}");
                }
                if from == From::Live && leaf_index % 3 > 0 {
                    let (claimed, mut proof) = (*claimed, proof.clone());
                    proof.before = None;
                    let found = model.apply(winner, &AppealMove::ResolveSlot { claimed, proof }, 1);
                    assert_eq!(found, Err(Refused::Opening));
                }
                model.apply(winner, &sent, 1).unwrap();
                assert_eq!(model.view().phase, AppealPhase::Ended(outcome));
            }
        }
    }
    // no list names a weight; before a step a slot is its input's; a slot is one that the segment before has
    for (leaf_index, from) in [
        (1, From::Weight),
        (0, From::Misplaced),
        (3, From::Misplaced),
        (1, From::Beyond),
    ] {
        let slot = SlotWorld::new(leaf_index, from, number(42));
        let mut model = AppealModel::open(slot.setup, 0);
        let sent = AppealMove::ResolveSlot {
            claimed: number(42),
            proof: Box::new(slot.proof.clone()),
        };
        let found = model.apply(Defender, &sent, 1);
        assert_eq!(found, Err(Refused::Opening), "{from:?}");
        let decided = decide_appeal(model.view(), Defender, Some(&slot.case()), 1);
        assert_eq!(decided, None, "{from:?}");
    }
}

/// The step of an operator whose one batch reads extents and no element.
#[test]
fn an_extent_that_is_read_is_shown() {
    for from in [From::Op, From::Later, From::SecondOutput] {
        let tensor = |dims: [u64; 2]| (Tensor::f32(dims, vec![]).unwrap(), from);
        let inputs = vec![tensor([2, 0]), tensor([0, 3])];
        let world = World::new(SMALL, &Op::MatMul, inputs, digest_of);
        let honest = world.case(&world.truth);
        let mut model = AppealModel::open(world.setup(None), 0);
        let opened = decide_appeal(model.view(), Defender, Some(&honest), 1).unwrap();
        model.apply(Defender, &opened, 1).unwrap();
        let chunk = world.truth.le_bytes().into_owned();
        let pick = AppealMove::PickElement { chunk, within: 1 };
        model.apply(Accuser, &pick, 1).unwrap();
        let step = propose_appeal(model.view(), Defender, Some(&honest), 1).unwrap();
        let AppealMove::Step { end, proof } = &step else {
            panic!()
        };
        assert_eq!((proof.operands.len(), proof.chunks.len()), (2, 0));
        let mut less = proof.clone();
        less.operands.pop();
        let less = AppealMove::Step {
            end: *end,
            proof: less,
        };
        if from != From::Op {
            // an operator that reads what comes after it, or what nothing gives, has no case, whatever its model says
            assert_eq!(model.apply(Defender, &step, 1), Err(Refused::Opening));
            let decided = decide_appeal(model.view(), Defender, Some(&honest), 1);
            assert_eq!(decided, None);
        } else {
            assert_eq!(model.apply(Defender, &less, 1), Err(Refused::Unshown));
            model.apply(Defender, &step, 1).unwrap();
        }
    }
}

/// A slot that was resolved is not played again, whatever the ruling was.
#[test]
fn a_slot_is_not_played_twice() {
    let slot = SlotWorld::new(1, From::Op, number(42));
    let setup = AppealSetup {
        guilty: Some(true),
        ..slot.setup
    };
    let mut model = AppealModel::open(setup, 0);
    let sent = decide_appeal(model.view(), Defender, Some(&slot.case()), 1).unwrap();
    model.apply(Defender, &sent, 1).unwrap();
    let ended = AppealPhase::Ended(AppealOutcome::Cleared);
    assert_eq!((&model.view().phase, model.view().replay), (&ended, false));
    // but one that ran out of time is
    let mut model = AppealModel::open(
        AppealSetup {
            guilty: Some(false),
            ..setup
        },
        0,
    );
    model
        .apply(Accuser, &AppealMove::ClaimTimeout, 2000)
        .unwrap();
    assert_eq!(model.referee_plays(), Some(Defender));
    let view = model.view();
    assert_eq!(
        (&view.phase, view.deadline),
        (&AppealPhase::Slot, 2000 + u64::from(BUDGET))
    );
}

#[test]
fn an_empty_output_is_judged_when_it_is_opened() {
    let inputs = || {
        let tensor = |dims: &[u64]| Tensor::f32(dims, vec![]).unwrap();
        vec![(tensor(&[0, 4]), From::Op), (tensor(&[4, 0]), From::Op)]
    };
    let world = World::new(SMALL, &Op::MatMul, inputs(), digest_of);
    let honest = world.case(&world.truth);
    let mut model = AppealModel::open(world.setup(None), 0);
    let sent = decide_appeal(model.view(), Defender, Some(&honest), 1).unwrap();
    model.apply(Accuser, &sent, 1).unwrap();
    assert_eq!(
        model.view().phase,
        AppealPhase::Ended(AppealOutcome::Cleared)
    );
    // something where there is nothing
    let header = TensorHeader::new(1, vec![0, 0]).unwrap();
    let world = World::new(SMALL, &Op::MatMul, inputs(), |_| header.digest(&number(1)));
    let AppealMove::OpenTensor(mut open) = sent else {
        panic!()
    };
    (open.claimed, open.chunk_root) = (world.claimed, number(1));
    let mut model = AppealModel::open(world.setup(None), 0);
    model
        .apply(Defender, &AppealMove::OpenTensor(open), 1)
        .unwrap();
    assert_eq!(
        model.view().phase,
        AppealPhase::Ended(AppealOutcome::Guilty)
    );
}

/// A machine that is said to have halted long ago halts when it halts: whoever sees it does not wait for the last state.
#[test]
fn a_run_that_is_said_to_be_long_ends_where_it_ends() {
    let (op, inputs) = operator(8, 4);
    let mut lie = None;
    let world = World::new(SMALL, &op, inputs, |truth| {
        lie = Lie::make(0, truth, &mut Dice(9));
        lie.as_ref().unwrap().digest()
    });
    let honest = world.case(&world.truth);
    let lie = lie.unwrap();
    let claimed = Tensor::from_le_bytes(world.truth.ty().clone(), &lie.bytes).unwrap();
    let mut model = AppealModel::open(world.setup(None), 0);
    let liar = world.case(&claimed);
    for _ in 0..2 {
        let view = model.view().clone();
        let turn = view.turn().unwrap();
        let case = if turn == Defender { &liar } else { &honest };
        let sent = decide_appeal(&view, turn, Some(case), 1).unwrap();
        model.apply(turn, &sent, 1).unwrap();
    }
    let AppealPhase::States { run } = model.view().phase else {
        panic!()
    };
    let Case::Operator(case) = &honest else {
        panic!()
    };
    assert_eq!(Execution::new(case, run.element).unwrap().batches(), 1);
    // a right accuser executes the only batch; a wrong defender has nothing to gain by it, and says what is so
    let defended = propose_appeal(model.view(), Defender, Some(&liar), 1);
    let one = AppealMove::RevealStates {
        end: run.end,
        batches: 1,
        states: vec![],
    };
    assert_eq!(defended.as_ref(), Some(&one));
    let mut honestly = model.clone();
    honestly.apply(Defender, &one, 1).unwrap();
    let next = honestly.view();
    assert!(
        matches!(next.phase, AppealPhase::Step { .. }),
        "no pick from one part"
    );
    assert_eq!(propose_appeal(next, Defender, Some(&liar), 1), None);
    let step = decide_appeal(model.view(), Accuser, Some(&honest), 1).unwrap();
    assert!(matches!(step, AppealMove::Step { .. }));
    let states = vec![state_hash(&State::Halted(run.value)); 31];
    let many = AppealMove::RevealStates {
        end: run.end,
        batches: MAX_BATCHES,
        states,
    };
    model.apply(Defender, &many, 1).unwrap();
    let mut rounds = 0;
    while model.view().turn().is_some() {
        let view = model.view().clone();
        let sent = decide_appeal(&view, Accuser, Some(&honest), 1).unwrap();
        rounds += u32::from(matches!(sent, AppealMove::PickState { .. }));
        model.apply(Accuser, &sent, 1).unwrap();
    }
    assert_eq!(rounds, 1, "the first batch of what is picked ends it");
    assert_eq!(
        model.view().phase,
        AppealPhase::Ended(AppealOutcome::Guilty)
    );
}

/// The longest game: the largest tensor, the longest run.
#[test]
fn a_game_has_at_most_sixteen_rounds() {
    let largest = TensorHeader::new(2, vec![gavel_numerics::MAX_ELEMENTS]).unwrap();
    let rows = u32::from(largest.chunk_height().unwrap().div_ceil(ROW_LEVELS));
    let (mut batches, mut states) = (MAX_BATCHES, 0);
    while batches > 1 {
        batches = batches.div_ceil(parts(batches));
        states += 1;
    }
    assert_eq!((rows, 1, states), (7, 1, 7));
    assert!(rows + 1 + states <= 16);
}
