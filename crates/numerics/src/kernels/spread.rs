//! Words of inputs that broadcast, for consecutive elements of the output.

use crate::{Data, Tensor};

/// Whether all words of a slot are below 2^32.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Narrow,
    Wide,
}

/// An input, and how its elements follow those of the output.
pub(super) struct Input<'a> {
    data: &'a Data,
    /// Extents and strides of merged axes, the last one first; a stride of 0 repeats.
    axes: Vec<(usize, usize)>,
    /// Extent of the innermost merged axis, and whether it repeats one element.
    run: usize,
    same: bool,
}

impl<'a> Input<'a> {
    pub(super) fn new(tensor: &'a Tensor, out: &[usize]) -> Input<'a> {
        let lead = out.len() - tensor.dims().len().min(out.len());
        let mut axes: Vec<(usize, usize)> = Vec::new();
        let mut stride = 1;
        for (axis, &extent) in out.iter().enumerate().rev() {
            let own = axis
                .checked_sub(lead)
                .map_or(1, |axis| tensor.dims()[axis] as usize);
            let step = if own == 1 { 0 } else { stride };
            stride *= own;
            match axes.last_mut() {
                _ if extent == 1 => {}
                // both repeat, or this one goes on where the axis behind it ends
                Some((inner, inner_step)) if *inner_step * *inner == step => *inner *= extent,
                _ => axes.push((extent, step)),
            }
        }
        let (run, step) = axes.first().copied().unwrap_or((1, 0));
        Input {
            data: tensor.data(),
            axes,
            run,
            same: step == 0,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self.data {
            Data::I64(_) | Data::Bits64(_) => Kind::Wide,
            _ => Kind::Narrow,
        }
    }

    /// Place in the input of the first element of run `index` of the output.
    fn place(&self, mut index: usize) -> usize {
        let mut at = 0;
        for &(extent, stride) in self.axes.iter().skip(1) {
            at += index % extent * stride;
            index /= extent;
        }
        at
    }

    /// Calls `put` with ranges of `0..len` and the place where the input's elements for them begin.
    #[inline(always)]
    fn runs(&self, first: usize, len: usize, mut put: impl FnMut(std::ops::Range<usize>, usize)) {
        let mut done = 0;
        while done < len {
            let (index, within) = ((first + done) / self.run, (first + done) % self.run);
            let count = (self.run - within).min(len - done);
            let skip = if self.same { 0 } else { within };
            put(done..done + count, self.place(index) + skip);
            done += count;
        }
    }

    /// The words of elements `first ..` of the output, where they are narrow.
    #[inline(always)]
    pub(super) fn narrow(&self, first: usize, out: &mut [u32]) {
        macro_rules! copied {
            ($values:expr, $word:expr) => {
                self.runs(first, out.len(), |range, at| {
                    let out = &mut out[range];
                    if self.same {
                        out.fill($word($values[at]));
                    } else {
                        let values = &$values[at..at + out.len()];
                        for (out, &value) in out.iter_mut().zip(values) {
                            *out = $word(value);
                        }
                    }
                })
            };
        }
        match self.data {
            Data::F32(values) => copied!(values, f32::to_bits),
            Data::I32(values) => copied!(values, i32::cast_unsigned),
            Data::U8(values) => copied!(values, u32::from),
            Data::I8(values) => copied!(values, |x: i8| u32::from(x.cast_unsigned())),
            Data::Bits16(values) => copied!(values, u32::from),
            Data::Bits32(values) => copied!(values, |x| x),
            Data::I64(values) => copied!(values, |x: i64| x as u32),
            Data::Bits64(values) => copied!(values, |x: u64| x as u32),
        }
    }

    /// The words, where they are wide.
    #[inline(always)]
    pub(super) fn wide(&self, first: usize, out: &mut [u64]) {
        let values: &[u64] = match self.data {
            Data::I64(values) => bytemuck::cast_slice(values),
            Data::Bits64(values) => values,
            _ => return,
        };
        self.runs(first, out.len(), |range, at| {
            let out = &mut out[range];
            if self.same {
                out.fill(values[at]);
            } else {
                out.copy_from_slice(&values[at..at + out.len()]);
            }
        });
    }
}
