#!/usr/bin/env python3
"""Writes GGUF files of real shapes with random weights, the same for the same seed in every format.

    python make_gguf.py tinyllama Q8_0 F16 --out target/bench/files
"""

import argparse
import pathlib

import numpy as np
from gguf import GGML_QUANT_SIZES, GGUFWriter
from gguf.quants import dequantize, quant_shape_to_byte_shape

from blocks import encode
from gguf_models import FORMATS, SHAPES, VARIANTS, Model, llama3_factors


def file_name(shape: str, variant: str, tied: bool, file_format: str, as_f32: bool) -> str:
    parts = [shape] + [variant] * (variant != "llama") + ["tied"] * tied + [file_format] + ["as-F32"] * as_f32
    return "-".join(parts) + ".gguf"


def write(model: Model, name: str, file_format: str, as_f32: bool, seed: int, path: pathlib.Path) -> None:
    """One tensor in memory at a time. The file appears under its name only when it is whole. `as_f32`: the values that a
    file of the format holds, each as an F32."""
    stored_format = "F32" if as_f32 else file_format
    partial = path.with_suffix(".partial")
    writer = GGUFWriter(partial, model.variant.architecture)
    writer.add_name(name)
    model.write_metadata(writer, stored_format)
    tensors = list(model.tensors())
    for tensor in tensors:
        kind = model.kind(tensor.name, tensor.dims, stored_format)
        block, block_bytes = GGML_QUANT_SIZES[kind]
        size = int(np.prod(tensor.dims)) // block * block_bytes
        dims = quant_shape_to_byte_shape(tensor.dims, kind) if block > 1 or kind.name == "BF16" else tensor.dims
        dtype = np.dtype(np.uint8 if dims != tensor.dims else np.float32)
        writer.add_tensor_info(tensor.name, dims, dtype, size, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in tensors:
        values = tensor.values(seed)
        if tensor.name == "rope_freqs.weight":
            values = llama3_factors(model.head_dim, model.variant.rope_base)
        kind = model.kind(tensor.name, tensor.dims, file_format)
        encoded = encode(values, kind)
        writer.write_tensor_data(dequantize(encoded, kind) if as_f32 else encoded)
    writer.close()
    partial.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("formats", nargs="+", choices=FORMATS, metavar="FORMAT", help=" ".join(FORMATS))
    parser.add_argument("--variant", choices=VARIANTS, default="llama")
    parser.add_argument("--tied", action="store_true", help="the head is the embedding table")
    parser.add_argument("--as-f32", action="store_true", help="the values that such files hold, each as an F32")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("target/bench/files"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    model = Model(SHAPES[options.shape], VARIANTS[options.variant], options.tied)
    for file_format in options.formats:
        name = file_name(options.shape, options.variant, options.tied, file_format, options.as_f32)
        path = options.out / name
        if not path.exists():
            write(model, name.removesuffix(".gguf"), file_format, options.as_f32, options.seed, path)
        print(path)


if __name__ == "__main__":
    main()
