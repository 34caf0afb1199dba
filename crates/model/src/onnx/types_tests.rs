//! Conversions between element types and arithmetic on them, against the language's own.

use gavel_numerics::{DType, Tensor, TensorType};

use super::operators_tests::{file, io, node, run};
use super::proto::AttributeProto;
use super::*;

/// ONNX's number of a type.
fn number(dtype: DType) -> i32 {
    (0..20).find(|&n| tensor::dtype(n) == Some(dtype)).unwrap()
}

fn attribute(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        i,
        ..Default::default()
    }
}

/// Raw bits cast from one type to another.
fn cast(from: DType, to: DType, raw: &[u64]) -> Vec<u64> {
    let mut cast = node("Cast", &["x"], &["y"]);
    cast.attribute.push(attribute("to", number(to).into()));
    let dims = [raw.len() as i64];
    let bytes = file(vec![io("x", number(from), &dims)], vec![cast], &["y"]);
    let model = import(&bytes, &ImportOptions::default()).unwrap();
    let x = Tensor::from_raw(TensorType::new(from, [raw.len() as u64]), raw).unwrap();
    let found = &run(&model, &[x])[0];
    assert_eq!(found.dtype(), to);
    (0..raw.len()).map(|i| found.raw(i).unwrap()).collect()
}

/// Words of all magnitudes.
fn words() -> Vec<u64> {
    let mut state = 7u64;
    (0..3_000)
        .map(|i| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> (i % 64)
        })
        .chain([
            0,
            1,
            u64::MAX,
            1 << 63,
            (1 << 63) - 1,
            1 << 53,
            (1 << 53) + 1,
        ])
        .collect()
}

fn doubles() -> Vec<f64> {
    let ordinary = words().into_iter().enumerate().map(|(i, word)| {
        // numbers near the ends of f32, and of integers
        let exponent = (i as i32 % 320) - 165;
        let magnitude = (word as f64 / 2f64.powi(60)) * 2f64.powi(exponent);
        if i % 3 == 0 { -magnitude } else { magnitude }
    });
    let ties = (0..40).map(|i| f64::from(1u32 << 24) + f64::from(i) + 0.5);
    let special = [
        0.0,
        -0.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        f64::MAX,
        f64::MIN_POSITIVE,
        5e-324,
        f64::from(f32::MAX),
        // the least that rounds to infinity, and the one before
        340_282_356_779_733_661_637_539_395_458_142_568_448.0,
        340_282_356_779_733_623_858_607_532_500_980_858_880.0,
        f64::from(f32::MIN_POSITIVE) / 2f64.powi(23),
        f64::from(f32::MIN_POSITIVE) / 2f64.powi(24),
        f64::from(f32::MIN_POSITIVE) / 2f64.powi(24) * 1.000_001,
    ];
    ordinary.chain(ties).chain(special).collect()
}

#[test]
fn doubles_become_floats_and_back() {
    let doubles = doubles();
    let raw: Vec<u64> = doubles.iter().map(|x| x.to_bits()).collect();
    for (x, found) in doubles.iter().zip(cast(DType::F64, DType::F32, &raw)) {
        let want = gavel_numerics::scalar::canonical(*x as f32).to_bits();
        assert_eq!(found, u64::from(want), "{x:e}");
    }
    let floats: Vec<f32> = words().iter().map(|&w| f32::from_bits(w as u32)).collect();
    let raw: Vec<u64> = floats.iter().map(|x| x.to_bits().into()).collect();
    for (x, found) in floats.iter().zip(cast(DType::F32, DType::F64, &raw)) {
        let found = f64::from_bits(found);
        assert!(
            found.to_bits() == f64::from(*x).to_bits() || found.is_nan() && x.is_nan(),
            "{x:e} {found:e}"
        );
    }
}

#[test]
fn doubles_become_half_floats_rounded_once() {
    // just above the middle between two numbers of 11 bits: by way of f32 it would be a tie
    let above = 1.0 + 2f64.powi(-11) + 2f64.powi(-40);
    let found = cast(DType::F64, DType::F16, &[above.to_bits(), 1f64.to_bits()]);
    assert_eq!(found, [0x3c01, 0x3c00]);
    let above = 1.0 + 2f64.powi(-8) + 2f64.powi(-40);
    assert_eq!(cast(DType::F64, DType::BF16, &[above.to_bits()]), [0x3f81]);
}

#[test]
fn integers_become_floats_and_back() {
    let words = words();
    for (&word, found) in words.iter().zip(cast(DType::I64, DType::F64, &words)) {
        assert_eq!(f64::from_bits(found), word.cast_signed() as f64, "{word}");
    }
    for (&word, found) in words.iter().zip(cast(DType::U64, DType::F64, &words)) {
        assert_eq!(f64::from_bits(found), word as f64, "{word}");
    }
    for (&word, found) in words.iter().zip(cast(DType::U64, DType::F32, &words)) {
        assert_eq!(f32::from_bits(found as u32), word as f32, "{word}");
    }
    let inside: Vec<f64> = doubles().into_iter().filter(|x| x.abs() < 9.2e18).collect();
    let raw: Vec<u64> = inside.iter().map(|x| x.to_bits()).collect();
    for (x, found) in inside.iter().zip(cast(DType::F64, DType::I64, &raw)) {
        assert_eq!(found.cast_signed(), *x as i64, "{x:e}");
    }
    let large = [1.5f32, 0.0, 1.8e19, 9.3e18, 9.2e18, 1e10];
    let raw: Vec<u64> = large.iter().map(|x| x.to_bits().into()).collect();
    for (x, found) in large.iter().zip(cast(DType::F32, DType::U64, &raw)) {
        assert_eq!(found, *x as u64, "{x:e}");
    }
    let small: Vec<u64> = (0..=255).collect();
    for (&byte, found) in small.iter().zip(cast(DType::I8, DType::I16, &small)) {
        assert_eq!(found as u16 as i16, i16::from(byte as u8 as i8));
    }
    assert_eq!(cast(DType::I64, DType::U16, &[0x1_2345]), [0x2345]);
    assert_eq!(cast(DType::F16, DType::Bool, &[0x8000, 1]), [0, 1]);
}

fn of_floats(op: &str, fmod: i64, a: &[f32], b: &[f32]) -> Vec<f32> {
    let mut node = node(op, &["a", "b"], &["y"]);
    node.attribute.push(attribute("fmod", fmod));
    let dims = [a.len() as i64];
    let inputs = vec![io("a", 1, &dims), io("b", 1, &dims)];
    let model = import(&file(inputs, vec![node], &["y"]), &ImportOptions::default()).unwrap();
    let dims = [a.len() as u64];
    let inputs = [
        Tensor::f32(dims, a.to_vec()).unwrap(),
        Tensor::f32(dims, b.to_vec()).unwrap(),
    ];
    run(&model, &inputs)[0].as_f32().unwrap().to_vec()
}

#[test]
fn remainders_of_floats_are_exact() {
    let floats: Vec<f32> = words().iter().map(|&w| f32::from_bits(w as u32)).collect();
    let special = [
        0.0,
        -0.0,
        f32::INFINITY,
        -f32::INFINITY,
        f32::NAN,
        1.0,
        f32::MAX,
        1e-45,
        -3.5,
    ];
    let a: Vec<f32> = floats
        .iter()
        .copied()
        .chain(special.iter().flat_map(|&x| [x; 9]))
        .collect();
    let b: Vec<f32> = floats
        .iter()
        .rev()
        .copied()
        .chain(special.iter().flat_map(|_| special))
        .collect();
    let same = |x: f32, y: f32| x.to_bits() == y.to_bits() || x.is_nan() && y.is_nan();
    for (i, found) in of_floats("Mod", 1, &a, &b).into_iter().enumerate() {
        assert!(
            same(found, a[i] % b[i]),
            "{:e} % {:e} = {found:e}",
            a[i],
            b[i]
        );
    }
    for (i, found) in of_floats("Mod", 0, &a, &b).into_iter().enumerate() {
        let rest = a[i] % b[i];
        let want = if rest == 0.0 {
            0f32.copysign(b[i])
        } else if rest.is_sign_negative() != b[i].is_sign_negative() {
            rest + b[i]
        } else {
            rest
        };
        assert!(same(found, want), "{:e} mod {:e} = {found:e}", a[i], b[i]);
    }
}

#[test]
fn what_narrow_floats_give_is_rounded_to_their_type() {
    let inputs = vec![io("a", 10, &[1]), io("b", 10, &[1])];
    let bytes = file(inputs, vec![node("Add", &["a", "b"], &["y"])], &["y"]);
    let model = import(&bytes, &ImportOptions::default()).unwrap();
    let half = |bits: u64| Tensor::from_raw(TensorType::new(DType::F16, [1]), &[bits]).unwrap();
    // 2048 + 1 is 2048 in 11 bits
    let found = &run(&model, &[half(0x6800), half(0x3c00)])[0];
    assert_eq!(found.raw(0), Some(0x6800));
    let bytes = file(
        vec![io("x", 16, &[2, 2])],
        vec![node("Softmax", &["x"], &["y"])],
        &["y"],
    );
    let refused = import(&bytes, &ImportOptions::default()).unwrap_err();
    assert!(refused.to_string().contains("bfloat16"), "{refused}");
}

#[test]
fn digests_know_the_size_of_every_type() {
    for dtype in DType::ALL {
        let header = gavel_trace::TensorHeader::new(dtype.id(), vec![3]).unwrap();
        assert_eq!(header.element_bytes(), Ok(dtype.size() as u64), "{dtype:?}");
    }
    assert!(gavel_trace::TensorHeader::new(DType::ALL.len() as u8 + 1, vec![3]).is_err());
}
