//! Shape programs of the operators of language models. A step handles one position; rows before it live in caches.

use super::f32_of;
use crate::blocks::{ACTIVATION_BLOCK, ACTIVATION_BYTES};
use crate::{DType, NumericsError, Op, TensorType, WeightFormat};

/// Words of the sampling parameters (`spec/numerics.md`, "Sampling").
pub(super) const PARAMETERS: u64 = 16;

/// Element operations of one application on an output of `out` elements.
pub(super) fn work(op: &Op, inputs: &[&TensorType], out: u64) -> u64 {
    let extent = |input: usize, axis: usize| {
        let dims = inputs.get(input).map(|t| &t.dims);
        dims.and_then(|d| d.get(axis)).copied().unwrap_or(1)
    };
    let depth = match op {
        Op::Linear { format } => {
            let bytes = usize::try_from(extent(1, 1)).ok();
            match format {
                WeightFormat::F32 => extent(1, 1),
                _ => bytes.and_then(|b| format.row_values(b)).unwrap_or(1) as u64,
            }
        }
        // scores and values of a full context
        Op::Attention { .. } => extent(1, 0).saturating_mul(2),
        Op::SwiGlu | Op::Filter | Op::Sample => 16,
        Op::RmsNorm { .. } | Op::Quantize => 4,
        Op::WriteRow => return extent(1, 1).max(1),
        _ => 1,
    };
    out.saturating_mul(depth.max(1)).max(1)
}

/// The type of the output.
pub(super) fn output(op: &Op, inputs: &[&TensorType]) -> Result<TensorType, NumericsError> {
    match op {
        Op::Embed { format } => embed(op, inputs, *format),
        Op::RmsNorm { .. } => {
            op.arity(inputs, 2..=2, "2 (X, w)")?;
            op.all_f32(inputs)?;
            let (x, group) = (inputs[0], vector(op, inputs, 1)?);
            let last = x.dims.last().copied().unwrap_or(1);
            if group == 0 || last == 0 || !last.is_multiple_of(group) {
                return Err(op.wrong(format!("groups of {group} do not fit X {x}")));
            }
            Ok(x.clone())
        }
        Op::Quantize => {
            op.arity(inputs, 1..=1, "1")?;
            op.all_f32(inputs)?;
            let [m, k] = matrix(op, inputs, 0)?;
            let block = ACTIVATION_BLOCK as u64;
            if k == 0 || !k.is_multiple_of(block) {
                return Err(op.wrong(format!("rows of {k} are no whole blocks of {block}")));
            }
            Ok(TensorType::new(
                DType::U8,
                [m, k / block * ACTIVATION_BYTES as u64],
            ))
        }
        Op::Linear { format } => linear(op, inputs, *format),
        Op::Rope {
            head_dim, rotary, ..
        } => rope(op, inputs, (*head_dim).into(), (*rotary).into()),
        Op::WriteRow => {
            op.arity(inputs, 3..=3, "3 (cache, row, position)")?;
            op.all_f32(&inputs[..2])?;
            position(op, inputs, 2)?;
            let ([context, width], row) = (matrix(op, inputs, 0)?, matrix(op, inputs, 1)?);
            if row != [1, width] || context == 0 {
                return Err(op.wrong(format!("{} is no row of {}", inputs[1], inputs[0])));
            }
            Ok(inputs[0].clone())
        }
        Op::Attention {
            head_dim,
            heads,
            kv_heads,
            ..
        } => {
            let [head_dim, heads, kv_heads] = [*head_dim, *heads, *kv_heads].map(u64::from);
            attention(op, inputs, head_dim, heads, kv_heads)
        }
        Op::SwiGlu => {
            op.arity(inputs, 2..=2, "2 (gate, up)")?;
            op.all_f32(inputs)?;
            if inputs[0] != inputs[1] {
                return Err(op.wrong(format!("{} and {} differ", inputs[0], inputs[1])));
            }
            Ok(inputs[0].clone())
        }
        Op::Penalties => {
            op.arity(inputs, 4..=4, "4 (logits, tokens, position, params)")?;
            tokens(op, inputs, 1)?;
            position(op, inputs, 2)?;
            parameters(op, inputs, 3)?;
            logits(op, inputs)
        }
        Op::Filter => {
            op.arity(inputs, 2..=2, "2 (logits, params)")?;
            parameters(op, inputs, 1)?;
            logits(op, inputs)
        }
        Op::Sample => {
            op.arity(inputs, 3..=3, "3 (logits, position, params)")?;
            position(op, inputs, 1)?;
            parameters(op, inputs, 2)?;
            logits(op, inputs)?;
            Ok(TensorType::new(DType::I32, [1]))
        }
        Op::AppendToken => {
            op.arity(inputs, 4..=4, "4 (tokens, sampled, position, params)")?;
            tokens(op, inputs, 0)?;
            typed(op, inputs, 1, DType::I32, &[1])?;
            position(op, inputs, 2)?;
            parameters(op, inputs, 3)?;
            Ok(inputs[0].clone())
        }
        Op::Stop => {
            op.arity(inputs, 5..=5, "5 (stop, tokens, position, params, end)")?;
            position(op, inputs, 0)?;
            tokens(op, inputs, 1)?;
            position(op, inputs, 2)?;
            parameters(op, inputs, 3)?;
            if inputs[4].dtype != DType::I32 || inputs[4].dims.len() != 1 {
                return Err(op.wrong(format!("end must be a list of i32, found {}", inputs[4])));
            }
            Ok(inputs[0].clone())
        }
        Op::Advance => {
            op.arity(inputs, 1..=1, "1")?;
            position(op, inputs, 0)?;
            Ok(inputs[0].clone())
        }
        other => Err(other.wrong("is no operator of language models".to_owned())),
    }
}

/// Rows and values per row of the weights at `input`.
fn weights(
    op: &Op,
    inputs: &[&TensorType],
    input: usize,
    format: WeightFormat,
) -> Result<[u64; 2], NumericsError> {
    let (expected, found) = match format {
        WeightFormat::F32 => (DType::F32, inputs[input]),
        _ => (DType::U8, inputs[input]),
    };
    if found.dtype != expected {
        return Err(NumericsError::InputType {
            op: op.name(),
            input,
            expected,
            found: found.dtype,
        });
    }
    let [rows, extent] = matrix(op, inputs, input)?;
    let values = match format {
        WeightFormat::F32 => Some(extent),
        _ => usize::try_from(extent)
            .ok()
            .and_then(|bytes| format.row_values(bytes))
            .map(|k| k as u64),
    };
    match values {
        Some(k) if k > 0 => Ok([rows, k]),
        _ => Err(op.wrong(format!(
            "rows of {extent} bytes are no whole blocks of {}",
            format.name()
        ))),
    }
}

fn embed(
    op: &Op,
    inputs: &[&TensorType],
    format: WeightFormat,
) -> Result<TensorType, NumericsError> {
    op.arity(inputs, 3..=3, "3 (table, tokens, position)")?;
    let [_, width] = weights(op, inputs, 0, format)?;
    tokens(op, inputs, 1)?;
    position(op, inputs, 2)?;
    Ok(f32_of(vec![1, width]))
}

fn linear(
    op: &Op,
    inputs: &[&TensorType],
    format: WeightFormat,
) -> Result<TensorType, NumericsError> {
    op.arity(inputs, 2..=2, "2 (X, W)")?;
    let [n, k] = weights(op, inputs, 1, format)?;
    let quantised = format.is_quantised();
    let (dtype, extent) = match quantised {
        true => (
            DType::U8,
            k / ACTIVATION_BLOCK as u64 * ACTIVATION_BYTES as u64,
        ),
        false => (DType::F32, k),
    };
    let [m, found] = matrix(op, inputs, 0)?;
    if inputs[0].dtype != dtype || found != extent {
        return Err(op.wrong(format!(
            "X {} does not fit {n} rows of {k} values in {}: expected {dtype:?}[m x {extent}]",
            inputs[0],
            format.name()
        )));
    }
    Ok(f32_of(vec![m, n]))
}

fn rope(
    op: &Op,
    inputs: &[&TensorType],
    head_dim: u64,
    rotary: u64,
) -> Result<TensorType, NumericsError> {
    op.arity(inputs, 3..=3, "3 (X, table, position)")?;
    op.all_f32(&inputs[..2])?;
    position(op, inputs, 2)?;
    let ([m, width], [_, table]) = (matrix(op, inputs, 0)?, matrix(op, inputs, 1)?);
    let fits = m == 1
        && head_dim > 0
        && width.is_multiple_of(head_dim)
        && rotary <= head_dim
        && rotary.is_multiple_of(2)
        && table == rotary;
    if !fits {
        return Err(op.wrong(format!(
            "heads of {head_dim}, {rotary} of them rotated, do not fit X {} and table {}",
            inputs[0], inputs[1]
        )));
    }
    Ok(inputs[0].clone())
}

fn attention(
    op: &Op,
    inputs: &[&TensorType],
    head_dim: u64,
    heads: u64,
    kv_heads: u64,
) -> Result<TensorType, NumericsError> {
    op.arity(inputs, 4..=4, "4 (Q, K, V, position)")?;
    op.all_f32(&inputs[..3])?;
    position(op, inputs, 3)?;
    let (q, cache) = (matrix(op, inputs, 0)?, matrix(op, inputs, 1)?);
    let fits = head_dim > 0
        && kv_heads > 0
        && heads.is_multiple_of(kv_heads)
        && q == [1, heads * head_dim]
        && cache[0] > 0
        && cache[1] == kv_heads * head_dim
        && inputs[1] == inputs[2];
    if !fits {
        return Err(op.wrong(format!(
            "{heads} heads on {kv_heads} of {head_dim} values do not fit Q {}, K {}, V {}",
            inputs[0], inputs[1], inputs[2]
        )));
    }
    Ok(inputs[0].clone())
}

fn matrix(op: &Op, inputs: &[&TensorType], input: usize) -> Result<[u64; 2], NumericsError> {
    match inputs[input].dims[..] {
        [rows, columns] => Ok([rows, columns]),
        _ => Err(op.wrong(format!(
            "input {input} must be a matrix, found {}",
            inputs[input]
        ))),
    }
}

fn vector(op: &Op, inputs: &[&TensorType], input: usize) -> Result<u64, NumericsError> {
    match inputs[input].dims[..] {
        [extent] => Ok(extent),
        _ => Err(op.wrong(format!(
            "input {input} must be a vector, found {}",
            inputs[input]
        ))),
    }
}

fn typed(
    op: &Op,
    inputs: &[&TensorType],
    input: usize,
    dtype: DType,
    dims: &[u64],
) -> Result<(), NumericsError> {
    let expected = TensorType::new(dtype, dims);
    if *inputs[input] != expected {
        return Err(op.wrong(format!(
            "input {input} must be {expected}, found {}",
            inputs[input]
        )));
    }
    Ok(())
}

fn position(op: &Op, inputs: &[&TensorType], input: usize) -> Result<(), NumericsError> {
    typed(op, inputs, input, DType::I64, &[1])
}

fn parameters(op: &Op, inputs: &[&TensorType], input: usize) -> Result<(), NumericsError> {
    typed(op, inputs, input, DType::I64, &[PARAMETERS])
}

fn tokens(op: &Op, inputs: &[&TensorType], input: usize) -> Result<(), NumericsError> {
    let found = inputs[input];
    if found.dtype != DType::I32 || found.dims.len() != 1 || found.dims[0] == 0 {
        return Err(op.wrong(format!(
            "input {input} must be tokens i32[n], found {found}"
        )));
    }
    Ok(())
}

fn logits(op: &Op, inputs: &[&TensorType]) -> Result<TensorType, NumericsError> {
    op.all_f32(&inputs[..1])?;
    match matrix(op, inputs, 0)? {
        [1, vocabulary] if vocabulary > 0 => Ok(inputs[0].clone()),
        _ => Err(op.wrong(format!("logits must be [1 x V], found {}", inputs[0]))),
    }
}
