//! Writes GGUF files for tests: right ones, and wrong ones in chosen places.

use super::TensorKind;

/// A file in the making: keys, then descriptions, then data.
#[derive(Clone, Default)]
pub(crate) struct Builder {
    keys: Vec<Vec<u8>>,
    tensors: Vec<(String, Vec<u64>, u32, u64)>,
    data: Vec<u8>,
}

pub(crate) fn text(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u64).to_le_bytes()[..], bytes].concat()
}

impl Builder {
    /// A key with a value of this kind and these bytes.
    pub(crate) fn key(mut self, key: &str, kind: u32, content: &[u8]) -> Builder {
        self.keys
            .push([&text(key.as_bytes())[..], &kind.to_le_bytes(), content].concat());
        self
    }

    pub(crate) fn u32(self, key: &str, value: u32) -> Builder {
        self.key(key, 4, &value.to_le_bytes())
    }

    pub(crate) fn f32(self, key: &str, value: f32) -> Builder {
        self.key(key, 6, &value.to_le_bytes())
    }

    pub(crate) fn string(self, key: &str, value: &str) -> Builder {
        self.key(key, 8, &text(value.as_bytes()))
    }

    pub(crate) fn array(self, key: &str, kind: u32, elements: &[Vec<u8>]) -> Builder {
        let count = (elements.len() as u64).to_le_bytes();
        let content = [&kind.to_le_bytes()[..], &count, &elements.concat()].concat();
        self.key(key, 9, &content)
    }

    pub(crate) fn strings(self, key: &str, values: &[&str]) -> Builder {
        let all: Vec<_> = values.iter().map(|v| text(v.as_bytes())).collect();
        self.array(key, 8, &all)
    }

    /// A tensor behind the others; extents outermost first.
    pub(crate) fn tensor(mut self, name: &str, kind: &str, dims: &[u64], bytes: &[u8]) -> Builder {
        let kind = TensorKind::all().iter().find(|k| k.name() == kind).unwrap();
        let offset = self.data.len() as u64;
        self.data.extend(bytes);
        self.data.resize(self.data.len().next_multiple_of(32), 0);
        self.raw_tensor(name, kind.id(), dims, offset)
    }

    /// A description without data of its own.
    pub(crate) fn raw_tensor(mut self, name: &str, kind: u32, dims: &[u64], at: u64) -> Builder {
        let reversed = dims.iter().rev().copied().collect();
        self.tensors.push((name.to_owned(), reversed, kind, at));
        self
    }

    /// The file, with data aligned to 32 bytes.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.keys.len() as u64).to_le_bytes());
        out.extend(self.keys.concat());
        for (name, dims, kind, offset) in &self.tensors {
            out.extend(text(name.as_bytes()));
            out.extend((dims.len() as u32).to_le_bytes());
            for dim in dims {
                out.extend(dim.to_le_bytes());
            }
            out.extend(kind.to_le_bytes());
            out.extend(offset.to_le_bytes());
        }
        if !self.tensors.is_empty() {
            out.resize(out.len().next_multiple_of(32), 0);
            out.extend(&self.data);
        }
        out
    }
}
