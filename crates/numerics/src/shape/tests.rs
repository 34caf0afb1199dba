use super::*;

fn ty(dims: &[u64]) -> TensorType {
    f32_of(dims.to_vec())
}

fn window(kernel: [u32; 2], pads: [u32; 4]) -> Window2d {
    Window2d {
        kernel,
        strides: [1, 1],
        dilations: [1, 1],
        pads,
    }
}

#[test]
fn shapes_follow_the_operators() {
    let infer = |op: Op, dims: &[&[u64]]| {
        let types: Vec<_> = dims.iter().map(|d| ty(d)).collect();
        op.infer_type(&types.iter().collect::<Vec<_>>())
            .map(|t| t.dims)
    };
    let conv = Op::Conv2d {
        window: window([3, 3], [1, 1, 1, 1]),
        groups: 1,
    };
    assert_eq!(
        infer(conv.clone(), &[&[1, 2, 8, 8], &[4, 2, 3, 3], &[4]]).unwrap(),
        [1, 4, 8, 8]
    );
    assert!(
        infer(conv, &[&[1, 3, 8, 8], &[4, 2, 3, 3]])
            .unwrap_err()
            .to_string()
            .contains("groups")
    );
    assert_eq!(
        infer(Op::MatMul, &[&[5, 1, 2, 3], &[4, 3, 7]]).unwrap(),
        [5, 4, 2, 7]
    );
    assert_eq!(infer(Op::MatMul, &[&[3], &[3]]).unwrap(), Vec::<u64>::new());
    assert_eq!(infer(Op::Add, &[&[4, 1], &[3]]).unwrap(), [4, 3]);
    assert_eq!(
        infer(Op::Concat { axis: 1 }, &[&[2, 3], &[2, 0], &[2, 4]]).unwrap(),
        [2, 7]
    );
    assert_eq!(
        infer(
            Op::ArgMax {
                axis: 1,
                keepdims: false
            },
            &[&[2, 3]]
        )
        .unwrap(),
        [2]
    );
    assert!(infer(Op::Transpose { perm: vec![0, 0] }, &[&[2, 3]]).is_err());
    assert!(
        infer(
            Op::MaxPool2d {
                window: window([2, 2], [2, 0, 0, 0])
            },
            &[&[1, 1, 4, 4]]
        )
        .is_err()
    );
}

#[test]
fn attributes_round_trip() {
    let window = window([3, 2], [1, 0, 1, 2]);
    for op in [
        Op::Conv2d { window, groups: 3 },
        Op::Gemm {
            alpha_bits: 1,
            beta_bits: 2,
            trans_a: true,
            trans_b: false,
        },
        Op::Clip {
            min_bits: 7,
            max_bits: 9,
        },
        Op::AveragePool2d {
            window,
            count_include_pad: true,
        },
        Op::Reshape { dims: vec![1, 2] },
        Op::Transpose { perm: vec![1, 0] },
        Op::ArgMax {
            axis: 1,
            keepdims: true,
        },
        Op::Identity,
    ] {
        let words = op.attributes();
        assert_eq!(Op::from_parts(op.id(), &words), Some(op.clone()));
        if !matches!(op, Op::Reshape { .. } | Op::Transpose { .. }) {
            assert_eq!(Op::from_parts(op.id(), &[words, vec![0]].concat()), None);
        }
    }
    assert_eq!(Op::from_parts(0, &[]), None);
}

#[test]
fn sizes_are_bounded_before_anything_is_allocated() {
    let huge = ty(&[1 << 20, 1 << 20]);
    assert!(matches!(
        huge.elements(),
        Err(NumericsError::TooLarge { .. })
    ));
    let row = ty(&[1 << 20, 1]);
    let column = ty(&[1, 1 << 20]);
    assert!(Op::Add.infer_type(&[&row, &column]).is_err());
}

#[test]
fn an_empty_tensor_has_no_extents_that_overflow() {
    let empty = |dims: [u64; 4]| TensorType::new(DType::F32, dims);
    for dims in [[0, 1, 1 << 40, 1 << 40], [1 << 40, 1 << 40, 0, 1]] {
        let ty = empty(dims);
        assert!(matches!(ty.elements(), Err(NumericsError::TooLarge { .. })));
        assert!(Op::GlobalAveragePool.infer_type(&[&ty]).is_err());
    }
    assert_eq!(empty([0, 1, 1 << 17, 1 << 17]).elements(), Ok(0));
}
