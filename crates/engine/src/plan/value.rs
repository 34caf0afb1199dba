//! Values of a run: tensors, and images with channels last.

use std::sync::{Arc, Mutex, PoisonError};

use gavel_numerics::kernels::Parallel;
use gavel_numerics::kernels::fused::{ImageShape, from_planes, to_planes};
use gavel_numerics::{Data, NumericsError, Tensor};
use gavel_trace::Digest;

/// An image with channels last.
pub(crate) struct Image {
    pub(super) shape: ImageShape,
    pub(super) values: Vec<f32>,
}

impl Image {
    /// As a tensor `[1, channels, height, width]`.
    fn to_tensor(&self, par: &dyn Parallel, spare: &Spare) -> Result<Tensor, NumericsError> {
        let shape = &self.shape;
        let mut planes = spare.values(shape.pixels() * shape.channels);
        to_planes(par, &self.values, shape, &mut planes);
        let dims = [1, shape.channels, shape.height, shape.width];
        Tensor::of_canonical(dims.map(|d| d as u64), planes)
    }
}

/// A value in one form or both, and its digest once that was needed.
#[derive(Clone, Default)]
pub(crate) struct Value {
    tensor: Option<Arc<Tensor>>,
    /// Whether the memory of the tensor came from [`Spare`].
    pooled: bool,
    image: Option<Arc<Image>>,
    pub(crate) digest: Option<Digest>,
}

impl Value {
    /// A tensor, with its digest if that is known.
    pub(crate) fn of(tensor: Arc<Tensor>, digest: Option<Digest>) -> Value {
        Value {
            tensor: Some(tensor),
            digest,
            ..Value::default()
        }
    }

    /// A tensor in memory from [`Spare`].
    pub(super) fn of_pooled(tensor: Tensor) -> Value {
        Value {
            tensor: Some(Arc::new(tensor)),
            pooled: true,
            ..Value::default()
        }
    }

    pub(super) fn of_image(image: Image) -> Value {
        Value {
            image: Some(Arc::new(image)),
            ..Value::default()
        }
    }

    /// The tensor, where it is there as one.
    pub(crate) fn as_tensor(&self) -> Option<Arc<Tensor>> {
        self.tensor.clone()
    }

    /// Bytes that it holds.
    pub(crate) fn bytes(&self) -> u64 {
        let tensor = self
            .tensor
            .as_ref()
            .map_or(0, |t| t.len() * t.dtype().size());
        let image = (self.image.as_ref()).map_or(0, |i| i.values.len() * size_of::<f32>());
        (tensor + image) as u64
    }

    /// As a tensor, which is kept.
    pub(super) fn tensor(
        &mut self,
        par: &dyn Parallel,
        spare: &Spare,
    ) -> Result<Arc<Tensor>, NumericsError> {
        if let Some(tensor) = &self.tensor {
            return Ok(Arc::clone(tensor));
        }
        let tensor = match &self.image {
            Some(image) => Arc::new(image.to_tensor(par, spare)?),
            // a value has a form
            None => Arc::new(Tensor::f32([0u64], Vec::new())?),
        };
        self.pooled = true;
        self.tensor = Some(Arc::clone(&tensor));
        Ok(tensor)
    }

    /// Its tensor as another, without a copy where nobody else holds it.
    pub(super) fn map_tensor<E>(
        self,
        f: impl FnOnce(Tensor) -> Result<Tensor, E>,
    ) -> Option<Result<Value, E>> {
        let (tensor, pooled) = (Arc::unwrap_or_clone(self.tensor?), self.pooled);
        Some(f(tensor).map(|tensor| Value {
            tensor: Some(Arc::new(tensor)),
            pooled,
            ..Value::default()
        }))
    }

    /// As an image of this shape, which is kept.
    pub(super) fn image(
        &mut self,
        par: &dyn Parallel,
        spare: &Spare,
        shape: &ImageShape,
    ) -> Option<Arc<Image>> {
        if let Some(image) = self.image.as_ref().filter(|image| image.shape == *shape) {
            return Some(Arc::clone(image));
        }
        let tensor = self.tensor(par, spare).ok()?;
        let mut image = spare.image(*shape);
        from_planes(par, tensor.as_f32()?, shape, &mut image.values);
        let image = Arc::new(image);
        self.image = Some(Arc::clone(&image));
        Some(image)
    }
}

/// Memory that was used before, to be used again: asking the system for new pages costs more than many operators, and caches
/// still hold what was used last.
#[derive(Default)]
pub(crate) struct Spare(Mutex<Vec<Vec<f32>>>);

/// Buffers that are kept.
const KEPT: usize = 32;
/// Values of a buffer that is worth keeping, and of one that is not too large for that.
const WORTH: std::ops::RangeInclusive<usize> = 1 << 14..=8 << 20;
/// How many times larger than needed a buffer may be.
const ROOM: usize = 8;

impl Spare {
    /// `len` values of arbitrary content.
    pub(super) fn values(&self, len: usize) -> Vec<f32> {
        let mut buffer = self.at_least(len);
        buffer.truncate(len);
        buffer
    }

    /// `len` values of arbitrary content, or more.
    pub(super) fn at_least(&self, len: usize) -> Vec<f32> {
        if !WORTH.contains(&len) {
            return vec![0.0; len];
        }
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |have: usize| have >= len && have / ROOM <= len;
        // one that need not be filled up is better
        let found = (spare.iter().rposition(|buffer| fits(buffer.len())))
            .or_else(|| spare.iter().rposition(|buffer| fits(buffer.capacity())));
        let found = found.map(|i| spare.remove(i));
        drop(spare);
        let Some(mut buffer) = found else {
            return vec![0.0; len];
        };
        if buffer.len() < len {
            buffer.resize(len, 0.0);
        }
        buffer
    }

    /// An image of arbitrary content in a border of zeros.
    pub(super) fn image(&self, shape: ImageShape) -> Image {
        let mut values = self.at_least(shape.values());
        shape.clear_border(&mut values);
        Image { shape, values }
    }

    /// Takes a buffer for others to use.
    pub(super) fn give(&self, buffer: Vec<f32>) {
        if !WORTH.contains(&buffer.capacity()) {
            return;
        }
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() == KEPT {
            spare.remove(0);
        }
        spare.push(buffer);
    }

    /// Takes the memory of a value that nobody else holds.
    pub(super) fn take_back(&self, value: Value) {
        if let Some(image) = value.image.and_then(Arc::into_inner) {
            self.give(image.values);
        }
        if value.pooled
            && let Some(tensor) = value.tensor.and_then(Arc::into_inner)
            && let Data::F32(values) = tensor.into_data()
        {
            self.give(values);
        }
    }
}

#[cfg(test)]
mod tests {
    use gavel_numerics::kernels::Sequential;

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

    fn kept(spare: &Spare) -> Vec<usize> {
        let spare = spare.0.lock().unwrap();
        spare.iter().map(Vec::capacity).collect()
    }

    #[test]
    fn what_was_used_last_is_used_first_and_only_where_it_is_not_far_too_large() {
        let spare = Spare::default();
        for len in [LEN, 4 * LEN, 32 * LEN] {
            spare.give(vec![1.0; len]);
        }
        assert_eq!(spare.values(LEN).capacity(), 4 * LEN);
        assert_eq!(spare.values(LEN).capacity(), LEN);
        // 32 times as large
        let fresh = spare.values(LEN);
        assert!(fresh.capacity() < 2 * LEN && fresh.iter().all(|&x| x == 0.0));
        assert_eq!(kept(&spare), [32 * LEN]);
        spare.give(vec![1.0; 8]);
        assert_eq!(kept(&spare), [32 * LEN]);
    }

    #[test]
    fn an_image_in_used_memory_has_a_clear_border() {
        let spare = Spare::default();
        let mut buffer = vec![f32::NAN; 2 * LEN];
        buffer.truncate(LEN);
        spare.give(buffer);
        let shape = shape(16);
        let image = spare.image(shape);
        assert!(kept(&spare).is_empty());
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
        spare.take_back(Value::of(Arc::new(tensor(1.0)), None));
        assert!(kept(&spare).is_empty());
        // an image of it is the plan's own
        let mut value = Value::of(Arc::new(tensor(2.0)), None);
        value.image(&Sequential, &spare, &shape(16)).unwrap();
        spare.take_back(value);
        assert_eq!(kept(&spare).len(), 1);
        // and so is a tensor of an image
        let mut value = Value::of_image(spare.image(shape(16)));
        value.tensor(&Sequential, &spare).unwrap();
        spare.take_back(value);
        assert_eq!(kept(&spare).len(), 2);
    }
}
