"""Rows of f32 to rows of a GGUF tensor. The gguf package writes the legacy formats; it only reads K-quants, so their
encoders are here: plain rounding to the grid of each block, without llama.cpp's search for a better one."""

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import quants
from numpy.typing import NDArray

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

SUPER_BLOCK = 256


def encode(values: F32, kind: Type) -> NDArray[np.generic]:
    """`values` [n, k] as the tensor data of `kind`: floats for F32 and F16, else u8 [n, bytes of a row]."""
    match kind:
        case Type.F32:
            return values
        case Type.F16:
            return values.astype(np.float16)
        case Type.Q4_K:
            return _by_super_block(values, _q4_k)
        case Type.Q6_K:
            return _by_super_block(values, _q6_k)
        case _:
            return quants.quantize(values, kind)


def _by_super_block(values: F32, encoder) -> U8:
    rows, columns = values.shape
    if columns % SUPER_BLOCK:
        raise ValueError(f"K-quants need rows of a multiple of {SUPER_BLOCK} values, not {columns}")
    return encoder(values.reshape(-1, SUPER_BLOCK)).reshape(rows, -1)


def _ratio(a: F32, b: F32) -> F32:
    """a / b, and 0 where b is 0."""
    return np.divide(a, b, out=np.zeros(np.broadcast_shapes(a.shape, b.shape), np.float32), where=b != 0)


def _f16(values: F32) -> tuple[U8, F32]:
    """The bytes of each value as f16, and what they stand for."""
    halves = values.astype(np.float16)
    return halves.view(np.uint8), halves.astype(np.float32)


def _q4_k(values: F32) -> U8:
    """value = d * scale * q - dmin * min: 8 groups of 32 with a 6-bit scale and min each, q of 4 bits."""
    x = values.reshape(-1, 8, 32)
    low = np.minimum(x.min(axis=2), 0)
    step = (x.max(axis=2) - low) / 15
    d_bytes, d = _f16(step.max(axis=1, keepdims=True) / 63)
    dmin_bytes, dmin = _f16(-low.min(axis=1, keepdims=True) / 63)
    scale = np.rint(_ratio(step, d)).clip(0, 63)
    minimum = np.rint(_ratio(-low, dmin)).clip(0, 63)
    shifted = x + (dmin * minimum)[:, :, None]
    q = np.rint(_ratio(shifted, (d * scale)[:, :, None])).clip(0, 15).astype(np.uint8)

    s, m = scale.astype(np.uint8), minimum.astype(np.uint8)
    packed = np.concatenate(
        [
            s[:, :4] | (s[:, 4:] >> 4 << 6),
            m[:, :4] | (m[:, 4:] >> 4 << 6),
            (s[:, 4:] & 15) | (m[:, 4:] << 4),
        ],
        axis=1,
    )
    nibbles = q[:, 0::2] | (q[:, 1::2] << 4)
    return np.concatenate([d_bytes, dmin_bytes, packed, nibbles.reshape(-1, 128)], axis=1)


def _q6_k(values: F32) -> U8:
    """value = d * scale * (q - 32): 16 groups of 16 with an i8 scale each, q of 6 bits."""
    x = values.reshape(-1, 16, 16)
    step = np.abs(x).max(axis=2) / 31
    d_bytes, d = _f16(step.max(axis=1, keepdims=True) / 127)
    scale = np.rint(_ratio(step, d)).clip(0, 127)
    q = np.rint(_ratio(x, (d * scale)[:, :, None])).clip(-32, 31).astype(np.int8) + np.int8(32)

    # halves of 128: their quarters of 32 share bytes, low 4 bits in pairs and high 2 bits all four
    quarters = q.view(np.uint8).reshape(-1, 2, 4, 32)
    low = (quarters[:, :, :2] & 15) | (quarters[:, :, 2:] << 4)
    shifts = np.array([0, 2, 4, 6], np.uint8)[:, None]
    high = np.bitwise_or.reduce((quarters >> 4) << shifts, axis=2)
    return np.concatenate(
        [low.reshape(-1, 128), high.reshape(-1, 64), scale.astype(np.uint8), d_bytes], axis=1
    )
