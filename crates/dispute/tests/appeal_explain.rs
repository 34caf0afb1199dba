//! An appeal in words names the instruction that it comes down to.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod appeal_common;

use appeal_common::*;
use gavel_dispute::appeal::*;
use gavel_numerics::blocks::quantise;
use gavel_numerics::program::Opcode;
use gavel_numerics::{DType, Op, Tensor, TensorType, WeightFormat};

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
        let found = explain(&case, &execution, batch, 7).unwrap();
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
    // the last batch ends with the sum of the blocks, which is not what people ask about
    let last = execution.batches() - 1;
    assert_eq!(last_batch(&case, &execution), last);
    let last = explain(&case, &execution, last, u64::from(1.5f32.to_bits())).unwrap();
    let sum = last.arithmetic.last().unwrap();
    assert_eq!((sum.opcode, sum.result), (Opcode::FAdd, execution.value()));
    assert_eq!(last.deciding.opcode, Opcode::Fma);
    let [x, y, t] = [0, 1, 2].map(|i| last.deciding.operands[i]);
    let text = format!(
        "element [0, 2] (2), block 2, tap 599: fma({x:#010x}, {y:#010x}, {t:#010x}) = {:#010x}; \
         the element is {:#010x} ({}), claimed 0x3fc00000 (1.5)",
        last.deciding.result,
        last.value,
        f32::from_bits(last.value as u32)
    );
    assert_eq!(last.to_string(), text);
    assert_eq!(explain(&case, &execution, execution.batches(), 7), None);
    let bound = execution.batches();
    assert!(Execution::within(&case, 2, bound).is_some());
    assert!(Execution::within(&case, 2, bound - 1).is_none());
}

/// The batch may hold none of the sum's taps.
#[test]
fn a_batch_between_taps_is_explained_by_what_it_does() {
    let ones = |dims: [u64; 2]| Tensor::f32(dims, vec![1.0; (dims[0] * dims[1]) as usize]).unwrap();
    let inputs = vec![(ones([1, 2]), From::Weight), (ones([2, 1]), From::Op)];
    let op = Op::Gemm {
        alpha_bits: 2f32.to_bits(),
        beta_bits: 1f32.to_bits(),
        trans_a: false,
        trans_b: false,
    };
    let case = case_of(&World::new(SMALL, &op, inputs, digest_of));
    let execution = Execution::new(&case, 0).unwrap();
    let all = (0..execution.batches()).map(|batch| explain(&case, &execution, batch, 0).unwrap());
    for found in all {
        let has_tap = found.arithmetic.iter().any(|e| e.opcode == Opcode::Fma);
        assert_eq!(found.deciding.opcode == Opcode::Fma, has_tap);
        let text = found.to_string();
        match found.tap {
            _ if has_tap => assert!(text.contains("block 0, tap 1: fma("), "{text}"),
            Some(tap) => assert!(text.contains(&format!("after tap {tap}: ")), "{text}"),
            None => assert!(text.contains("batch 0: "), "{text}"),
        }
    }
}

#[test]
fn conversions_are_shown_with_what_they_read() {
    let say = |opcode, operand: u64, result| {
        let operands = vec![operand];
        (Executed {
            opcode,
            operands,
            result,
        })
        .to_string()
    };
    assert_eq!(
        say(Opcode::F16ToF32, 0x3c00, 0x3f80_0000),
        "f16_to_f32(0x00003c00) = 0x3f800000"
    );
    assert_eq!(
        say(Opcode::F32ToInt, 0x3f80_0000, 1),
        "f32_to_i64(0x3f800000) = 0x00000001"
    );
    assert_eq!(say(Opcode::FLess, 1, 0), "less(0x00000001) = 0x00000000");
    assert_eq!(say(Opcode::End, 1, 1), "end(0x00000001) = 0x00000001");
}

#[test]
fn a_copy_is_explained_by_what_it_ends_with() {
    let values = (0..24).map(|i| i as f32).collect();
    let inputs = vec![(Tensor::f32([2, 3, 4], values).unwrap(), From::Live)];
    let op = Op::Transpose {
        perm: vec![2, 0, 1],
    };
    let world = World::new(SMALL, &op, inputs, digest_of);
    let case = case_of(&world);
    let execution = Execution::new(&case, 10).unwrap();
    assert_eq!(last_batch(&case, &execution), execution.batches() - 1);
    let found = explain(&case, &execution, 0, 0x3f80_0000).unwrap();
    // output [4, 2, 3]: element [1, 1, 1] is input [1, 1, 1], 17
    assert_eq!(found.coordinates, [1, 1, 1]);
    assert_eq!(found.deciding.opcode, Opcode::End);
    assert_eq!(found.loads.last().map(|l| l.element), Some(17));
    let text = "element [1, 1, 1] (10), batch 0: end(0x41880000) = 0x41880000; \
                the element is 0x41880000 (17), claimed 0x3f800000 (1)";
    assert_eq!(found.to_string(), text);
}

#[test]
fn a_softmax_is_explained_by_its_division() {
    let values = (0..12).map(|i| i as f32 / 4.0).collect();
    let inputs = vec![(Tensor::f32([1, 12], values).unwrap(), From::Op)];
    let world = World::new(SMALL, &Op::Softmax { axis: 1 }, inputs, digest_of);
    let case = case_of(&world);
    let execution = Execution::new(&case, 11).unwrap();
    let last = last_batch(&case, &execution);
    let found = explain(&case, &execution, last, 0).unwrap();
    assert_eq!((found.deciding.opcode, found.tap), (Opcode::FDiv, None));
    assert_eq!(found.deciding.result, found.value);
    assert!(
        found
            .to_string()
            .starts_with(&format!("element [0, 11] (11), batch {last}: div("))
    );
}

/// The fma of a group of 32 values, Q4_K's second one.
#[test]
fn a_product_with_quantised_weights_is_explained_by_its_last_values() {
    let k = 512;
    let x: Vec<f32> = (0..k).map(|i| (i % 37) as f32 - 18.0).collect();
    let bytes = quantise(&x);
    let dims = [1, bytes.len() as u64];
    let x = Tensor::from_le_bytes(TensorType::new(DType::U8, dims), &bytes).unwrap();
    for format in [WeightFormat::Q8_0, WeightFormat::Q4_K] {
        let bytes = format.row_bytes(k).unwrap();
        let row: Vec<u8> = (0..bytes).map(|i| (i * 7 % 59) as u8).collect();
        let ty = TensorType::new(DType::U8, [1, bytes as u64]);
        let row = Tensor::from_le_bytes(ty, &row).unwrap();
        let inputs = vec![(x.clone(), From::Live), (row, From::Weight)];
        let world = World::new(SMALL, &Op::Linear { format }, inputs, digest_of);
        let case = case_of(&world);
        let execution = Execution::new(&case, 0).unwrap();
        let last = last_batch(&case, &execution);
        let found = explain(&case, &execution, last, 0).unwrap();
        assert_eq!((found.tap, found.values.clone()), (None, Some(480..512)));
        assert_eq!(found.deciding.opcode, Opcode::Fma);
        assert_eq!(found.deciding.result, found.value);
        let text = found.to_string();
        assert!(
            text.starts_with("element [0, 0] (0), values 480..512: fma("),
            "{text}"
        );
        // half of the way is half of the values
        let half = explain(&case, &execution, execution.batches() / 2, 0).unwrap();
        let values = half.values.unwrap();
        assert!((192..=288).contains(&values.start), "{values:?}");
    }
}
