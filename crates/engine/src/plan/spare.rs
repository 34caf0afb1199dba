//! Memory of values, used again.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use gavel_numerics::kernels::Storage;
use gavel_numerics::kernels::fused::ImageShape;

use super::value::Image;

/// f32 from the beginning of a cache line, in huge pages where the system has them: the values of an image.
pub(crate) struct Buffer(Storage);

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        bytemuck::cast_slice(self.0.bytes())
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(self.0.bytes_mut())
    }
}

/// Memory that can be used again.
trait Memory {
    /// `len` zeros.
    fn zeros(len: usize) -> Self;
    /// Values that it holds, and that it has room for.
    fn extent(&self) -> [usize; 2];
}

impl Memory for Vec<f32> {
    fn zeros(len: usize) -> Self {
        vec![0.0; len]
    }

    fn extent(&self) -> [usize; 2] {
        [self.len(), self.capacity()]
    }
}

impl Memory for Buffer {
    fn zeros(len: usize) -> Self {
        Buffer(Storage::new(len * size_of::<f32>()))
    }

    fn extent(&self) -> [usize; 2] {
        [self.len(); 2]
    }
}

/// Buffers that are kept.
const KEPT: usize = 32;
/// Values of a buffer that is worth keeping, and of one that is not too large for that.
const WORTH: std::ops::RangeInclusive<usize> = 1 << 14..=8 << 20;
/// How many times larger than needed a buffer may be.
const ROOM: usize = 8;

/// Buffers of one kind, the last used one last.
struct Pool<M>(Mutex<Vec<M>>);

impl<M> Default for Pool<M> {
    fn default() -> Pool<M> {
        Pool(Mutex::default())
    }
}

impl<M: Memory> Pool<M> {
    /// Memory of arbitrary content with room for `len` values.
    fn take(&self, len: usize) -> M {
        if !WORTH.contains(&len) {
            return M::zeros(len);
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |have: usize| have >= len && have / ROOM <= len;
        // one that need not be filled up is better
        let found = [0, 1].into_iter().find_map(|of| {
            let at = kept.iter().rposition(|memory| fits(memory.extent()[of]))?;
            Some(kept.remove(at))
        });
        drop(kept);
        found.unwrap_or_else(|| M::zeros(len))
    }

    /// Takes memory for others to use.
    fn give(&self, memory: M) {
        if !WORTH.contains(&memory.extent()[1]) {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(memory);
    }
}

/// Memory that was used before, to be used again: asking the system for new pages costs more than many operators, and caches
/// still hold what was used last.
#[derive(Default)]
pub(crate) struct Spare {
    tensors: Pool<Vec<f32>>,
    images: Pool<Buffer>,
}

impl Spare {
    /// `len` values of arbitrary content, for a tensor.
    pub(super) fn values(&self, len: usize) -> Vec<f32> {
        let mut values = self.tensors.take(len);
        values.resize(len, 0.0);
        values
    }

    /// `len` values of arbitrary content or more, for an image.
    pub(super) fn buffer(&self, len: usize) -> Buffer {
        self.images.take(len)
    }

    /// An image of arbitrary content in a border of zeros.
    pub(super) fn image(&self, shape: ImageShape) -> Image {
        let mut values = self.buffer(shape.values());
        shape.clear_border(&mut values);
        Image { shape, values }
    }

    /// Takes a buffer for others to use.
    pub(super) fn give(&self, buffer: Buffer) {
        self.images.give(buffer);
    }

    /// Takes the memory of a tensor for others to use.
    pub(super) fn give_values(&self, values: Vec<f32>) {
        self.tensors.give(values);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gavel_numerics::Tensor;
    use gavel_numerics::kernels::Sequential;

    use super::super::value::Value;
    use super::*;

    const LEN: usize = 1 << 15;

    fn shape(channels: usize) -> ImageShape {
        ImageShape {
            height: 32,
            width: LEN / 32 / channels,
            channels,
            border: [1, 2, 0, 1],
        }
    }

    fn kept<M: Memory>(pool: &Pool<M>) -> Vec<usize> {
        let kept = pool.0.lock().unwrap();
        kept.iter().map(|memory| memory.extent()[1]).collect()
    }

    #[test]
    fn what_was_used_last_is_used_first_and_only_where_it_is_not_far_too_large() {
        let spare = Spare::default();
        for len in [LEN, 4 * LEN, 32 * LEN] {
            spare.tensors.give(vec![1.0; len]);
        }
        assert_eq!(spare.values(LEN).capacity(), 4 * LEN);
        assert_eq!(spare.values(LEN).capacity(), LEN);
        // 32 times as large
        let fresh = spare.values(LEN);
        assert!(fresh.capacity() < 2 * LEN && fresh.iter().all(|&x| x == 0.0));
        assert_eq!(kept(&spare.tensors), [32 * LEN]);
        spare.tensors.give(vec![1.0; 8]);
        assert_eq!(kept(&spare.tensors), [32 * LEN]);
    }

    #[test]
    fn an_image_in_used_memory_has_a_clear_border() {
        let spare = Spare::default();
        let mut buffer = Buffer::zeros(2 * LEN);
        buffer.fill(f32::NAN);
        spare.give(buffer);
        let shape = shape(16);
        let image = spare.image(shape);
        assert!(kept(&spare.images).is_empty());
        assert!(image.values.as_ptr().addr().is_multiple_of(64));
        let line = shape.line();
        let border = |at: usize| {
            let (y, x) = (at / line, at % line / shape.step());
            y < 1 || !(2..2 + shape.width).contains(&x)
        };
        let values = image.values[..shape.values()].iter().enumerate();
        assert!(values.filter(|&(at, _)| border(at)).all(|(_, &x)| x == 0.0));
    }

    #[test]
    fn memory_of_others_is_not_kept() {
        let spare = Spare::default();
        let tensor = |x: f32| Tensor::f32([1u64, 16, 32, 64], vec![x; LEN]).unwrap();
        Value::of(Arc::new(tensor(1.0)), None).give_back(&spare);
        assert!(kept(&spare.tensors).is_empty());
        // an image of it is the plan's own
        let mut value = Value::of(Arc::new(tensor(2.0)), None);
        value.image(&Sequential, &spare, &shape(16)).unwrap();
        value.give_back(&spare);
        assert_eq!(kept(&spare.images).len(), 1);
        assert!(kept(&spare.tensors).is_empty());
        // and so is a tensor of an image
        let mut value = Value::of_image(spare.image(shape(16)));
        value.tensor(&Sequential, &spare).unwrap();
        value.give_back(&spare);
        assert_eq!(kept(&spare.images).len(), 1);
        assert_eq!(kept(&spare.tensors).len(), 1);
    }
}
