//! The operators of language models on whole tensors.

use super::attention::{AttentionRows, AttentionShape, attention, visible};
use super::kv::{KV_PAGE, KvShape};
use super::linear::whole::{embed_op, linear_op, quantize_op};
use super::rms_norm::rms_norm;
use super::rope::{RopeShape, rope};
use super::sampling::{PARAMETERS, SamplingParams, appended_at, filter, penalties, sample, stop};
use super::swiglu::swiglu;
use super::{Isa, Parallel};
use crate::{DType, Data, NumericsError, Op, Tensor, reference};

/// Computes `op`, whose types the caller has checked.
pub(super) fn eval(
    isa: Isa,
    par: &dyn Parallel,
    op: &Op,
    inputs: &[&Tensor],
) -> Result<Tensor, NumericsError> {
    let run = Run { op, inputs };
    let dims = || run.input(0).map(|t| t.dims().to_vec());
    match *op {
        Op::Embed { format } => embed_op(op, format, run.input(0)?, run.input(1)?, run.input(2)?),
        Op::Quantize => quantize_op(isa, par, op, run.input(0)?),
        Op::Linear { format } => linear_op(isa, par, op, format, run.input(0)?, run.input(1)?),
        Op::RmsNorm { epsilon_bits } => {
            let (x, w) = (run.f32(0)?, run.f32(1)?);
            let mut out = vec![0.0; x.len()];
            rms_norm(isa, x, w, f32::from_bits(epsilon_bits), &mut out);
            Tensor::f32(dims()?, out)
        }
        Op::Rope {
            head_dim,
            halves,
            rotary,
        } => {
            let shape = RopeShape {
                head_dim: head_dim as usize,
                halves,
                rotary: rotary as usize,
            };
            let (mut x, table) = (run.f32(0)?.to_vec(), run.f32(1)?);
            let zeros = vec![0.0; shape.rotary];
            let row = row(table, shape.rotary, run.position(2)?).unwrap_or(&zeros);
            rope(isa, shape, row, &mut x);
            Tensor::f32(dims()?, x)
        }
        Op::WriteRow => {
            let (mut cache, new) = (run.f32(0)?.to_vec(), run.f32(1)?);
            let width = new.len();
            if let Some(at) = row_at(cache.len(), width, run.position(2)?) {
                cache[at..at + width].copy_from_slice(new);
            }
            Tensor::f32(dims()?, cache)
        }
        Op::Attention {
            head_dim,
            heads,
            kv_heads,
            scale_bits,
            window,
        } => {
            let shape = AttentionShape {
                kv: KvShape {
                    kv_heads: kv_heads as usize,
                    head_dim: head_dim as usize,
                },
                heads: heads as usize,
                scale: f32::from_bits(scale_bits),
            };
            let mut out = vec![0.0; run.f32(0)?.len()];
            run.attention(isa, par, shape, window.into(), &mut out)?;
            Tensor::f32(dims()?, out)
        }
        Op::SwiGlu => {
            let (gate, up) = (run.f32(0)?, run.f32(1)?);
            let mut out = vec![0.0; gate.len()];
            swiglu(isa, gate, up, &mut out);
            Tensor::f32(dims()?, out)
        }
        Op::Penalties => {
            let (mut logits, tokens) = (run.f32(0)?.to_vec(), run.i32(1)?);
            let count = run.position(2)?.saturating_add(1).min(tokens.len() as u64);
            penalties(&mut logits, &tokens[..count as usize], &run.parameters(3)?);
            Tensor::f32(dims()?, logits)
        }
        Op::Filter => {
            let mut logits = run.f32(0)?.to_vec();
            filter(isa, &mut logits, &run.parameters(1)?);
            Tensor::f32(dims()?, logits)
        }
        Op::Sample => {
            let token = sample(isa, run.f32(0)?, run.position(1)?, &run.parameters(2)?);
            Tensor::i32([1], vec![token as i32])
        }
        Op::AppendToken => {
            let (mut tokens, sampled) = (run.i32(0)?.to_vec(), run.i32(1)?);
            let at = appended_at(run.position(2)?, &run.parameters(3)?);
            let slot = at
                .and_then(|at| usize::try_from(at).ok())
                .and_then(|at| tokens.get_mut(at));
            if let (Some(slot), Some(token)) = (slot, sampled.first()) {
                *slot = *token;
            }
            Tensor::i32(dims()?, tokens)
        }
        Op::Stop => {
            let (tokens, end) = (run.i32(1)?, run.i32(4)?);
            let (position, params) = (run.position(2)?, run.parameters(3)?);
            let state = stop(run.position(0)? != 0, tokens, position, &params, end);
            Tensor::i64(dims()?, vec![state])
        }
        Op::Advance => {
            let next = run.position(0)?.wrapping_add(1);
            Tensor::i64(dims()?, vec![next.cast_signed()])
        }
        // every operator without a kernel of its own
        _ => reference::eval(op, inputs),
    }
}

/// Where row `position` of rows of `width` begins, if it is there.
fn row_at(len: usize, width: usize, position: u64) -> Option<usize> {
    let at = usize::try_from(position).ok()?.checked_mul(width)?;
    (at < len).then_some(at)
}

/// Row `position`, if it is there.
fn row(values: &[f32], width: usize, position: u64) -> Option<&[f32]> {
    row_at(values.len(), width, position).map(|at| &values[at..at + width])
}

/// One evaluation whose types are checked.
struct Run<'a> {
    op: &'a Op,
    inputs: &'a [&'a Tensor],
}

impl<'a> Run<'a> {
    fn input(&self, i: usize) -> Result<&'a Tensor, NumericsError> {
        self.inputs.get(i).copied().ok_or(NumericsError::Arity {
            op: self.op.name(),
            expected: "more",
            found: self.inputs.len(),
        })
    }

    /// The elements of input `i`, if `of` finds them.
    fn elements<T: ?Sized>(
        &self,
        i: usize,
        expected: DType,
        of: impl FnOnce(&'a Tensor) -> Option<&'a T>,
    ) -> Result<&'a T, NumericsError> {
        let tensor = self.input(i)?;
        of(tensor).ok_or_else(|| NumericsError::InputType {
            op: self.op.name(),
            input: i,
            expected,
            found: tensor.dtype(),
        })
    }

    fn f32(&self, i: usize) -> Result<&'a [f32], NumericsError> {
        self.elements(i, DType::F32, Tensor::as_f32)
    }

    fn i32(&self, i: usize) -> Result<&'a [i32], NumericsError> {
        self.elements(i, DType::I32, |t| match t.data() {
            Data::I32(values) => Some(&values[..]),
            _ => None,
        })
    }

    /// The one element of a counter, unsigned as in the machine.
    fn position(&self, i: usize) -> Result<u64, NumericsError> {
        let counter = self.elements(i, DType::I64, |t| t.as_i64()?.first())?;
        Ok(counter.cast_unsigned())
    }

    fn parameters(&self, i: usize) -> Result<SamplingParams, NumericsError> {
        let words: &[i64; PARAMETERS] =
            self.elements(i, DType::I64, |t| t.as_i64()?.first_chunk())?;
        Ok((*words).into())
    }

    /// Attention over caches that are whole tensors: the rows that are seen go to pages first.
    fn attention(
        &self,
        isa: Isa,
        par: &dyn Parallel,
        shape: AttentionShape,
        window: u64,
        out: &mut [f32],
    ) -> Result<(), NumericsError> {
        let (kv, width) = (shape.kv, shape.kv.row_len());
        let (keys, values) = (self.f32(1)?, self.f32(2)?);
        let range = visible(self.position(3)?, window, keys.len() / width);
        let mut pages = vec![Vec::new(); range.end.div_ceil(KV_PAGE)];
        for position in range.clone() {
            let page = &mut pages[position / KV_PAGE];
            page.resize(kv.page_len(), 0.0);
            let row = position * width..(position + 1) * width;
            kv.write(page, position % KV_PAGE, &keys[row.clone()], &values[row]);
        }
        let pages: Vec<&[f32]> = pages.iter().map(Vec::as_slice).collect();
        let rows = AttentionRows {
            pages: &pages,
            ranges: &[range],
        };
        attention(isa, par, shape, &[rows], self.f32(0)?, out);
        Ok(())
    }
}
