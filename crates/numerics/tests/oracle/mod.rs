//! The rules of `spec/numerics.md`, spelled out per output element with nothing shared with the
//! kernels but the scalar functions: slow and obvious.
#![allow(clippy::unwrap_used)]

use gavel_numerics::{NumericsError, Op, Tensor, TensorType, Window2d, scalar};

/// Order C256 (N-8).
fn c256(depth: usize, a: impl Fn(usize) -> f32, b: impl Fn(usize) -> f32) -> f32 {
    let mut total = 0.0;
    for k0 in (0..depth).step_by(256) {
        let mut t = 0.0f32;
        for k in k0..(k0 + 256).min(depth) {
            t = a(k).mul_add(b(k), t);
        }
        total = if k0 == 0 { t } else { total + t };
    }
    total
}

/// Order L32 (N-11).
fn l32(x: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 32];
    for (i, &value) in x.iter().enumerate() {
        lanes[i % 32] += value;
    }
    for h in [16, 8, 4, 2, 1] {
        for i in 0..h {
            lanes[i] += lanes[i + h];
        }
    }
    lanes[0]
}

fn index_of(mut flat: usize, dims: &[u64]) -> Vec<usize> {
    let mut index = vec![0; dims.len()];
    for axis in (0..dims.len()).rev() {
        index[axis] = flat % dims[axis] as usize;
        flat /= dims[axis] as usize;
    }
    index
}

fn flat_of(index: &[usize], dims: &[u64]) -> usize {
    index
        .iter()
        .zip(dims)
        .fold(0, |flat, (&i, &d)| flat * d as usize + i)
}

/// The element that broadcasts to `index` of the output.
fn spread(tensor: &Tensor, index: &[usize]) -> f32 {
    let dims = tensor.dims();
    let tail = &index[index.len() - dims.len()..];
    let own: Vec<usize> = tail
        .iter()
        .zip(dims)
        .map(|(&i, &d)| if d == 1 { 0 } else { i })
        .collect();
    tensor.as_f32().unwrap()[flat_of(&own, dims)]
}

/// Position of tap `(ky, kx)` of output `(oy, ox)` in the plane, if it is no padding; and whether it lies
/// in the padded plane at all.
fn tap(
    w: &Window2d,
    out: [usize; 2],
    k: [usize; 2],
    plane: [usize; 2],
) -> (Option<[usize; 2]>, bool) {
    let at = [0, 1].map(|a| out[a] * w.strides[a] as usize + k[a] * w.dilations[a] as usize);
    let padded = [0, 1].map(|a| (w.pads[a] + w.pads[a + 2]) as usize + plane[a]);
    let inside = [0, 1].map(|a| {
        at[a]
            .checked_sub(w.pads[a] as usize)
            .filter(|&x| x < plane[a])
    });
    let real = inside[0].zip(inside[1]).map(|(y, x)| [y, x]);
    (real, at[0] < padded[0] && at[1] < padded[1])
}

/// What `op` gives on `inputs`.
pub(crate) fn eval(op: &Op, inputs: &[&Tensor]) -> Result<Tensor, NumericsError> {
    let types: Vec<&TensorType> = inputs.iter().map(|t| t.ty()).collect();
    let ty = op.infer_type(&types)?;
    let len = ty.elements()?;
    match op {
        Op::Reshape { .. } | Op::Identity | Op::Transpose { .. } | Op::Concat { .. } => {
            let raw: Vec<u64> = (0..len)
                .map(|flat| moved(op, inputs, &index_of(flat, &ty.dims), flat))
                .collect();
            Tensor::from_raw(ty, &raw)
        }
        Op::ArgMax { axis, keepdims } => {
            let axis = *axis as usize;
            let values = (0..len).map(|flat| {
                let mut index = index_of(flat, &ty.dims);
                if !keepdims {
                    index.insert(axis, 0);
                }
                let row = along(inputs[0], &index, axis);
                let beats = |a: f32, b: f32| a > b || (a.is_nan() && !b.is_nan());
                (0..row.len())
                    .find(|&i| !row.iter().any(|&other| beats(other, row[i])))
                    .unwrap() as i64
            });
            Tensor::i64(ty.dims.clone(), values.collect())
        }
        _ => {
            let values = (0..len).map(|flat| element(op, inputs, &index_of(flat, &ty.dims)));
            Tensor::f32(ty.dims.clone(), values.collect())
        }
    }
}

fn moved(op: &Op, inputs: &[&Tensor], index: &[usize], flat: usize) -> u64 {
    match op {
        Op::Transpose { perm } => {
            let mut from = vec![0; index.len()];
            for (axis, &p) in perm.iter().enumerate() {
                from[p as usize] = index[axis];
            }
            inputs[0].raw(flat_of(&from, inputs[0].dims())).unwrap()
        }
        Op::Concat { axis } => {
            let (axis, mut index) = (*axis as usize, index.to_vec());
            for input in inputs {
                let extent = input.dims()[axis] as usize;
                if index[axis] < extent {
                    return input.raw(flat_of(&index, input.dims())).unwrap();
                }
                index[axis] -= extent;
            }
            unreachable!("the shape program sums the extents")
        }
        _ => inputs[0].raw(flat).unwrap(),
    }
}

/// The values along `axis` through `index`.
fn along(tensor: &Tensor, index: &[usize], axis: usize) -> Vec<f32> {
    let mut index = index.to_vec();
    (0..tensor.dims()[axis] as usize)
        .map(|i| {
            index[axis] = i;
            tensor.as_f32().unwrap()[flat_of(&index, tensor.dims())]
        })
        .collect()
}

fn element(op: &Op, inputs: &[&Tensor], index: &[usize]) -> f32 {
    let x = inputs[0];
    let same = || x.as_f32().unwrap()[flat_of(index, x.dims())];
    let both = || (spread(inputs[0], index), spread(inputs[1], index));
    let dim = |tensor: &Tensor, axis: usize| tensor.dims()[axis] as usize;
    let plane = || {
        let size = dim(x, 2) * dim(x, 3);
        let first = (index[0] * dim(x, 1) + index[1]) * size;
        &x.as_f32().unwrap()[first..first + size]
    };
    let at =
        |tensor: &Tensor, index: &[usize]| tensor.as_f32().unwrap()[flat_of(index, tensor.dims())];
    match op {
        Op::Add => both().0 + both().1,
        Op::Sub => both().0 - both().1,
        Op::Mul => both().0 * both().1,
        Op::Div => both().0 / both().1,
        Op::Relu => scalar::max(same(), 0.0),
        Op::Clip { min_bits, max_bits } => scalar::min(
            scalar::max(same(), f32::from_bits(*min_bits)),
            f32::from_bits(*max_bits),
        ),
        Op::Sigmoid => scalar::sigmoid(same()),
        Op::Tanh => scalar::tanh(same()),
        Op::Exp => scalar::exp(same()),
        Op::Softmax { axis } => {
            let row = along(x, index, *axis as usize);
            let max = row
                .iter()
                .fold(f32::NEG_INFINITY, |m, &v| scalar::max(m, v));
            let weights: Vec<f32> = row.iter().map(|&v| scalar::exp(v - max)).collect();
            weights[index[*axis as usize]] / l32(&weights)
        }
        Op::GlobalAveragePool => l32(plane()) / plane().len() as f32,
        Op::GlobalMaxPool => plane()
            .iter()
            .fold(f32::NEG_INFINITY, |m, &v| scalar::max(m, v)),
        Op::BatchNorm { epsilon_bits } => {
            let statistic = |i: usize| inputs[i].as_f32().unwrap()[index[1]];
            let k = statistic(1) / (statistic(4) + f32::from_bits(*epsilon_bits)).sqrt();
            same().mul_add(k, (-statistic(3)).mul_add(k, statistic(2)))
        }
        Op::MaxPool2d { window } | Op::AveragePool2d { window, .. } => {
            let (mut max, mut sum, mut count) = (f32::NEG_INFINITY, 0.0f32, 0u32);
            let include = matches!(
                op,
                Op::AveragePool2d {
                    count_include_pad: true,
                    ..
                }
            );
            for ky in 0..window.kernel[0] as usize {
                for kx in 0..window.kernel[1] as usize {
                    let (real, padded) = tap(
                        window,
                        [index[2], index[3]],
                        [ky, kx],
                        [dim(x, 2), dim(x, 3)],
                    );
                    let value = real.map(|[y, xx]| at(x, &[index[0], index[1], y, xx]));
                    max = scalar::max(max, value.unwrap_or(f32::NEG_INFINITY));
                    sum += value.unwrap_or(0.0);
                    count += u32::from(if include { padded } else { real.is_some() });
                }
            }
            if matches!(op, Op::MaxPool2d { .. }) {
                max
            } else {
                sum / count as f32
            }
        }
        Op::Conv2d { window, groups } => {
            let (w, m) = (inputs[1], index[1]);
            let [cg, kh, kw] = [dim(w, 1), dim(w, 2), dim(w, 3)];
            let group = m / (dim(w, 0) / *groups as usize);
            let split = |k: usize| [k / (kh * kw), k / kw % kh, k % kw];
            let weight = |k: usize| at(w, &[&[m], &split(k)[..]].concat());
            let value = |k: usize| {
                let [c, ky, kx] = split(k);
                let (real, _) = tap(
                    window,
                    [index[2], index[3]],
                    [ky, kx],
                    [dim(x, 2), dim(x, 3)],
                );
                real.map_or(0.0, |[y, xx]| at(x, &[index[0], group * cg + c, y, xx]))
            };
            let sum = c256(cg * kh * kw, weight, value);
            inputs
                .get(2)
                .map_or(sum, |bias| sum + bias.as_f32().unwrap()[m])
        }
        Op::Gemm {
            alpha_bits,
            beta_bits,
            trans_a,
            trans_b,
        } => {
            let (alpha, beta) = (f32::from_bits(*alpha_bits), f32::from_bits(*beta_bits));
            let depth = dim(x, if *trans_a { 0 } else { 1 });
            let a = |k: usize| {
                at(
                    x,
                    &if *trans_a {
                        [k, index[0]]
                    } else {
                        [index[0], k]
                    },
                )
            };
            let b = |k: usize| {
                at(
                    inputs[1],
                    &if *trans_b {
                        [index[1], k]
                    } else {
                        [k, index[1]]
                    },
                )
            };
            let mut sum = c256(depth, a, b);
            if alpha != 1.0 {
                sum *= alpha;
            }
            inputs.get(2).map_or(sum, |c| {
                sum + if beta == 1.0 {
                    spread(c, index)
                } else {
                    beta * spread(c, index)
                }
            })
        }
        Op::MatMul => {
            let (a, b) = (inputs[0], inputs[1]);
            let (ra, rb) = (a.dims().len(), b.dims().len());
            let tail = usize::from(ra > 1) + usize::from(rb > 1);
            let (batch, rest) = index.split_at(index.len() - tail);
            let depth = dim(a, ra - 1);
            let own = |tensor: &Tensor, rank: usize, last: &[usize]| {
                let lead = rank.saturating_sub(2);
                let mut index: Vec<usize> = batch[batch.len() - lead..].to_vec();
                for (i, &d) in index.iter_mut().zip(tensor.dims()) {
                    *i = if d == 1 { 0 } else { *i };
                }
                index.extend(last);
                at(tensor, &index)
            };
            let left = |k: usize| {
                if ra == 1 {
                    own(a, 1, &[k])
                } else {
                    own(a, ra, &[rest[0], k])
                }
            };
            let right = |k: usize| {
                if rb == 1 {
                    own(b, 1, &[k])
                } else {
                    own(b, rb, &[k, rest[tail - 1]])
                }
            };
            c256(depth, left, right)
        }
        Op::Reshape { .. }
        | Op::Identity
        | Op::Transpose { .. }
        | Op::Concat { .. }
        | Op::ArgMax { .. } => {
            unreachable!("handled above")
        }
    }
}
