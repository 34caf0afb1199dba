//! An appeal in words names the instruction that it comes down to.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod appeal_common;

use appeal_common::*;
use gavel_dispute::appeal::*;
use gavel_numerics::program::Opcode;
use gavel_numerics::{Op, Tensor};

fn case_of(world: &World) -> OperatorCase {
    match world.case(&world.truth) {
        Case::Operator(case) => *case,
        Case::Slot(_) => unreachable!(),
    }
}

/// Where a tap's fma is, by hand.
#[test]
fn a_sum_is_explained_by_its_last_tap() {
    let k = 600;
    let a: Vec<f32> = (0..k).map(|i| i as f32 / 64.0 - 3.0).collect();
    let b: Vec<f32> = (0..3 * k).map(|i| 1.0 - i as f32 / 512.0).collect();
    let inputs = vec![
        (Tensor::f32([1, k], a.clone()).unwrap(), From::Weight),
        (Tensor::f32([k, 3], b.clone()).unwrap(), From::Op),
    ];
    let world = World::new(SMALL, &Op::MatMul, inputs, digest_of);
    let case = case_of(&world);
    let execution = Execution::new(&case, 2).unwrap();
    let (mut taps, mut loads) = (0, Vec::new());
    for batch in 0..execution.batches() {
        let found = explain(&case, 2, batch, 7).unwrap();
        let fmas: Vec<&Executed> = (found.arithmetic.iter())
            .filter(|e| e.opcode == Opcode::Fma)
            .collect();
        for (i, fma) in fmas.iter().enumerate() {
            let at = taps + i;
            let [x, y] = [a[at], b[3 * at + 2]].map(|x| u64::from(x.to_bits()));
            assert_eq!(fma.operands[..2], [x, y], "tap {at}");
            let [x, y, t] = [0, 1, 2].map(|i| f32::from_bits(fma.operands[i] as u32));
            assert_eq!(fma.result, u64::from(x.mul_add(y, t).to_bits()));
        }
        taps += fmas.len();
        loads.extend(found.loads.clone());
        assert_eq!(found.tap, (taps as u64).checked_sub(1));
        assert_eq!(found.block(), found.tap.map(|tap| tap / 256));
    }
    assert_eq!(taps as u64, k);
    assert_eq!(loads.len() as u64, 2 * k);
    assert!(loads.iter().all(|l| {
        let bits = if l.input == 0 { &a } else { &b }[l.element as usize].to_bits();
        l.bits == u64::from(bits)
    }));
    // the last batch adds the last block to the total, which is the element
    let last = explain(&case, 2, execution.batches() - 1, 7).unwrap();
    assert_eq!(last.deciding.opcode, Opcode::FAdd);
    assert_eq!(last.deciding.result, execution.value());
    let text = format!(
        "element [0, 2] (2), block 2, tap 599: add({:#010x}, {:#010x}) = {:#010x}; claimed 0x00000007",
        last.deciding.operands[0], last.deciding.operands[1], last.value
    );
    assert_eq!(last.to_string(), text);
    assert_eq!(explain(&case, 2, execution.batches(), 7), None);
}

#[test]
fn a_copy_is_explained_by_what_it_ends_with() {
    let values = (0..24).map(|i| i as f32).collect();
    let inputs = vec![(Tensor::f32([2, 3, 4], values).unwrap(), From::Live)];
    let op = Op::Transpose {
        perm: vec![2, 0, 1],
    };
    let world = World::new(SMALL, &op, inputs, digest_of);
    let found = explain(&case_of(&world), 10, 0, 1).unwrap();
    // output [4, 2, 3]: element [1, 1, 1] is input [1, 1, 1], 17
    assert_eq!(found.coordinates, [1, 1, 1]);
    assert_eq!(found.deciding.opcode, Opcode::End);
    assert_eq!(found.loads.last().map(|l| l.element), Some(17));
    let text = "element [1, 1, 1] (10), batch 0: end(0x41880000) = 0x41880000; claimed 0x00000001";
    assert_eq!(found.to_string(), text);
}

#[test]
fn a_softmax_is_explained_by_its_division() {
    let values = (0..12).map(|i| i as f32 / 4.0).collect();
    let inputs = vec![(Tensor::f32([1, 12], values).unwrap(), From::Op)];
    let world = World::new(SMALL, &Op::Softmax { axis: 1 }, inputs, digest_of);
    let case = case_of(&world);
    let last = Execution::new(&case, 11).unwrap().batches() - 1;
    let found = explain(&case, 11, last, 0).unwrap();
    assert_eq!((found.deciding.opcode, found.tap), (Opcode::FDiv, None));
    assert_eq!(found.deciding.result, found.value);
    assert!(
        found
            .to_string()
            .starts_with(&format!("element [0, 11] (11), batch {last}: div("))
    );
}
