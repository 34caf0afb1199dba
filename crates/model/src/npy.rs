//! NumPy's array files: one array (`.npy`, formats 1 to 3) or several by name (`.npz`). Every size is
//! checked against the file, or against what the model wants, before anything is allocated.

use std::io::{Read as _, Write as _};

use gavel_numerics::{DType, NumericsError, Tensor, TensorType};

/// First bytes of a `.npy` file.
pub const NPY_MAGIC: &[u8] = b"\x93NUMPY";
/// First bytes of a `.npz` file, which is a ZIP archive.
pub const NPZ_MAGIC: &[u8] = b"PK\x03\x04";
/// Most bytes of an array's header; NumPy's own are below 200.
const MAX_HEADER_BYTES: usize = 1 << 14;
/// Most arrays of an archive.
const MAX_ARRAYS: usize = 4096;

/// Why bytes are no array.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NpyError {
    /// The magic string or version is another.
    #[error("not a .npy file: {0}")]
    NotNpy(String),
    /// The header is no dictionary of `descr`, `fortran_order` and `shape`.
    #[error("header of the .npy file: {0}")]
    Header(String),
    /// An element type that no tensor has.
    #[error(
        "element type {found:?} is not supported; expected one of <f4, <i8, <i4, |u1, |i1, |b1"
    )]
    Dtype {
        /// The header's `descr`.
        found: String,
    },
    /// More or fewer bytes than the shape takes.
    #[error("{ty} takes {expected} bytes, the file has {found}")]
    Length {
        /// Type in the header.
        ty: TensorType,
        /// Bytes of that type.
        expected: usize,
        /// Bytes after the header.
        found: usize,
    },
    /// Extents above the limits, or a bool that is neither 0 nor 1.
    #[error(transparent)]
    Tensor(#[from] NumericsError),
    /// Not a ZIP archive, or one whose parts cannot be read.
    #[error("not a .npz archive: {0}")]
    Archive(String),
    /// An array of the archive.
    #[error("array {name:?}: {source}")]
    Array {
        /// Its name.
        name: String,
        /// What is wrong with it.
        source: Box<NpyError>,
    },
    /// An array that is larger than what it is wanted for.
    #[error("it unpacks to more than the {limit} bytes that are wanted")]
    TooLarge {
        /// Most bytes that are read.
        limit: u64,
    },
    /// A name that nobody asked for.
    #[error("nothing of that name is wanted; expected {expected}")]
    Unwanted {
        /// Names that are.
        expected: String,
    },
}

/// The array in a `.npy` file.
///
/// # Errors
/// A malformed header, an element type that is no tensor's, a length that is not the shape's.
pub fn read_npy(file: &[u8]) -> Result<Tensor, NpyError> {
    let (Header { ty, fortran }, data) = header_of(file)?;
    let expected = ty.byte_len()?;
    if data.len() != expected {
        return Err(NpyError::Length {
            ty,
            expected,
            found: data.len(),
        });
    }
    if fortran && ty.dims.len() > 1 {
        let data = to_row_major(&ty, data);
        return Ok(Tensor::from_le_bytes(ty, &data)?);
    }
    Ok(Tensor::from_le_bytes(ty, data)?)
}

/// The header of a file, and what comes behind it.
fn header_of(file: &[u8]) -> Result<(Header, &[u8]), NpyError> {
    let not = |reason: &str| NpyError::NotNpy(reason.to_owned());
    let rest = file
        .strip_prefix(NPY_MAGIC)
        .ok_or_else(|| not("it does not start with \\x93NUMPY"))?;
    let (&[major, _minor], rest) = rest
        .split_first_chunk::<2>()
        .ok_or_else(|| not("it ends before its version"))?;
    let cut = || not("it ends inside its header");
    let (len, rest) = match major {
        1 => {
            let (len, rest) = rest.split_first_chunk::<2>().ok_or_else(cut)?;
            (usize::from(u16::from_le_bytes(*len)), rest)
        }
        2 | 3 => {
            let (len, rest) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
            (u32::from_le_bytes(*len) as usize, rest)
        }
        other => return Err(not(&format!("version {other} is not 1, 2 or 3"))),
    };
    if len > MAX_HEADER_BYTES {
        return Err(not(&format!(
            "its header of {len} bytes is above the limit of {MAX_HEADER_BYTES}"
        )));
    }
    let (header, data) = rest.split_at_checked(len).ok_or_else(cut)?;
    let text = std::str::from_utf8(header).map_err(|_| NpyError::Header("not text".into()))?;
    Ok((Header::parse(text)?, data))
}

/// Names and types of the arrays of a `.npz` file, by their headers; those that cannot be read are left out.
///
/// # Errors
/// A malformed archive.
pub fn npz_types(file: &[u8]) -> Result<Vec<(String, TensorType)>, NpyError> {
    let broken = |e: zip::result::ZipError| NpyError::Archive(e.to_string());
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(file)).map_err(broken)?;
    let mut found = Vec::new();
    for i in 0..archive.len().min(MAX_ARRAYS) {
        let entry = archive.by_index(i).map_err(broken)?;
        let name = entry.name().map_err(broken)?.into_owned();
        let name = name.strip_suffix(".npy").unwrap_or(&name).to_owned();
        let mut bytes = Vec::new();
        let limit = (MAX_HEADER_BYTES + 16) as u64;
        if entry.take(limit).read_to_end(&mut bytes).is_ok()
            && let Ok((header, _)) = header_of(&bytes)
        {
            found.push((name, header.ty));
        }
    }
    Ok(found)
}

/// The arrays of a `.npz` file by name. `wanted` are the names and types that may be there: nothing else
/// is unpacked, and nothing beyond the bytes of its type.
///
/// # Errors
/// A malformed archive or array, a name that is not wanted, an array larger than wanted.
pub fn read_npz(
    file: &[u8],
    wanted: &[(String, TensorType)],
) -> Result<Vec<(String, Tensor)>, NpyError> {
    let broken = |e: zip::result::ZipError| NpyError::Archive(e.to_string());
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(file)).map_err(broken)?;
    if archive.len() > MAX_ARRAYS {
        return Err(NpyError::Archive(format!(
            "{} arrays are above the limit of {MAX_ARRAYS}",
            archive.len()
        )));
    }
    let mut arrays = Vec::new();
    for i in 0..archive.len() {
        let mut entry = archive.by_index(i).map_err(broken)?;
        let name = entry.name().map_err(broken)?.into_owned();
        let name = name.strip_suffix(".npy").unwrap_or(&name).to_owned();
        let of_array = |source| NpyError::Array {
            name: name.clone(),
            source: Box::new(source),
        };
        let (_, ty) = wanted.iter().find(|(n, _)| *n == name).ok_or_else(|| {
            let names = wanted.iter().map(|(n, ty)| format!("{n:?} {ty}"));
            of_array(NpyError::Unwanted {
                expected: names.collect::<Vec<_>>().join(", "),
            })
        })?;
        let limit = (ty.byte_len()? + MAX_HEADER_BYTES + 16) as u64;
        if entry.size() > limit {
            return Err(of_array(NpyError::TooLarge { limit }));
        }
        // the declared size may lie: what is read is bounded all the same
        let mut bytes = Vec::new();
        (&mut entry)
            .take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| of_array(NpyError::Archive(e.to_string())))?;
        if bytes.len() as u64 > limit {
            return Err(of_array(NpyError::TooLarge { limit }));
        }
        let tensor = read_npy(&bytes).map_err(of_array)?;
        arrays.push((name, tensor));
    }
    Ok(arrays)
}

/// The array of this name and type, if the archive has one; nothing else is unpacked.
///
/// # Errors
/// As [`read_npz`]; an array of another type.
pub fn read_npz_one(file: &[u8], name: &str, ty: &TensorType) -> Result<Option<Tensor>, NpyError> {
    let broken = |e: zip::result::ZipError| NpyError::Archive(e.to_string());
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(file)).map_err(broken)?;
    let Some(index) = archive.index_for_name(&format!("{name}.npy")) else {
        return Ok(None);
    };
    let limit = (ty.byte_len()? + MAX_HEADER_BYTES + 16) as u64;
    let mut bytes = Vec::new();
    let mut entry = archive.by_index(index).map_err(broken)?.take(limit + 1);
    entry
        .read_to_end(&mut bytes)
        .map_err(|e| NpyError::Archive(e.to_string()))?;
    let tensor = read_npy(&bytes)?;
    if tensor.ty() != ty {
        return Err(NpyError::Header(format!(
            "{name:?} must be {ty}, found {}",
            tensor.ty()
        )));
    }
    Ok(Some(tensor))
}

/// The `.npy` file of a tensor: format 1, row-major.
pub fn write_npy(tensor: &Tensor) -> Vec<u8> {
    let dims = tensor.dims();
    let mut shape = dims.iter().map(|d| format!("{d}, ")).collect::<String>();
    if dims.len() != 1 {
        shape = shape.trim_end_matches(", ").to_owned();
    }
    let descr = descr(tensor.dtype());
    let mut header = format!(
        "{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}",
        shape.trim_end()
    );
    // magic, version, length and header end at a multiple of 64, the header with a line feed
    let prefix = NPY_MAGIC.len() + 4;
    let padded = (prefix + header.len() + 1).next_multiple_of(64) - prefix;
    header.extend(std::iter::repeat_n(' ', padded - header.len() - 1));
    header.push('\n');
    let data = tensor.le_bytes();
    let mut out = Vec::with_capacity(prefix + header.len() + data.len());
    out.extend(NPY_MAGIC);
    out.extend([1, 0]);
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(data.iter());
    out
}

/// The `.npz` file of tensors by name, not compressed.
///
/// # Errors
/// A name that no archive can have, or that is there twice.
pub fn write_npz<'a>(
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
) -> Result<Vec<u8>, NpyError> {
    let broken = |e: zip::result::ZipError| NpyError::Archive(e.to_string());
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .large_file(true);
    for (name, tensor) in tensors {
        archive
            .start_file(format!("{name}.npy"), options)
            .map_err(broken)?;
        archive
            .write_all(&write_npy(tensor))
            .map_err(|e| NpyError::Archive(e.to_string()))?;
    }
    Ok(archive.finish().map_err(broken)?.into_inner())
}

fn descr(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "<f4",
        DType::I64 => "<i8",
        DType::I32 => "<i4",
        DType::U8 => "|u1",
        DType::I8 => "|i1",
        DType::Bool => "|b1",
        DType::I16 => "<i2",
        DType::U16 => "<u2",
        DType::U32 => "<u4",
        DType::U64 => "<u8",
        DType::F16 => "<f2",
        // NumPy has no name for it: two bytes without a meaning
        DType::BF16 => "|V2",
        DType::F64 => "<f8",
    }
}

fn dtype(descr: &str) -> Option<DType> {
    Some(match descr {
        "<f4" => DType::F32,
        "<i8" => DType::I64,
        "<i4" => DType::I32,
        "|u1" | "<u1" => DType::U8,
        "|i1" | "<i1" => DType::I8,
        "|b1" | "?" => DType::Bool,
        "<i2" => DType::I16,
        "<u2" => DType::U16,
        "<u4" => DType::U32,
        "<u8" => DType::U64,
        "<f2" => DType::F16,
        "|V2" | "<V2" => DType::BF16,
        "<f8" => DType::F64,
        _ => return None,
    })
}

/// Column-major elements in row-major order.
fn to_row_major(ty: &TensorType, data: &[u8]) -> Vec<u8> {
    let size = ty.dtype.size();
    let mut strides = Vec::with_capacity(ty.dims.len());
    let mut stride = size;
    for &dim in &ty.dims {
        strides.push(stride);
        stride *= dim as usize;
    }
    let mut out = Vec::with_capacity(data.len());
    let mut at = vec![0u64; ty.dims.len()];
    while out.len() < data.len() {
        let from: usize = at.iter().zip(&strides).map(|(&i, &s)| i as usize * s).sum();
        out.extend_from_slice(&data[from..from + size]);
        for (i, &dim) in at.iter_mut().zip(&ty.dims).rev() {
            *i += 1;
            if *i < dim {
                break;
            }
            *i = 0;
        }
    }
    out
}

/// What a header says.
struct Header {
    ty: TensorType,
    fortran: bool,
}

impl Header {
    /// Reads the dictionary literal that NumPy writes: three known keys, no expressions.
    fn parse(text: &str) -> Result<Header, NpyError> {
        let fail = |reason: String| NpyError::Header(reason);
        let (mut found_descr, mut fortran, mut shape) = (None, None, None);
        let mut cursor = Cursor { rest: text };
        cursor.expect('{')?;
        while !cursor.take('}') {
            let key = cursor.string()?;
            cursor.expect(':')?;
            match key {
                "descr" => found_descr = Some(cursor.string()?),
                "fortran_order" => fortran = Some(cursor.boolean()?),
                "shape" => shape = Some(cursor.tuple()?),
                other => return Err(fail(format!("unknown key {other:?}"))),
            }
            if !cursor.take(',') {
                cursor.expect('}')?;
                break;
            }
        }
        if !cursor.rest.trim().is_empty() {
            return Err(fail("something follows the dictionary".into()));
        }
        let missing = |key: &str| fail(format!("{key:?} is missing"));
        let descr = found_descr.ok_or_else(|| missing("descr"))?;
        let dtype = dtype(descr).ok_or_else(|| NpyError::Dtype {
            found: descr.to_owned(),
        })?;
        Ok(Header {
            ty: TensorType::new(dtype, shape.ok_or_else(|| missing("shape"))?),
            fortran: fortran.ok_or_else(|| missing("fortran_order"))?,
        })
    }
}

struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, wanted: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn fail<T>(&self, expected: &str) -> Result<T, NpyError> {
        let found: String = self.rest.chars().take(12).collect();
        Err(NpyError::Header(format!(
            "expected {expected}, found {found:?}"
        )))
    }

    fn expect(&mut self, wanted: char) -> Result<(), NpyError> {
        if self.take(wanted) {
            Ok(())
        } else {
            self.fail(&format!("{wanted:?}"))
        }
    }

    fn string(&mut self) -> Result<&'a str, NpyError> {
        let quote = match (self.take('\''), self.rest) {
            (true, _) => '\'',
            (false, _) if self.take('"') => '"',
            _ => return self.fail("a string (structured arrays are not supported)"),
        };
        let Some((text, rest)) = self.rest.split_once(quote) else {
            return self.fail("the end of a string");
        };
        self.rest = rest;
        Ok(text)
    }

    fn boolean(&mut self) -> Result<bool, NpyError> {
        self.rest = self.rest.trim_start();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                return Ok(value);
            }
        }
        self.fail("True or False")
    }

    fn tuple(&mut self) -> Result<Vec<u64>, NpyError> {
        self.expect('(')?;
        let mut dims = Vec::new();
        while !self.take(')') {
            let digits = self.rest.trim_start();
            let end = digits
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(digits.len());
            let (number, rest) = digits.split_at(end);
            let Ok(dim) = number.parse() else {
                return self.fail("an extent");
            };
            dims.push(dim);
            self.rest = rest;
            if !self.take(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(dims)
    }
}

#[cfg(test)]
mod tests;
