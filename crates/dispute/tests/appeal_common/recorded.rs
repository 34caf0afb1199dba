//! One game that reaches every phase.

use gavel_dispute::Refused;
use gavel_dispute::appeal::*;
use gavel_numerics::{Op, Tensor};

use super::operators::Dice;
use super::{From, SMALL, World, digest_of};

use AppealRole::Accuser;

/// A MatMul with an output of 40 chunks and 40 batches an element, one element of which is wrong.
pub fn world() -> (World, Tensor) {
    let d = &mut Dice(3);
    let inputs = vec![
        (d.tame_tensor(&[16, 640]), From::Live),
        (d.tame_tensor(&[640, 640]), From::Weight),
    ];
    let mut claimed = None;
    let world = World::new(SMALL, &Op::MatMul, inputs, |truth| {
        let mut bytes = truth.le_bytes().into_owned();
        bytes[4 * 5000] ^= 1;
        let lie = Tensor::from_le_bytes(truth.ty().clone(), &bytes).unwrap();
        digest_of(claimed.insert(lie))
    });
    (world, claimed.unwrap())
}

/// One game in every phase, with the move that was made in each.
pub fn record(world: &World, claimed: &Tensor) -> Vec<(AppealView, AppealRole, AppealMove)> {
    let (liar, honest) = (world.case(claimed), world.case(&world.truth));
    let mut model = AppealModel::open(world.setup(None), 0);
    let mut at = Vec::new();
    while let Some(turn) = model.view().turn() {
        let view = model.view().clone();
        let (role, sent) = match decide_appeal(&view, Accuser, Some(&honest), 1) {
            Some(sent) => (Accuser, sent),
            None => (turn, decide_appeal(&view, turn, Some(&liar), 1).unwrap()),
        };
        let (mut in_time, mut late) = (model.clone(), model.clone());
        let found = late.apply(role, &sent, view.deadline + 1);
        assert_eq!((found, late.view()), (Err(Refused::TooLate), &view));
        assert_eq!(in_time.apply(role, &sent, view.deadline), Ok(()));
        model.apply(role, &sent, 1).unwrap();
        at.push((view, role, sent));
    }
    at
}
