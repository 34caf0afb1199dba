//! Values that a model brings: in memory, or where its file is mapped until somebody looks at them.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use gavel_numerics::{DType, NumericsError, Tensor, TensorType, scalar};

use crate::page_out;

/// Bytes from which on a tensor stays in its file.
const WORTH: usize = 64 << 10;

/// Bytes of a file that are looked at before they are let go: a multiple of a page.
const AT_ONCE: usize = 4 << 20;

/// A tensor that does not change. A large one of f32 that a file holds as it is stays there, so that a model whose weights an
/// engine has packed is in memory once. Who reads it when the file has been written into since panics: a result that
/// does not follow from the model's identity would cost a provider its stake.
#[derive(Clone, Debug)]
pub struct Constant(Place);

#[derive(Clone, Debug)]
enum Place {
    Memory(Arc<Tensor>),
    File(Arc<Filed>),
}

/// Elements of f32 in a file, little-endian, with canonical NaNs only.
#[derive(Debug)]
struct Filed {
    ty: TensorType,
    bytes: Bytes,
    /// Of what the file held at first.
    checksum: u32,
}

impl Constant {
    /// The tensor with these little-endian bytes, which are not copied where that is worth it.
    ///
    /// # Errors
    /// As [`Tensor::from_le_bytes`].
    pub fn from_le_bytes(ty: TensorType, bytes: Bytes) -> Result<Constant, NumericsError> {
        let stays =
            ty.dtype == DType::F32 && bytes.len() >= WORTH && bytes.len() == ty.byte_len()?;
        let checksum = stays.then(|| canonical_checksum(&bytes)).flatten();
        let found = match checksum {
            Some(checksum) => Place::File(Arc::new(Filed {
                ty,
                bytes,
                checksum,
            })),
            None => Place::Memory(Arc::new(Tensor::from_le_bytes(ty, &bytes)?)),
        };
        Ok(Constant(found))
    }

    /// Element type and extents.
    pub fn ty(&self) -> &TensorType {
        match &self.0 {
            Place::Memory(tensor) => tensor.ty(),
            Place::File(filed) => &filed.ty,
        }
    }

    /// Bytes of its elements.
    pub fn byte_len(&self) -> usize {
        match &self.0 {
            Place::Memory(tensor) => tensor.len() * tensor.dtype().size(),
            Place::File(filed) => filed.bytes.len(),
        }
    }

    /// The tensor; a copy of what lies in a file.
    ///
    /// # Panics
    /// If the file has been written into.
    pub fn tensor(&self) -> Arc<Tensor> {
        match &self.0 {
            Place::Memory(tensor) => Arc::clone(tensor),
            Place::File(filed) => {
                let tensor = Tensor::of_canonical(filed.ty.dims.clone(), filed.read());
                Arc::new(tensor.unwrap_or_else(|_| unreachable!("the length was checked")))
            }
        }
    }

    /// The elements, if they are f32; a copy of what lies in a file.
    ///
    /// # Panics
    /// If the file has been written into.
    pub fn as_f32(&self) -> Option<Cow<'_, [f32]>> {
        match &self.0 {
            Place::Memory(tensor) => tensor.as_f32().map(Cow::Borrowed),
            Place::File(filed) => Some(Cow::Owned(filed.read())),
        }
    }

    /// What `look` makes of the elements' little-endian bytes.
    pub fn with_le_bytes<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        match &self.0 {
            Place::Memory(tensor) => look(&tensor.le_bytes()),
            Place::File(filed) => {
                let found = look(&filed.bytes);
                page_out(&filed.bytes);
                found
            }
        }
    }

    /// Whether both are one and the same, not only equal.
    pub fn is(&self, other: &Constant) -> bool {
        self.address() == other.address()
    }

    /// Where it is: what no other constant has as long as this one is there.
    pub(crate) fn address(&self) -> *const () {
        match &self.0 {
            Place::Memory(tensor) => Arc::as_ptr(tensor).cast(),
            Place::File(filed) => Arc::as_ptr(filed).cast(),
        }
    }
}

impl From<Tensor> for Constant {
    fn from(tensor: Tensor) -> Constant {
        Constant(Place::Memory(Arc::new(tensor)))
    }
}

impl Filed {
    fn read(&self) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.bytes.len() / size_of::<f32>());
        let mut checksum = crc32fast::Hasher::new();
        for piece in self.bytes.chunks(AT_ONCE) {
            // the file may change between two looks
            let copy = piece.to_vec();
            page_out(piece);
            checksum.update(&copy);
            values.extend(elements(&copy));
        }
        assert!(
            checksum.finalize() == self.checksum,
            "the file of a model was written into while the model was in use; put a new file in its place instead"
        );
        values
    }
}

fn elements(piece: &[u8]) -> impl Iterator<Item = f32> {
    let (elements, _) = piece.as_chunks();
    elements.iter().map(|&element| f32::from_le_bytes(element))
}

/// The checksum of what a file holds, if its NaNs are canonical.
fn canonical_checksum(bytes: &[u8]) -> Option<u32> {
    let mut checksum = crc32fast::Hasher::new();
    let all = bytes.chunks(AT_ONCE).all(|piece| {
        checksum.update(piece);
        let found = elements(piece).all(|x| !x.is_nan() || x.to_bits() == scalar::NAN_BITS);
        page_out(piece);
        found
    });
    all.then(|| checksum.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: usize = WORTH / 4;

    fn constant(values: &[f32]) -> (Constant, Bytes) {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let bytes = Bytes::from(bytes);
        let ty = TensorType::new(DType::F32, [values.len() as u64]);
        (Constant::from_le_bytes(ty, bytes.clone()).unwrap(), bytes)
    }

    fn is_filed(constant: &Constant) -> bool {
        matches!(constant.0, Place::File(_))
    }

    #[test]
    fn what_stays_in_its_file_is_the_same_tensor() {
        let values: Vec<f32> = (0..LEN).map(|i| (i as f32 - 77.0) / 3.0).collect();
        let (filed, bytes) = constant(&values);
        let held = Constant::from(Tensor::f32([LEN as u64], values.clone()).unwrap());
        assert!(is_filed(&filed) && !is_filed(&held));
        assert_eq!(filed.ty(), held.ty());
        assert_eq!(filed.byte_len(), held.byte_len());
        assert_eq!(filed.tensor().data(), held.tensor().data());
        assert_eq!(filed.as_f32(), held.as_f32());
        assert!(filed.with_le_bytes(|b| b == bytes && held.with_le_bytes(|c| b == c)));
        assert!(filed.is(&filed.clone()) && !filed.is(&held));
    }

    #[test]
    fn small_and_uncanonical_ones_are_copied() {
        let (small, _) = constant(&vec![1.0; LEN - 1]);
        assert!(!is_filed(&small));
        let mut values = vec![1.0; LEN];
        values[LEN - 1] = f32::from_bits(0x7fc0_0000);
        assert!(is_filed(&constant(&values).0));
        values[LEN - 1] = f32::from_bits(0xffc0_0000);
        let (odd, _) = constant(&values);
        assert!(!is_filed(&odd));
        assert_eq!(odd.tensor().raw(LEN - 1), Some(0x7fc0_0000));
    }

    #[test]
    fn a_file_that_was_written_into_gives_no_values() {
        let path = std::env::temp_dir().join(format!("gavel-constant-{}", std::process::id()));
        let content = 1.5f32.to_le_bytes().repeat(LEN);
        std::fs::write(&path, &content).unwrap();
        let ty = TensorType::new(DType::F32, [LEN as u64]);
        let found = Constant::from_le_bytes(ty, crate::map(&path).unwrap()).unwrap();
        assert!(is_filed(&found));
        assert_eq!(found.as_f32().unwrap().as_ref(), vec![1.5; LEN]);
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        let mut writer = std::io::BufWriter::new(file);
        let one_ulp = f32::from_bits(1.5f32.to_bits() + 1);
        std::io::Write::write_all(&mut writer, &one_ulp.to_le_bytes()).unwrap();
        drop(writer);
        let read = std::panic::catch_unwind(|| found.tensor());
        std::fs::remove_file(&path).unwrap();
        assert!(read.is_err());
    }

    #[test]
    fn a_wrong_length_is_refused() {
        let ty = TensorType::new(DType::F32, [LEN as u64]);
        for len in [4 * LEN - 4, 4 * LEN + 4] {
            assert!(Constant::from_le_bytes(ty.clone(), Bytes::from(vec![0; len])).is_err());
        }
    }
}
