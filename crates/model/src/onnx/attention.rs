//! Attention and what goes with it: rotary embeddings, linear attention, causal convolution with a state.

use gavel_numerics::element::Extra;
use gavel_numerics::{DType, Op, Reduction, Tensor};

use super::Value;
use super::functions as f;
use super::lower::Lowering;
use super::types;
use super::windows::{Along, NONE, convolved};
use crate::ModelError;

/// What this module maps.
pub(super) const SUPPORTED: &[&str] = &[
    "Attention",
    "CausalConvWithState",
    "LinearAttention",
    "RotaryEmbedding",
];

/// Values of a node of this kind.
pub(super) fn lower(
    l: &mut Lowering<'_, '_>,
    op: &str,
    outputs: usize,
) -> Result<Vec<Value>, ModelError> {
    match op {
        "Attention" => attention(l, outputs),
        "CausalConvWithState" => causal_conv(l),
        "LinearAttention" => linear_attention(l),
        _ => Ok(vec![rotary(l)?]),
    }
}

/// A number of heads.
fn heads(l: &Lowering<'_, '_>, name: &'static str) -> Result<Option<u64>, ModelError> {
    match l.attributes.optional_int(name)? {
        None => Ok(None),
        Some(n) => match u64::try_from(n) {
            Ok(n) if n > 0 => Ok(Some(n)),
            _ => Err(l.fail(format!("{name} must be positive, found {n}"))),
        },
    }
}

/// `[batch, steps, heads * width]` as `[batch, heads, steps, width]`.
fn split_heads(l: &mut Lowering<'_, '_>, value: &Value, heads: u64) -> Result<Value, ModelError> {
    match l.dims(value)[..] {
        [batch, steps, all] if all.is_multiple_of(heads) => {
            let split = l.reshape_to(value, vec![batch, steps, heads, all / heads])?;
            l.permuted(&split, &[0, 2, 1, 3])
        }
        ref dims => Err(l.fail(format!("{dims:?} is not split into {heads} heads"))),
    }
}

fn joined_heads(l: &mut Lowering<'_, '_>, value: &Value) -> Result<Value, ModelError> {
    let [batch, heads, steps, width] =
        <[u64; 4]>::try_from(l.dims(value)).map_err(|_| l.fail("4 axes were expected"))?;
    let moved = l.permuted(value, &[0, 2, 1, 3])?;
    l.reshape_to(&moved, vec![batch, steps, heads * width])
}

fn attention(l: &mut Lowering<'_, '_>, outputs: usize) -> Result<Vec<Value>, ModelError> {
    l.no_bf16()?;
    let flat = l.ty(0)?.dims.len() == 3;
    let (q_heads, kv_heads) = (heads(l, "q_num_heads")?, heads(l, "kv_num_heads")?);
    let mut operands = Vec::with_capacity(3);
    for (i, heads) in [q_heads, kv_heads, kv_heads].into_iter().enumerate() {
        let value = l.value(i)?;
        operands.push(match (flat, heads) {
            (false, _) => value,
            (true, Some(heads)) => split_heads(l, &value, heads)?,
            (true, None) => return Err(l.fail("inputs of 3 axes need the numbers of heads")),
        });
    }
    let [q, mut k, mut v] = <[Value; 3]>::try_from(operands)
        .map_err(|_| l.fail("it takes a query, a key and a value"))?;
    let mut past = 0;
    if let (Some(past_key), Some(past_value)) = (l.optional(4), l.optional(5)) {
        past = l.dims(&past_key).get(2).copied().unwrap_or(0);
        k = l.concat(&[past_key, k], 2)?;
        v = l.concat(&[past_value, v], 2)?;
    }
    let present = (k.clone(), v.clone());
    let sizes = |l: &Lowering<'_, '_>, value: &Value| {
        <[u64; 4]>::try_from(l.dims(value)).map_err(|_| l.fail("3 or 4 axes were expected"))
    };
    let [batch, heads, rows, width] = sizes(l, &q)?;
    let [_, groups, keys, _] = sizes(l, &k)?;
    let [_, _, _, out_width] = sizes(l, &v)?;
    if groups == 0 || !heads.is_multiple_of(groups) {
        return Err(l.fail(format!("{heads} query heads over {groups} key heads")));
    }
    let scale = match l.attributes.optional_float("scale")? {
        Some(scale) => scale,
        None => 1.0 / (width as f32).sqrt(),
    };
    let root = l.numbers(&[], vec![scale.sqrt()])?;
    let (q, k) = (l.mul(&q, &root)?, l.mul(&k, &root)?);
    // query heads over one key head are beside each other
    let q = l.reshape_to(&q, vec![batch, groups, heads / groups * rows, width])?;
    let k = l.transposed(&k)?;
    let scores = l.matmul(&q, &k)?;
    let raw = l.reshape_to(&scores, vec![batch, heads, rows, keys])?;
    let softcap = l.attributes.float("softcap", 0.0)?;
    let capped = if softcap > 0.0 {
        l.floats(&[&raw], |p, x| {
            let cap = p.float(softcap);
            let share = p.fdiv(x[0], cap);
            let tanh = p.function(Extra::Tanh, share);
            p.fmul(tanh, cap)
        })?
    } else {
        raw.clone()
    };
    let bias = bias(l, [batch, rows, keys], past)?;
    let biased = match &bias {
        Some(bias) => l.add(&capped, bias)?,
        None => capped.clone(),
    };
    let mode = l.attributes.int("qk_matmul_output_mode", 0)?;
    let wide = matches!(l.attributes.int("softmax_precision", 1)?, 1 | 10 | 16);
    if !wide {
        return Err(l.fail("softmax_precision must be a float of at most 32 bits"));
    }
    let mut soft = l.node(Op::Softmax { axis: 3 }, std::slice::from_ref(&biased))?;
    if let Some(bias) = &bias {
        soft = without_keys(l, bias, &soft)?;
    }
    let weights = l.reshape_to(&soft, vec![batch, groups, heads / groups * rows, keys])?;
    let found = l.matmul(&weights, &v)?;
    let mut found = l.reshape_to(&found, vec![batch, heads, rows, out_width])?;
    if flat {
        found = joined_heads(l, &found)?;
    }
    let mut all = vec![found, present.0, present.1];
    if outputs > 3 {
        all.push(match mode {
            0 => raw,
            1 => capped,
            2 => biased,
            3 => soft,
            other => {
                return Err(l.fail(format!("qk_matmul_output_mode {other} is not known")));
            }
        });
    }
    Ok(all)
}

/// 0 in rows whose keys are all masked.
fn without_keys(l: &mut Lowering<'_, '_>, bias: &Value, soft: &Value) -> Result<Value, ModelError> {
    let axis = l.dims(bias).len() - 1;
    let op = Op::Reduce {
        kind: Reduction::Max,
        axis: axis as u32,
        integers: false,
    };
    let most = l.node(op, std::slice::from_ref(bias))?;
    if let Some(known) = l.known(&most)
        && known
            .as_f32()
            .is_some_and(|all| all.iter().all(|&x| x > f32::NEG_INFINITY))
    {
        return Ok(soft.clone());
    }
    l.floats(&[soft, &most], |p, x| {
        let (zero, nothing) = (p.float(0.0), p.float(f32::NEG_INFINITY));
        let masked = p.equal(x[1], nothing);
        p.select(masked, zero, x[0])
    })
}

/// What is added to the scores: the mask, the causal order, windows, and the keys that are there.
fn bias(
    l: &mut Lowering<'_, '_>,
    [batch, rows, keys]: [u64; 3],
    past: u64,
) -> Result<Option<Value>, ModelError> {
    let causal = l.attributes.flag("is_causal", false)?;
    let (left, right) = (
        l.attributes.int("left_window_size", -1)?,
        l.attributes.int("right_window_size", -1)?,
    );
    let mut found = None;
    if let Some(mask) = l.optional(3) {
        found = Some(float_mask(l, &mask, keys)?);
    }
    let lengths = match l.optional(6) {
        None => None,
        Some(lengths) => {
            let lengths = l.cast(&lengths, DType::I64)?;
            Some(l.reshape_to(&lengths, vec![batch, 1, 1, 1])?)
        }
    };
    let mut allowed: Vec<Value> = Vec::new();
    let (row, key) = (
        l.positions(&[1, 1, rows, keys], 2)?,
        l.positions(&[1, 1, rows, keys], 3)?,
    );
    if causal || left >= 0 || right >= 0 {
        // the query's place among the keys
        let place = match &lengths {
            Some(lengths) if past == 0 => l.map(&[row, lengths.clone()], DType::I64, |p, x| {
                let rows = p.wide(rows);
                let offset = p.sub(x[1], rows);
                p.add(x[0], offset)
            })?,
            _ => l.map(&[row], DType::I64, |p, x| {
                let past = p.wide(past);
                p.add(x[0], past)
            })?,
        };
        let window = l.map(&[place, key.clone()], DType::Bool, |p, x| {
            let mut inside = p.number(1);
            if causal {
                let beyond = types::signed_less(p, x[0], x[1]);
                let seen = f::not(p, beyond);
                inside = p.and(inside, seen);
            }
            for (size, from, to) in [(left, x[1], x[0]), (right, x[0], x[1])] {
                if size >= 0 {
                    let size = p.wide(size.cast_unsigned());
                    let distance = p.sub(to, from);
                    let beyond = types::signed_less(p, size, distance);
                    let seen = f::not(p, beyond);
                    inside = p.and(inside, seen);
                }
            }
            inside
        })?;
        allowed.push(window);
    }
    if let Some(lengths) = lengths {
        allowed.push(l.map(&[key, lengths], DType::Bool, |p, x| {
            types::signed_less(p, x[0], x[1])
        })?);
    }
    for mask in allowed {
        let mask = l.map(&[mask], DType::F32, |p, x| {
            let (zero, nothing) = (p.float(0.0), p.float(f32::NEG_INFINITY));
            p.select(x[0], zero, nothing)
        })?;
        found = Some(match found {
            Some(found) => l.add(&found, &mask)?,
            None => mask,
        });
    }
    Ok(found)
}

/// A mask as numbers to add, as long as the keys: what is missing is masked.
fn float_mask(l: &mut Lowering<'_, '_>, mask: &Value, keys: u64) -> Result<Value, ModelError> {
    let mask = match l.dtype(mask) {
        DType::Bool => l.map(std::slice::from_ref(mask), DType::F32, |p, x| {
            let (zero, nothing) = (p.float(0.0), p.float(f32::NEG_INFINITY));
            p.select(x[0], zero, nothing)
        })?,
        _ => mask.clone(),
    };
    let mut axes = l.axes_of(&mask);
    match axes.last_mut() {
        Some(last) if last.extent < keys && last.extent != 1 => last.extent = keys,
        Some(_) => return Ok(mask),
        None => return Err(l.fail("its mask is a scalar")),
    }
    let fill = f32::NEG_INFINITY.to_bits().into();
    l.node(Op::View { fill, axes }, &[mask])
}

fn rotary(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let (x, cos, sin) = (l.value(0)?, l.value(1)?, l.value(2)?);
    let dims = l.dims(&x);
    let heads = heads(l, "num_heads")?;
    let flat = dims.len() == 3;
    // [batch, heads, steps, width]
    let value = match (flat, heads) {
        (false, _) => x,
        (true, Some(heads)) => split_heads(l, &x, heads)?,
        (true, None) => return Err(l.fail("an input of 3 axes needs num_heads")),
    };
    let [batch, heads, steps, width] =
        <[u64; 4]>::try_from(l.dims(&value)).map_err(|_| l.fail("3 or 4 axes were expected"))?;
    let rotated = match l.attributes.int("rotary_embedding_dim", 0)? {
        0 => width,
        n => u64::try_from(n)
            .ok()
            .filter(|n| (1..=width).contains(n))
            .ok_or_else(|| l.fail(format!("rotary_embedding_dim {n} of {width}")))?,
    };
    if !rotated.is_multiple_of(2) {
        return Err(l.fail(format!("{rotated} is not even")));
    }
    let half = rotated / 2;
    let interleaved = l.attributes.flag("interleaved", false)?;
    let mut tables = Vec::with_capacity(2);
    for table in [cos, sin] {
        let table = match l.optional(3) {
            Some(at) => {
                let at = l.cast(&at, DType::I64)?;
                l.gather(&table, &at, 0)?
            }
            None => table,
        };
        let own = l.dims(&table);
        if own.last() != Some(&half) {
            return Err(l.fail(format!("a table of {own:?} for {half} pairs")));
        }
        let own = match own[..] {
            [rows, steps, half] => vec![rows, 1, steps, half],
            _ => vec![1, 1, steps, half],
        };
        tables.push(l.reshape_to(&table, own)?);
    }
    let (cos, sin) = (tables.remove(0), tables.remove(0));
    let front = l.part(&value, 3, 0, rotated)?;
    let (first, second) = if interleaved {
        let pairs = l.reshape_to(&front, vec![batch, heads, steps, half, 2])?;
        (l.at(&pairs, 4, 0)?, l.at(&pairs, 4, 1)?)
    } else {
        (
            l.part(&front, 3, 0, half)?,
            l.part(&front, 3, half as i64, half)?,
        )
    };
    let real = l.floats(&[&first, &second, &cos, &sin], |p, x| {
        let (a, b) = (p.fmul(x[2], x[0]), p.fmul(x[3], x[1]));
        p.fsub(a, b)
    })?;
    let imaginary = l.floats(&[&first, &second, &cos, &sin], |p, x| {
        let (a, b) = (p.fmul(x[3], x[0]), p.fmul(x[2], x[1]));
        p.fadd(a, b)
    })?;
    let turned = if interleaved {
        let pairs = l.stack(&[real, imaginary], 4)?;
        l.reshape_to(&pairs, vec![batch, heads, steps, rotated])?
    } else {
        l.concat(&[real, imaginary], 3)?
    };
    let found = if rotated < width {
        let rest = l.part(&value, 3, rotated as i64, width - rotated)?;
        l.concat(&[turned, rest], 3)?
    } else {
        turned
    };
    match flat {
        true => joined_heads(l, &found),
        false => Ok(found),
    }
}

fn causal_conv(l: &mut Lowering<'_, '_>) -> Result<Vec<Value>, ModelError> {
    let (x, weight) = (l.value(0)?, l.value(1)?);
    let ([batch, channels, _], [_, _, k]) = (
        <[u64; 3]>::try_from(l.dims(&x)).map_err(|_| l.fail("its input must have 3 axes"))?,
        <[u64; 3]>::try_from(l.dims(&weight)).map_err(|_| l.fail("W must have 3 axes"))?,
    );
    let before = k.saturating_sub(1);
    let past = match l.optional(3) {
        Some(past) => past,
        None => l.zeros(DType::F32, &[batch, channels, before])?,
    };
    let padded = l.concat(&[past, x], 2)?;
    let extent = l.dims(&padded)[2];
    let along = Along {
        extent,
        kernel: k,
        ..NONE
    };
    let groups = u32::try_from(channels).map_err(|_| l.fail("too many channels"))?;
    let bias = l.optional(2);
    let mut found = convolved(l, &padded, &weight, bias.as_ref(), &[along], groups)?;
    match l
        .attributes
        .text("activation")?
        .as_deref()
        .unwrap_or("none")
    {
        "none" => {}
        "silu" | "swish" => {
            found = l.floats(&[&found], |p, x| {
                let gate = p.function(Extra::Sigmoid, x[0]);
                p.fmul(x[0], gate)
            })?;
        }
        other => return Err(l.fail(format!("activation {other:?} is not known"))),
    }
    let state = l.part(&padded, 2, (extent - before) as i64, before)?;
    Ok(vec![found, state])
}

/// Written out step by step: the state decays, takes in a key and a value, and is read by the query.
fn linear_attention(l: &mut Lowering<'_, '_>) -> Result<Vec<Value>, ModelError> {
    l.attributes.ignore(&["chunk_size"]);
    let missing = |l: &Lowering<'_, '_>| l.fail("it needs q_num_heads and kv_num_heads");
    let q_heads = heads(l, "q_num_heads")?.ok_or_else(|| missing(l))?;
    let kv_heads = heads(l, "kv_num_heads")?.ok_or_else(|| missing(l))?;
    let rule = l.attributes.text("update_rule")?;
    let rule = rule.unwrap_or_else(|| "gated_delta".into());
    let (gated, delta) = match rule.as_str() {
        "linear" => (false, false),
        "gated" => (true, false),
        "delta" => (false, true),
        "gated_delta" => (true, true),
        other => return Err(l.fail(format!("update_rule {other:?} is not known"))),
    };
    if !q_heads.is_multiple_of(kv_heads) {
        return Err(l.fail(format!("{q_heads} query heads over {kv_heads}")));
    }
    let (q, k, v) = (l.value(0)?, l.value(1)?, l.value(2)?);
    let (q, k, v) = (
        split_heads(l, &q, q_heads)?,
        split_heads(l, &k, kv_heads)?,
        split_heads(l, &v, kv_heads)?,
    );
    let [batch, _, steps, d_k] =
        <[u64; 4]>::try_from(l.dims(&q)).map_err(|_| l.fail("3 axes were expected"))?;
    let d_v = l.dims(&v).last().copied().unwrap_or(0);
    let scale = match l.attributes.float("scale", 0.0)? {
        0.0 => 1.0 / (d_k as f32).sqrt(),
        scale => scale,
    };
    let scale = l.numbers(&[], vec![scale])?;
    let q = l.mul(&q, &scale)?;
    // by heads over one key head: [batch, kv_heads, heads / kv_heads, steps, d_k]
    let q = l.reshape_to(&q, vec![batch, kv_heads, q_heads / kv_heads, steps, d_k])?;
    let decay = match (gated, l.optional(4)) {
        (false, _) => None,
        (true, None) => return Err(l.fail("its update_rule needs decay")),
        (true, Some(decay)) => {
            let decay = l.floats(&[&decay], |p, x| f::exp(p, x[0]))?;
            Some(split_heads(l, &decay, kv_heads)?)
        }
    };
    let rate = match (delta, l.optional(5)) {
        (false, _) => None,
        (true, None) => return Err(l.fail("its update_rule needs beta")),
        (true, Some(rate)) => {
            let own = l.dims(&rate).last().copied().unwrap_or(1);
            Some(split_heads(l, &rate, own)?)
        }
    };
    let mut state = match l.optional(3) {
        Some(state) => state,
        None => l.zeros(DType::F32, &[batch, kv_heads, d_k, d_v])?,
    };
    let mut rows = Vec::with_capacity(steps as usize);
    for step in 0..steps {
        // [batch, kv_heads, 1, d]
        let part = |l: &mut Lowering<'_, '_>, value: &Value| l.part(value, 2, step as i64, 1);
        let (key, value) = (part(l, &k)?, part(l, &v)?);
        let column = l.transposed(&key)?;
        if let Some(decay) = &decay {
            let decay = part(l, decay)?;
            let decay = l.transposed(&decay)?;
            state = l.mul(&state, &decay)?;
        }
        let mut fresh = value;
        if let Some(rate) = &rate {
            let rate = part(l, rate)?;
            let known = l.matmul(&key, &state)?;
            fresh = l.floats(&[&fresh, &known, &rate], |p, x| {
                let rest = p.fsub(x[0], x[1]);
                p.fmul(x[2], rest)
            })?;
        }
        state = l.floats(&[&state, &column, &fresh], |p, x| {
            let product = p.fmul(x[1], x[2]);
            p.fadd(x[0], product)
        })?;
        let query = l.at(&q, 3, step)?;
        let read = l.matmul(&query, &state)?;
        rows.push(l.reshape_to(&read, vec![batch, q_heads * d_v])?);
    }
    if rows.is_empty() {
        let none = Tensor::f32([batch, 0, q_heads * d_v], Vec::new());
        return Ok(vec![l.constant_of(none)?, state]);
    }
    Ok(vec![l.stack(&rows, 1)?, state])
}
