//! Random operators: what they draw follows from the seed of the task (`spec/model.md`, "Random numbers").

use gavel_numerics::element::{Builder, Extra, Value as Word};
use gavel_numerics::{DType, Op, Tensor, TensorType};

use super::lower::Lowering;
use super::{Value, functions, tensor, types};
use crate::{ModelError, Source};

/// What this module maps.
pub(super) const SUPPORTED: &[&str] = &[
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
];
/// Input `i64[1]` of a graph that draws random numbers.
pub const SEED: &str = "seed";
/// Longest axis.
const MAX_EXTENT: u64 = 1 << 22;
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// `z xor (z >> bits)`
fn folded(p: &mut Builder, z: Word, bits: u32) -> Word {
    let power = p.number(1 << bits);
    let shifted = p.div(z, power);
    let (either, both) = (p.or(z, shifted), p.and(z, shifted));
    p.sub(either, both)
}

/// `mix` of N-31.
fn mix(p: &mut Builder, z: Word) -> Word {
    let z = folded(p, z, 30);
    let factor = p.wide(0xbf58_476d_1ce4_e5b9);
    let z = p.mul(z, factor);
    let z = folded(p, z, 27);
    let factor = p.wide(0x94d0_49bb_1331_11eb);
    let z = p.mul(z, factor);
    folded(p, z, 31)
}

/// `mix(base + number * G)`
fn mixed(p: &mut Builder, base: Word, number: Word) -> Word {
    let gamma = p.wide(GAMMA);
    let step = p.mul(number, gamma);
    let sum = p.add(base, step);
    mix(p, sum)
}

/// What the words of a stream are made from.
pub(crate) fn key(p: &mut Builder, seed: Word, stream: Word) -> Word {
    let one = p.number(1);
    let base = mixed(p, seed, one);
    mixed(p, base, stream)
}

/// The word of an element of a stream: `key`, and the parts whose sum is the element's number.
pub(crate) fn word(p: &mut Builder, key: Word, parts: &[Word]) -> Word {
    let sum = parts.iter().copied().reduce(|a, b| p.add(a, b));
    let number = sum.unwrap_or_else(|| p.number(0));
    mixed(p, key, number)
}

/// Between 0 and 1, never either: 23 bits of a word from `low` on.
fn fraction(p: &mut Builder, word: Word, low: u32) -> Word {
    let (power, bits) = (p.wide(1 << low), p.number(1 << 23));
    let shifted = p.div(word, power);
    let bits = p.rem(shifted, bits);
    let (two, one) = (p.number(2), p.number(1));
    let doubled = p.mul(bits, two);
    let odd = p.add(doubled, one);
    let (whole, unit) = (p.signed_to_f32(odd), p.float(1.0 / 16_777_216.0));
    p.fmul(whole, unit)
}

/// Of uniform distribution between 0 and 1.
pub(crate) fn uniform(p: &mut Builder, word: Word) -> Word {
    fraction(p, word, 41)
}

/// Of normal distribution around 0 with deviation 1.
pub(crate) fn normal(p: &mut Builder, word: Word) -> Word {
    let u = uniform(p, word);
    let log = p.function(Extra::Log, u);
    let minus_two = p.float(-2.0);
    let square = p.fmul(log, minus_two);
    let radius = p.fsqrt(square);
    let (turn, circle) = (fraction(p, word, 18), p.float(std::f32::consts::TAU));
    let angle = p.fmul(turn, circle);
    let cosine = functions::cos(p, angle);
    p.fmul(radius, cosine)
}

/// Constants that broadcast to `dims` and whose sum is the number of an element, row by row.
pub(crate) fn numbers(dims: &[u64]) -> Option<Vec<Tensor>> {
    let rank = dims.len();
    let mut all = Vec::new();
    let mut stride = 1i64;
    for axis in (0..rank).rev() {
        // the first axis is there even where it has one element, so that the sum has the rank
        if dims[axis] == 1 && axis > 0 {
            continue;
        }
        if dims[axis] > MAX_EXTENT {
            return None;
        }
        let mut own = vec![1; rank];
        own[axis] = dims[axis];
        let places = (0..dims[axis] as i64).map(|i| i.wrapping_mul(stride));
        all.push(Tensor::i64(own, places.collect()).ok()?);
        stride = stride.checked_mul(i64::try_from(dims[axis]).ok()?)?;
    }
    Some(all)
}

/// Values of a node of this kind.
pub(super) fn lower(l: &mut Lowering<'_, '_>, op: &str) -> Result<Vec<Value>, ModelError> {
    // which numbers come is the task's to say
    l.attributes.ignore(&["seed"]);
    let value = match op {
        "Multinomial" => multinomial(l)?,
        "Bernoulli" => bernoulli(l)?,
        _ => distributed(l, op)?,
    };
    Ok(vec![value])
}

/// The source of the seed: an input of the graph, which is appended where there is none.
fn seed(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let expected = TensorType::new(DType::I64, [1]);
    let inputs = &mut l.importer.graph.inputs;
    let known = inputs.iter().position(|(name, _)| name == SEED);
    let at = known.unwrap_or(inputs.len());
    if known.is_none() {
        inputs.push((SEED.to_owned(), expected.clone()));
    }
    let found = Value::Dynamic(Source::Input(at as u32));
    if l.dtype(&found) != DType::I64 || l.dims(&found) != expected.dims {
        return Err(l.fail(format!("the graph's input {SEED:?} must be {expected}")));
    }
    Ok(found)
}

/// Elements of this shape, each made of a word of its own and of `others`, which broadcast.
fn drawn(
    l: &mut Lowering<'_, '_>,
    dims: &[u64],
    others: &[Value],
    dtype: DType,
    program: impl FnOnce(&mut Builder, Word, &[Word]) -> Word,
) -> Result<Value, ModelError> {
    let bytes = dims
        .iter()
        .fold(0u64, |sum, &d| sum.saturating_add(8 * d.min(MAX_EXTENT)));
    let within = TensorType::new(dtype, dims).elements().is_ok();
    let numbers = match within && l.importer.folding.takes(bytes) {
        true => numbers(dims),
        false => None,
    };
    let numbers =
        numbers.ok_or_else(|| l.fail(format!("there are no words for {dims:?} elements")))?;
    let (stream, seed) = (l.importer.streams, seed(l)?);
    l.importer.streams += 1;
    let own = l.map(&[seed], DType::I64, |p, x| {
        let stream = p.wide(stream);
        key(p, x[0], stream)
    })?;
    let mut values = vec![own];
    values.extend(numbers.into_iter().map(|t| Value::Constant(t.into())));
    let count = values.len();
    values.extend_from_slice(others);
    let found = l.map(&values, dtype, |p, x| {
        let (ours, others) = x.split_at(count);
        let word = match ours {
            [own, parts @ ..] => word(p, *own, parts),
            [] => p.number(0),
        };
        program(p, word, others)
    })?;
    l.reshape_to(&found, dims.to_vec())
}

/// The element type that an attribute names.
fn dtype(l: &Lowering<'_, '_>, default: DType) -> Result<DType, ModelError> {
    match l.attributes.optional_int("dtype")? {
        None => Ok(default),
        Some(id) => i32::try_from(id)
            .ok()
            .and_then(tensor::dtype)
            .ok_or_else(|| l.fail(format!("element type {id} is not supported"))),
    }
}

fn distributed(l: &mut Lowering<'_, '_>, op: &str) -> Result<Value, ModelError> {
    let (dims, default) = match op.ends_with("Like") {
        true => (l.ty(0)?.dims, l.ty(0)?.dtype),
        false => {
            let ints = l.attributes.ints("shape")?.unwrap_or_default();
            let dims = ints.iter().map(|&d| u64::try_from(d).ok()).collect();
            let dims: Option<Vec<u64>> = dims;
            let dims = dims.ok_or_else(|| l.fail(format!("a shape of {ints:?}")))?;
            (dims, DType::F32)
        }
    };
    let dtype = dtype(l, default)?;
    if !is_float(dtype) {
        return Err(l.fail(format!("it gives floats, not {dtype:?}")));
    }
    let (offset, factor, is_normal) = if op.starts_with("RandomNormal") {
        let (mean, scale) = (
            l.attributes.float("mean", 0.0)?,
            l.attributes.float("scale", 1.0)?,
        );
        (mean, scale, true)
    } else {
        let (low, high) = (
            l.attributes.float("low", 0.0)?,
            l.attributes.float("high", 1.0)?,
        );
        (low, high - low, false)
    };
    let found = drawn(l, &dims, &[], DType::F32, |p, word, _| {
        let drawn = if is_normal {
            normal(p, word)
        } else {
            uniform(p, word)
        };
        let (factor, offset) = (p.float(factor), p.float(offset));
        p.fma(drawn, factor, offset)
    })?;
    l.cast(&found, dtype)
}

fn is_float(dtype: DType) -> bool {
    types::is_narrow(dtype) || matches!(dtype, DType::F32 | DType::F64)
}

/// 1 with the probability that the input is.
fn bernoulli(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let (value, ty) = floats(l)?;
    let dtype = dtype(l, ty.dtype)?;
    let found = drawn(l, &ty.dims, &[value], DType::Bool, |p, word, x| {
        let u = uniform(p, word);
        p.fless(u, x[0])
    })?;
    l.cast(&found, dtype)
}

/// Input 0 as f32, and its own type, which is one of floats.
fn floats(l: &mut Lowering<'_, '_>) -> Result<(Value, TensorType), ModelError> {
    let (value, ty) = (l.value(0)?, l.ty(0)?);
    if !is_float(ty.dtype) {
        return Err(l.fail(format!("it takes floats, found {ty}")));
    }
    Ok((l.cast(&value, DType::F32)?, ty))
}

/// Classes by their logarithmic weights: the largest sum of weight and Gumbel noise, as N-31 has it.
fn multinomial(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let (value, ty) = floats(l)?;
    let samples = u64::try_from(l.attributes.int("sample_size", 1)?).unwrap_or(0);
    let &[rows, classes] = ty.dims.as_slice() else {
        return Err(l.fail(format!("it takes two axes, found {ty}")));
    };
    let dtype = dtype(l, DType::I32)?;
    if !matches!(dtype, DType::I32 | DType::I64) {
        return Err(l.fail("it gives int32 or int64"));
    }
    let weights = l.reshape_to(&value, vec![rows, 1, classes])?;
    let dims = [rows, samples, classes];
    let noisy = drawn(l, &dims, &[weights], DType::F32, |p, word, x| {
        let u = uniform(p, word);
        let log = p.function(Extra::Log, u);
        let negative = functions::negate(p, log);
        let log = p.function(Extra::Log, negative);
        p.fsub(x[0], log)
    })?;
    let op = Op::ArgMax {
        axis: 2,
        keepdims: false,
    };
    let found = l.node(op, &[noisy])?;
    l.cast(&found, dtype)
}

#[cfg(test)]
mod tests {
    use super::super::operators_tests::{file, io, node, run};
    use super::super::proto::{AttributeProto, NodeProto};
    use super::super::{ImportOptions, import};
    use super::*;
    use gavel_numerics::{reference, scalar};

    /// Elements that a program makes of the words of a stream.
    fn elements(
        dims: &[u64],
        seed: u64,
        stream: u64,
        program: fn(&mut Builder, Word) -> Word,
    ) -> Vec<f32> {
        let mut p = Builder::new();
        let (seed_word, stream) = (p.load(0), p.wide(stream));
        let own = key(&mut p, seed_word, stream);
        let map = |p: Builder, word, dtype| Op::Map {
            dtype,
            code: p.finish(word).unwrap(),
        };
        let seed = Tensor::i64([1], vec![seed.cast_signed()]).unwrap();
        let own = reference::eval(&map(p, own, DType::I64), &[&seed]).unwrap();
        let numbers = numbers(dims).unwrap();
        let mut p = Builder::new();
        let loaded: Vec<Word> = (0..=numbers.len()).map(|i| p.load(i as u8)).collect();
        let drawn = word(&mut p, loaded[0], &loaded[1..]);
        let found = program(&mut p, drawn);
        let operands: Vec<&Tensor> = std::iter::once(&own).chain(&numbers).collect();
        let found = reference::eval(&map(p, found, DType::F32), &operands).unwrap();
        assert_eq!(found.dims(), dims);
        found.as_f32().unwrap().to_vec()
    }

    #[test]
    fn uniform_numbers_are_those_of_sampling() {
        for (dims, seed, stream) in [
            (&[2u64, 1, 3, 5][..], 7, 0),
            (&[1, 1, 1], u64::MAX, 3),
            (&[40], 0, u64::MAX),
        ] {
            let count = dims.iter().product::<u64>();
            let expected: Vec<f32> = (0..count)
                .map(|i| scalar::uniform(seed, stream, i))
                .collect();
            assert_eq!(elements(dims, seed, stream, uniform), expected);
        }
    }

    #[test]
    fn normal_numbers_have_the_moments_and_tails_of_the_distribution() {
        let all = elements(&[100, 200], 5, 1, normal);
        let n = all.len() as f64;
        let moment = |k: i32| all.iter().map(|&x| f64::from(x).powi(k)).sum::<f64>() / n;
        for (k, expected, within) in [(1, 0.0, 0.03), (2, 1.0, 0.05), (3, 0.0, 0.1), (4, 3.0, 0.3)]
        {
            let found = moment(k);
            assert!((found - expected).abs() < within, "{k}: {found}");
        }
        let beyond = |limit: f32| all.iter().filter(|x| x.abs() > limit).count() as f64 / n;
        assert!((beyond(1.96) - 0.05).abs() < 0.006);
        assert!((beyond(2.576) - 0.01).abs() < 0.003);
        // neighbours have nothing to do with each other
        let pairs = all.windows(2).map(|w| f64::from(w[0] * w[1])).sum::<f64>() / n;
        assert!(pairs.abs() < 0.03, "{pairs}");
        // nor have streams
        assert_ne!(all[..8], elements(&[8], 5, 2, normal)[..]);
    }
    fn with(mut node: NodeProto, ints: &[(&str, &[i64])], floats: &[(&str, f32)]) -> NodeProto {
        for (name, values) in ints {
            node.attribute.push(AttributeProto {
                name: (*name).into(),
                i: values.first().copied().unwrap_or_default(),
                ints: values.to_vec(),
                ..Default::default()
            });
        }
        for &(name, f) in floats {
            node.attribute.push(AttributeProto {
                name: name.into(),
                f,
                ..Default::default()
            });
        }
        node
    }

    /// Outputs of nodes on `x` f32 of these extents, and the seed 9.
    fn drawn_by(nodes: Vec<NodeProto>, dims: &[i64], x: &[f32]) -> Vec<Tensor> {
        let outputs: Vec<String> = nodes.iter().map(|n| n.output[0].clone()).collect();
        let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
        let file = file(vec![io("x", 1, dims)], nodes, &outputs);
        let model = import(&file, &ImportOptions::default()).unwrap();
        let names: Vec<&str> = (model.graph().inputs.iter())
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(names, ["x", "seed"]);
        let dims: Vec<u64> = dims.iter().map(|&d| d as u64).collect();
        let seed = Tensor::i64([1], vec![9]).unwrap();
        run(&model, &[Tensor::f32(dims, x.to_vec()).unwrap(), seed])
    }

    #[test]
    fn operators_draw_from_streams_of_their_own_by_the_seed_of_the_task() {
        let shape: (&str, &[i64]) = ("shape", &[2, 3]);
        let like = node("RandomUniformLike", &["x"], &["a"]);
        let uniform = node("RandomUniform", &[], &["b"]);
        let normal = node("RandomNormal", &[], &["c"]);
        let found = drawn_by(
            vec![
                like,
                with(
                    uniform,
                    &[shape],
                    &[("low", -1.0), ("high", 3.0), ("seed", 4.0)],
                ),
                with(normal, &[shape], &[("mean", 5.0), ("scale", 0.0)]),
            ],
            &[2, 3],
            &[0.0; 6],
        );
        let word = |stream, i| scalar::uniform(9, stream, i);
        for i in 0..6u64 {
            let value = |k: usize| found[k].as_f32().unwrap()[i as usize];
            assert_eq!(value(0), word(0, i));
            assert_eq!(value(1), word(1, i).mul_add(4.0, -1.0));
            assert_eq!(value(2), 5.0);
        }
    }

    #[test]
    fn choices_have_the_probabilities_that_they_are_given() {
        let x: Vec<f32> = (0..2000).map(|i| [0.0, 0.25, 1.0, 0.9][i % 4]).collect();
        let bernoulli = with(node("Bernoulli", &["x"], &["a"]), &[("dtype", &[9])], &[]);
        let found = &drawn_by(vec![bernoulli], &[500, 4], &x)[0];
        assert_eq!(found.dtype(), DType::Bool);
        let ones = |column: usize| {
            (0..500usize)
                .filter(|i| found.raw(4 * i + column) == Some(1))
                .count()
        };
        assert_eq!((ones(0), ones(2)), (0, 500));
        assert!(ones(1).abs_diff(125) < 30 && ones(3).abs_diff(450) < 25);

        let weights: Vec<f32> = [0.5f32, 0.2, 0.3, 0.0].map(f32::ln).to_vec();
        let samples: (&str, &[i64]) = ("sample_size", &[2000]);
        let multinomial = with(node("Multinomial", &["x"], &["a"]), &[samples], &[]);
        let found = &drawn_by(vec![multinomial], &[1, 4], &weights)[0];
        assert_eq!((found.dtype(), found.dims()), (DType::I32, &[1, 2000][..]));
        let class = |class| {
            (0..2000usize)
                .filter(|&i| found.raw(i) == Some(class))
                .count()
        };
        assert!(class(0).abs_diff(1000) < 90 && class(1).abs_diff(400) < 75);
        assert_eq!(class(3), 0);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let refused = |inputs, node: NodeProto| {
            let file = file(inputs, vec![node], &["a"]);
            let wrong = import(&file, &ImportOptions::default()).unwrap_err();
            wrong.to_string()
        };
        let shape: (&str, &[i64]) = ("shape", &[2]);
        let normal = || node("RandomNormal", &[], &["a"]);
        let complex = with(normal(), &[shape, ("dtype", &[14])], &[]);
        assert!(refused(vec![], complex).contains("element type 14"));
        let whole = with(normal(), &[shape, ("dtype", &[7])], &[]);
        assert!(refused(vec![], whole).contains("it gives floats, not I64"));
        for dims in [&[1i64 << 30][..], &[1 << 22; 2], &[1 << 20; 8]] {
            let large = with(normal(), &[("shape", dims)], &[]);
            assert!(refused(vec![], large).contains("no words for"));
        }
        let taken = with(normal(), &[shape], &[]);
        let text = refused(vec![io("seed", 1, &[1])], taken);
        assert!(text.contains("input \"seed\" must be I64[1]"), "{text}");
    }
}
