//! How two operands walk over a broadcast output: adjacent axes merged, strides 0 where repeated.

/// One merged axis: extent, stride of the left and of the right operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Axis {
    extent: usize,
    left: usize,
    right: usize,
}

/// The walk. Innermost strides are 0 or 1, so every inner run is consecutive or constant.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    outer: Vec<Axis>,
    inner: Axis,
}

impl Walk {
    /// The walk of row-major operands of shapes `left` and `right` over the row-major `out` shape,
    /// under NumPy's rule (trailing axes aligned, extent 1 or absent repeats).
    ///
    /// # Panics
    /// If an operand's extent is neither 1 nor the output's.
    pub(super) fn new(left: &[usize], right: &[usize], out: &[usize]) -> Walk {
        let (ls, rs) = (strides(left, out), strides(right, out));
        let mut axes: Vec<Axis> = Vec::with_capacity(out.len());
        for ((&extent, &left), &right) in out.iter().zip(&ls).zip(&rs) {
            if extent == 1 {
                continue;
            }
            let axis = Axis {
                extent,
                left,
                right,
            };
            match axes.last_mut() {
                Some(last) if last.left == left * extent && last.right == right * extent => {
                    *last = Axis {
                        extent: last.extent * extent,
                        left,
                        right,
                    };
                }
                _ => axes.push(axis),
            }
        }
        let inner = axes.pop().unwrap_or(Axis {
            extent: 1,
            left: 0,
            right: 0,
        });
        Walk { outer: axes, inner }
    }

    /// Length of an inner run.
    pub(super) fn run(&self) -> usize {
        self.inner.extent
    }

    /// Whether the left and right operand repeat one value over a run.
    pub(super) fn constant(&self) -> (bool, bool) {
        (self.inner.left == 0, self.inner.right == 0)
    }

    /// Where run `index` starts in the left and in the right operand.
    #[inline(always)]
    pub(super) fn start(&self, mut index: usize) -> (usize, usize) {
        let (mut left, mut right) = (0, 0);
        for axis in self.outer.iter().rev() {
            let i = index % axis.extent;
            index /= axis.extent;
            left += i * axis.left;
            right += i * axis.right;
        }
        (left, right)
    }
}

/// Strides of a row-major operand, aligned to the trailing axes of `out`, 0 where it repeats.
fn strides(shape: &[usize], out: &[usize]) -> Vec<usize> {
    assert!(
        shape.len() <= out.len(),
        "operand of higher rank than the output"
    );
    let mut strides = vec![0; out.len()];
    let mut stride = 1;
    let lead = out.len() - shape.len();
    for i in (0..shape.len()).rev() {
        assert!(
            shape[i] == 1 || shape[i] == out[lead + i],
            "operand does not broadcast"
        );
        strides[lead + i] = if shape[i] == 1 { 0 } else { stride };
        stride *= shape[i];
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_shapes_merge_into_one_run() {
        let walk = Walk::new(&[2, 3, 4], &[2, 3, 4], &[2, 3, 4]);
        assert_eq!(
            (walk.run(), walk.constant(), walk.outer.len()),
            (24, (false, false), 0)
        );
    }

    #[test]
    fn channel_operand_is_constant_over_a_plane() {
        let walk = Walk::new(&[2, 3, 4, 5], &[3, 1, 1], &[2, 3, 4, 5]);
        assert_eq!((walk.run(), walk.constant()), (20, (false, true)));
        assert_eq!(walk.start(4), (80, 1));
    }

    #[test]
    fn scalars_and_leading_ones_need_no_axes() {
        let walk = Walk::new(&[], &[1, 1], &[1, 1]);
        assert_eq!((walk.run(), walk.start(0)), (1, (0, 0)));
    }
}
