//! Values of a run: tensors, and images with channels last.

use std::sync::Arc;

use gavel_numerics::kernels::Parallel;
use gavel_numerics::kernels::fused::{ImageShape, from_planes, to_planes};
use gavel_numerics::{Data, NumericsError, Tensor};
use gavel_trace::Digest;

use super::spare::{Buffer, Spare};

/// An image with channels last.
pub(crate) struct Image {
    pub(super) shape: ImageShape,
    pub(super) values: Buffer,
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

    /// Gives its memory back where nobody else holds it.
    pub(super) fn give_back(self, spare: &Spare) {
        if let Some(image) = self.image.and_then(Arc::into_inner) {
            spare.give(image.values);
        }
        if self.pooled
            && let Some(tensor) = self.tensor.and_then(Arc::into_inner)
            && let Data::F32(values) = tensor.into_data()
        {
            spare.give_values(values);
        }
    }
}
