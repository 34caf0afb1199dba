//! Operators that move elements and compute nothing: any element size, any bits.

use super::parallel::{Parallel, SharedOut, split};

/// Permutes axes: `out` is row-major over `perm` of `shape`, of elements `T`.
///
/// # Panics
/// If the slices do not have the shape's length or `perm` is not a permutation of its axes.
pub fn transpose<T: Copy + Send + Sync>(
    par: &dyn Parallel,
    shape: &[usize],
    perm: &[usize],
    input: &[T],
    out: &mut [T],
) {
    assert_eq!(shape.len(), perm.len(), "rank of the permutation");
    assert!(
        input.len() == out.len() && input.len() == shape.iter().product::<usize>(),
        "length"
    );
    if input.is_empty() {
        return;
    }
    let mut strides = vec![1usize; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i];
    }
    // (extent, input stride) per output axis, merged where the input is walked in one stride
    let mut axes: Vec<(usize, usize)> = Vec::with_capacity(perm.len());
    for &p in perm {
        let (extent, stride) = (shape[p], strides[p]);
        match axes.last_mut() {
            _ if extent == 1 => {}
            Some(last) if last.1 == stride * extent => *last = (last.0 * extent, stride),
            _ => axes.push((extent, stride)),
        }
    }
    let (run, step) = axes.pop().unwrap_or((1, 1));
    let shared = SharedOut::new(out);
    if let Some(&(rows, 1)) = axes.last()
        && step != 1
    {
        axes.pop();
        return turn(par, [rows, run], step, &axes, input, &shared);
    }
    split(
        par,
        input.len() / run,
        (1 << 13) / run + 1,
        &|start, end| {
            for index in start..end {
                let (mut rest, mut from) = (index, 0);
                for &(extent, stride) in axes.iter().rev() {
                    from += rest % extent * stride;
                    rest /= extent;
                }
                // SAFETY: run `index` belongs to this part alone.
                let to = unsafe { shared.slice(index * run, run) };
                if step == 1 {
                    to.copy_from_slice(&input[from..from + run]);
                } else {
                    for (i, value) in to.iter_mut().enumerate() {
                        *value = input[from + i * step];
                    }
                }
            }
        },
    );
}

/// Rows and columns of a matrix that are turned together: a line of memory is then read once, not once for each of its values.
const SQUARE: usize = 16;

/// Turns matrices whose rows become columns: output `[axes.., rows, columns]`, input steps 1 along `rows` and `step` along
/// `columns`.
fn turn<T: Copy + Send + Sync>(
    par: &dyn Parallel,
    [rows, columns]: [usize; 2],
    step: usize,
    axes: &[(usize, usize)],
    input: &[T],
    out: &SharedOut<'_, T>,
) {
    let strips = rows.div_ceil(SQUARE);
    let matrices = input.len() / (rows * columns);
    let grain = (1 << 13) / (SQUARE * columns) + 1;
    split(par, matrices * strips, grain, &|start, end| {
        for index in start..end {
            let (matrix, strip) = (index / strips, index % strips);
            let (mut rest, mut from) = (matrix, strip * SQUARE);
            for &(extent, stride) in axes.iter().rev() {
                from += rest % extent * stride;
                rest /= extent;
            }
            let count = SQUARE.min(rows - strip * SQUARE);
            let first = (matrix * rows + strip * SQUARE) * columns;
            // SAFETY: rows of a matrix belong to one part alone.
            let to = unsafe { out.slice(first, count * columns) };
            for c in (0..columns).step_by(SQUARE) {
                let beside = SQUARE.min(columns - c);
                for (r, to) in to.chunks_exact_mut(columns).enumerate() {
                    let from = input[from + r + c * step..].iter().step_by(step);
                    for (to, from) in to[c..c + beside].iter_mut().zip(from) {
                        *to = *from;
                    }
                }
            }
        }
    });
}

/// Concatenates along one axis: input `i` is `outer` blocks of `blocks[i]` elements.
///
/// # Panics
/// If a slice does not have the length its blocks say.
pub fn concat<T: Copy>(outer: usize, inputs: &[(&[T], usize)], out: &mut [T]) {
    let row: usize = inputs.iter().map(|&(_, block)| block).sum();
    assert_eq!(out.len(), outer * row, "output length");
    let mut at = 0;
    for &(input, block) in inputs {
        assert_eq!(input.len(), outer * block, "input length");
        for o in 0..outer {
            out[o * row + at..][..block].copy_from_slice(&input[o * block..][..block]);
        }
        at += block;
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sequential;
    use super::*;

    #[test]
    fn transpose_follows_the_index_formula() {
        let shape = [2usize, 3, 1, 5];
        let input: Vec<u16> = (0..30).collect();
        for perm in [
            [0usize, 1, 2, 3],
            [3, 2, 1, 0],
            [1, 0, 3, 2],
            [0, 3, 1, 2],
            [2, 3, 0, 1],
            [1, 3, 0, 2],
        ] {
            let mut out = vec![0u16; 30];
            transpose(&Sequential, &shape, &perm, &input, &mut out);
            let dims: Vec<usize> = perm.iter().map(|&p| shape[p]).collect();
            for (i, &value) in out.iter().enumerate() {
                let mut index = [0usize; 4];
                let mut rest = i;
                for axis in (0..4).rev() {
                    index[perm[axis]] = rest % dims[axis];
                    rest /= dims[axis];
                }
                let from = index.iter().zip(shape).fold(0, |at, (&i, d)| at * d + i);
                assert_eq!(value, input[from], "{perm:?} at {i}");
            }
        }
    }

    #[test]
    fn matrices_are_turned_whatever_their_extents() {
        for [outer, rows, columns] in [[3usize, 20, 37], [1, 16, 16], [2, 33, 5], [4, 1, 40]] {
            let input: Vec<u32> = (0..(outer * rows * columns) as u32).collect();
            let mut out = vec![0u32; input.len()];
            let shape = [outer, rows, columns];
            transpose(&Sequential, &shape, &[0, 2, 1], &input, &mut out);
            for (i, &found) in out.iter().enumerate() {
                let (o, c, r) = (i / (columns * rows), i / rows % columns, i % rows);
                assert_eq!(
                    found,
                    input[(o * rows + r) * columns + c],
                    "{shape:?} at {i}"
                );
            }
        }
    }

    #[test]
    fn concat_interleaves_blocks() {
        let mut out = [0u8; 10];
        concat(
            2,
            &[(&[1, 2, 3, 4], 2), (&[5, 6], 1), (&[7, 8, 9, 0], 2)],
            &mut out,
        );
        assert_eq!(out, [1, 2, 5, 7, 8, 3, 4, 6, 9, 0]);
    }
}
