//! Map, View, Reduce and Gather: random ones on awkward operands give the same bits by the programs of the table, run by the
//! reference interpreter, and by the kernels on every instruction set.
#![allow(clippy::unwrap_used)]

mod common;

use common::Threads;
use gavel_numerics::element::{Action, Extra, Step};
use gavel_numerics::kernels::{Isa, Parallel, Sequential, eval};
use gavel_numerics::program::Opcode;
use gavel_numerics::{
    Beyond, Combine, DType, Op, Reduction, Tensor, TensorType, ViewAxis, reference,
};
use proptest::prelude::*;

const ACTIONS: &[Action] = {
    use Action::{Extra as E, Machine as M};
    &[
        M(Opcode::Load),
        M(Opcode::Load),
        E(Extra::Constant),
        M(Opcode::Add),
        M(Opcode::Sub),
        M(Opcode::Mul),
        M(Opcode::Div),
        M(Opcode::Mod),
        M(Opcode::And),
        M(Opcode::Or),
        M(Opcode::Less),
        M(Opcode::Equal),
        M(Opcode::Select),
        M(Opcode::SignExtend),
        M(Opcode::FAdd),
        M(Opcode::FSub),
        M(Opcode::FMul),
        M(Opcode::FDiv),
        M(Opcode::FSqrt),
        M(Opcode::Fma),
        M(Opcode::FMax),
        M(Opcode::FMin),
        M(Opcode::FLess),
        M(Opcode::ToF32),
        M(Opcode::SignedToF32),
        M(Opcode::F32ToInt),
        M(Opcode::F16ToF32),
        M(Opcode::Bf16ToF32),
        M(Opcode::F32ToF16),
        M(Opcode::F32ToBf16),
        E(Extra::Exp),
        E(Extra::Log),
        E(Extra::Sigmoid),
        E(Extra::Tanh),
    ]
};
const DTYPES: [DType; 13] = DType::ALL;

/// Words that are no numbers, the ends of ranges, and ordinary ones.
fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        prop::sample::select(vec![
            0,
            1,
            2,
            u64::MAX,
            1 << 63,
            1 << 31,
            0x7fc0_0000,
            0xffc0_0001,
            0x7f80_0000,
            0xff80_0000,
            0x8000_0000,
            0x0000_0001,
            0x7f7f_ffff,
            0x3f80_0000,
        ]),
        any::<u64>(),
        any::<f32>().prop_map(|x| x.to_bits().into()),
        (-100.0f32..100.0).prop_map(|x| x.to_bits().into()),
    ]
}

/// A few slots, so that they are written more than once.
fn step(inputs: u8) -> impl Strategy<Value = u64> {
    let slot = 0u8..5;
    (
        0..ACTIONS.len(),
        [slot.clone(), slot.clone(), slot.clone(), slot],
        0..inputs,
        word(),
    )
        .prop_map(|(action, [d, a, b, c], input, number)| {
            let action = ACTIONS[action];
            let one = |a| Step {
                action,
                d,
                a,
                b: 0,
                immediate: 0,
            };
            let two = Step { b, ..one(a) };
            let step = match action {
                Action::Extra(Extra::Constant) => Step {
                    immediate: number as u32,
                    ..one(0)
                },
                Action::Machine(Opcode::Load) => Step { b: input, ..one(0) },
                Action::Machine(Opcode::Add) => Step {
                    immediate: number as u32 % 3,
                    ..two
                },
                Action::Machine(Opcode::Select | Opcode::Fma) => Step {
                    immediate: c.into(),
                    ..two
                },
                Action::Machine(Opcode::SignExtend) => Step {
                    immediate: [8, 16, 32][usize::from(c) % 3],
                    ..one(a)
                },
                Action::Machine(
                    Opcode::Sub
                    | Opcode::Mul
                    | Opcode::Div
                    | Opcode::Mod
                    | Opcode::And
                    | Opcode::Or
                    | Opcode::Less
                    | Opcode::Equal
                    | Opcode::FAdd
                    | Opcode::FSub
                    | Opcode::FMul
                    | Opcode::FDiv
                    | Opcode::FMax
                    | Opcode::FMin
                    | Opcode::FLess,
                ) => two,
                _ => one(a),
            };
            step.encode()
        })
}

/// Shapes that broadcast to the first.
const SHAPES: &[&[&[u64]]] = &[
    &[&[], &[], &[]],
    &[&[300], &[1], &[300]],
    &[&[2, 3, 70], &[3, 1], &[70]],
    &[&[1, 4, 1], &[5, 1, 3], &[4, 3]],
    &[&[2, 1, 130, 2], &[2, 3, 1, 1], &[]],
    &[&[0, 3], &[1, 3], &[1]],
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 96 } else { 2_000 }))]

    #[test]
    fn kernels_have_the_bits_of_the_interpreter(
        code in prop::collection::vec(step(3), 1..24),
        output in 0..DTYPES.len(),
        types in [0..DTYPES.len(), 0..DTYPES.len(), 0..DTYPES.len()],
        shapes in 0..SHAPES.len(),
        words in prop::collection::vec(word(), 64),
    ) {
        let inputs: Vec<Tensor> = (0..3).map(|i| {
            let ty = TensorType::new(DTYPES[types[i]], SHAPES[shapes][i]);
            let len = ty.elements().unwrap();
            let raw: Vec<u64> = (0..len).map(|at| {
                let word = words[(at * 7 + i * 13) % words.len()];
                match ty.dtype {
                    DType::Bool => word & 1,
                    dtype => word & (u64::MAX >> (64 - 8 * dtype.size())),
                }
            }).collect();
            Tensor::from_raw(ty, &raw).unwrap()
        }).collect();
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        let op = Op::Map { dtype: DTYPES[output], code };
        let want = reference::eval(&op, &inputs).unwrap();
        for isa in Isa::available() {
            let found = eval(isa, &Sequential, &op, &inputs).unwrap();
            prop_assert_eq!(found.ty(), want.ty());
            for i in 0..want.len() {
                prop_assert_eq!(found.raw(i), want.raw(i), "element {} on {:?}", i, isa.kind());
            }
        }
        prop_assert_eq!(Op::from_parts(op.id(), &op.attributes()), Some(op));
    }
}

/// Every kernel against the program, where the shape program lets it pass; whether it did.
fn agree(op: &Op, inputs: &[&Tensor]) -> Result<bool, TestCaseError> {
    let Ok(want) = reference::eval(op, inputs) else {
        return Ok(false);
    };
    for isa in Isa::available() {
        for par in [&Sequential as &dyn Parallel, &Threads(3)] {
            let found = eval(isa, par, op, inputs).unwrap();
            prop_assert_eq!(found.ty(), want.ty());
            for i in 0..want.len() {
                prop_assert_eq!(found.raw(i), want.raw(i), "{} of {:?}", i, op);
            }
        }
    }
    Ok(true)
}

fn input(dtype: DType, dims: &[u64], words: &[u64]) -> Tensor {
    let ty = TensorType::new(dtype, dims);
    let bits = if dtype == DType::Bool {
        1
    } else {
        8 * dtype.size()
    };
    let raw: Vec<u64> = (0..ty.elements().unwrap())
        .map(|i| words[(i * 7) % words.len()] & (u64::MAX >> (64 - bits)))
        .collect();
    Tensor::from_raw(ty, &raw).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 128 } else { 2_000 }))]

    #[test]
    fn views_are_what_their_program_says(
        dtype in 0..DTYPES.len(),
        axes in prop::collection::vec((0u64..7, 0u64..9, -9i64..9, -3i64..4, 0u64..4), 0..4),
        fill in word(),
        words in prop::collection::vec(word(), 16),
    ) {
        let dtype = DTYPES[dtype];
        let dims: Vec<u64> = axes.iter().map(|axis| axis.0).collect();
        let bits = if dtype == DType::Bool { 1 } else { 8 * dtype.size() };
        let op = Op::View {
            fill: fill & (u64::MAX >> (64 - bits)),
            axes: axes.iter().map(|&(_, extent, start, step, beyond)| ViewAxis {
                extent,
                start: if beyond > 1 { start.abs() } else { start },
                step: if beyond > 1 { step.abs() } else { step },
                beyond: Beyond::from_id(beyond).unwrap(),
            }).collect(),
        };
        let taken = agree(&op, &[&input(dtype, &dims, &words)])?;
        let nothing = axes.iter().any(|axis| axis.0 == 0);
        prop_assert!(taken || nothing);
        prop_assert_eq!(Op::from_parts(op.id(), &op.attributes()), Some(op));
    }

    #[test]
    fn reductions_and_rows_are_what_their_programs_say(
        dims in prop::collection::vec(prop_oneof![0u64..5, 60u64..70], 1..4),
        axis in any::<prop::sample::Index>(),
        kind in 0u64..4,
        integers: bool,
        dtype in 0..DTYPES.len(),
        indices in prop::collection::vec(-6i64..6, 0..5),
        words in prop::collection::vec(word(), 64),
    ) {
        let axis = axis.index(dims.len()) as u32;
        let numbers = if integers { DType::I64 } else { DType::F32 };
        let op = Op::Reduce { kind: Reduction::from_id(kind).unwrap(), axis, integers };
        prop_assert!(agree(&op, &[&input(numbers, &dims, &words)])?);
        prop_assert_eq!(Op::from_parts(op.id(), &op.attributes()), Some(op));
        let of_numbers = input(numbers, &dims, &words);
        for op in [
            Op::Accumulate { kind: Reduction::from_id(kind).unwrap(), axis, integers },
            Op::TopK { axis, count: dims[axis as usize], largest: kind % 2 == 0, integers },
            Op::TopK { axis, count: dims[axis as usize] / 2, largest: kind % 2 == 1, integers },
        ] {
            // the program looks at all pairs, for each element
            let pairs = match op {
                Op::TopK { .. } => dims[axis as usize].pow(2),
                _ => 1,
            };
            if of_numbers.len() as u64 * pairs < 1 << 18 {
                prop_assert!(agree(&op, &[&of_numbers])?);
            }
            prop_assert_eq!(Op::from_parts(op.id(), &op.attributes()), Some(op));
        }
        let row = [&[indices.len() as u64], &dims[1..]].concat();
        let at = Tensor::i64([indices.len() as u64], indices.clone()).unwrap();
        for combine in 0..5 {
            let combine = Combine::from_id(combine).unwrap();
            let dtype = if combine == Combine::Replace { DTYPES[dtype] } else { numbers };
            let op = Op::Scatter { combine, integers: integers && combine != Combine::Replace };
            let (data, updates) = (input(dtype, &dims, &words), input(dtype, &row, &words[7..]));
            prop_assert!(agree(&op, &[&data, &at, &updates])?);
            prop_assert_eq!(Op::from_parts(op.id(), &op.attributes()), Some(op));
        }
        let indices = Tensor::i64([indices.len() as u64, 1], indices).unwrap();
        let op = Op::Gather { axis };
        prop_assert!(agree(&op, &[&input(DTYPES[dtype], &dims, &words), &indices])?);
    }
}

#[test]
fn an_axis_of_nothing_beside_a_huge_one_takes_no_memory() {
    let axis = |extent| ViewAxis {
        extent,
        ..ViewAxis::SCALAR
    };
    let op = Op::View {
        fill: 0,
        axes: vec![axis(1 << 33), axis(0)],
    };
    let x = Tensor::f32([1, 0], vec![]).unwrap();
    let found = eval(Isa::best(), &Sequential, &op, &[&x]).unwrap();
    assert_eq!(found.dims(), [1 << 33, 0]);
}

#[test]
fn what_is_no_program_is_refused_by_the_shape_program() {
    let x = TensorType::new(DType::F32, [2]);
    let refused = |code: Vec<u64>, inputs: &[&TensorType]| {
        let op = Op::Map {
            dtype: DType::F32,
            code,
        };
        assert!(op.infer_type(inputs).is_err());
    };
    refused(vec![], &[&x]);
    refused(vec![0], &[&x]);
    // input 1 of one
    refused(vec![0x4000_0001_0000_0000], &[&x]);
    refused(vec![0x4000_0000_0000_0000], &[]);
    refused(vec![0x4000_0000_0000_0000; 257], &[&x]);
    refused(vec![0x4000_0000_0000_0000], &[&x; 17]);
    let other = TensorType::new(DType::F32, [3]);
    refused(vec![0x4000_0000_0000_0000], &[&x, &other]);
}
