//! Initializers and constants: every size is checked against the file before anything is allocated.

use bytes::Bytes;
use gavel_numerics::{DType, Tensor, TensorType};

use super::proto::TensorProto;
use crate::{Constant, ModelError};

/// ONNX's element type numbers.
pub(super) fn dtype(elem_type: i32) -> Option<DType> {
    match elem_type {
        1 => Some(DType::F32),
        2 => Some(DType::U8),
        3 => Some(DType::I8),
        4 => Some(DType::U16),
        5 => Some(DType::I16),
        6 => Some(DType::I32),
        7 => Some(DType::I64),
        9 => Some(DType::Bool),
        10 => Some(DType::F16),
        11 => Some(DType::F64),
        12 => Some(DType::U32),
        13 => Some(DType::U64),
        16 => Some(DType::BF16),
        _ => None,
    }
}

/// Name of an ONNX element type, for messages.
pub(super) fn type_name(elem_type: i32) -> &'static str {
    match elem_type {
        0 => "undefined",
        1 => "float",
        2 => "uint8",
        3 => "int8",
        4 => "uint16",
        5 => "int16",
        6 => "int32",
        7 => "int64",
        8 => "string",
        9 => "bool",
        10 => "float16",
        11 => "double",
        12 => "uint32",
        13 => "uint64",
        14 => "complex64",
        15 => "complex128",
        16 => "bfloat16",
        17 => "float8e4m3fn",
        18 => "float8e4m3fnuz",
        19 => "float8e5m2",
        20 => "float8e5m2fnuz",
        21 => "uint4",
        22 => "int4",
        23 => "float4e2m1",
        _ => "a type of a newer standard",
    }
}

/// The value of a tensor; `external` are its bytes where they lie in another file.
pub(super) fn constant(
    proto: &TensorProto,
    external: Option<&Bytes>,
) -> Result<Constant, ModelError> {
    let fail = |reason: String| ModelError::Tensor {
        name: proto.name.clone(),
        reason,
    };
    let dtype = dtype(proto.data_type).ok_or_else(|| {
        fail(format!(
            "element type {} is not supported (floats of 16, 32 and 64 bits, integers of 8 to 64 and bool are)",
            type_name(proto.data_type)
        ))
    })?;
    let dims = proto
        .dims
        .iter()
        .map(|&d| {
            u64::try_from(d)
                .map_err(|_| fail(format!("extents {:?} must not be negative", proto.dims)))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let ty = TensorType::new(dtype, dims);
    let expected = ty.byte_len().map_err(|e| fail(e.to_string()))?;
    let elements = expected / dtype.size();
    let raw = external.or(Some(&proto.raw_data).filter(|raw| !raw.is_empty()));
    if let Some(raw) = raw {
        if raw.len() != expected {
            return Err(fail(format!(
                "{ty} takes {expected} bytes, the file has {}",
                raw.len()
            )));
        }
        return Constant::from_le_bytes(ty, raw.clone()).map_err(|e| fail(e.to_string()));
    }
    let found = match dtype {
        DType::F32 => proto.float_data.len(),
        DType::F64 => proto.double_data.len(),
        DType::I64 => proto.int64_data.len(),
        DType::U32 | DType::U64 => proto.uint64_data.len(),
        _ => proto.int32_data.len(),
    };
    if found != elements {
        return Err(fail(format!(
            "{ty} takes {elements} values, the file has {found}"
        )));
    }
    let raw: Vec<u64> = match dtype {
        DType::F32 => {
            let values = proto.float_data.iter();
            values.map(|x| x.to_bits().into()).collect()
        }
        DType::F64 => proto.double_data.iter().map(|x| x.to_bits()).collect(),
        DType::I64 => proto.int64_data.iter().map(|x| x.cast_unsigned()).collect(),
        DType::U64 => proto.uint64_data.clone(),
        DType::U32 => {
            if let Some(value) = proto.uint64_data.iter().find(|&&v| v > u32::MAX.into()) {
                return Err(fail(format!("{value} is no {dtype:?}")));
            }
            proto.uint64_data.clone()
        }
        _ => {
            let range = match dtype {
                DType::U8 => 0..=255,
                DType::I8 => -128..=127,
                DType::Bool => 0..=1,
                DType::I16 => i16::MIN.into()..=i16::MAX.into(),
                // of narrow floats the bits
                DType::U16 | DType::F16 | DType::BF16 => 0..=u16::MAX.into(),
                _ => i32::MIN..=i32::MAX,
            };
            if let Some(value) = proto.int32_data.iter().find(|v| !range.contains(v)) {
                return Err(fail(format!("{value} is no {dtype:?}")));
            }
            proto.int32_data.iter().map(|&x| x as u32 as u64).collect()
        }
    };
    let tensor = Tensor::from_raw(ty, &raw).map_err(|e| fail(e.to_string()))?;
    Ok(tensor.into())
}
