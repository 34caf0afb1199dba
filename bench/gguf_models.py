"""Shapes and variants of the Llama family, as the tensors and metadata of a GGUF file with random weights."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFWriter, LlamaFileType

from vocabulary import CHAT_TEMPLATE, Vocabulary, bpe, spm

CONTEXT = 2048
FORMATS = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_K", "Q6_K", "Q4_K_M")


@dataclass(frozen=True)
class Shape:
    layers: int
    width: int
    ff: int
    heads: int
    kv_heads: int
    vocabulary: int


SHAPES = {
    "tinyllama": Shape(layers=22, width=2048, ff=5632, heads=32, kv_heads=4, vocabulary=32000),
    "small": Shape(layers=2, width=256, ff=768, heads=8, kv_heads=2, vocabulary=512),
}


@dataclass(frozen=True)
class Variant:
    """How a model of the family differs from Llama 2. `scaling` is the RoPE scaling: linear, yarn or llama3."""

    architecture: str = "llama"
    vocabulary: str = "spm"
    pre: str = ""
    rope_base: float = 10_000.0
    scaling: str | None = None
    head_dim: int | None = None
    qkv_bias: bool = False
    qk_norm: bool = False
    sliding_window: int | None = None


VARIANTS = {
    "llama": Variant(),
    "linear": Variant(scaling="linear"),
    "yarn": Variant(scaling="yarn"),
    "llama3": Variant(vocabulary="bpe", pre="llama-bpe", rope_base=500_000.0, scaling="llama3"),
    # llama.cpp ignores the window of this architecture, so the two agree up to its length only
    "mistral": Variant(sliding_window=1024),
    "qwen2": Variant("qwen2", "bpe", "qwen2", 1_000_000.0, qkv_bias=True),
    "qwen3": Variant("qwen3", "bpe", "qwen2", 1_000_000.0, head_dim=64, qk_norm=True),
}


@dataclass(frozen=True)
class Tensor:
    """One tensor to be: `dims` outermost first, values `mean + std * normal`."""

    name: str
    dims: tuple[int, ...]
    std: float
    mean: float = 0.0

    def values(self, seed: int) -> np.ndarray:
        """The same for every format: the generator is keyed by seed and name only."""
        random = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
        values = random.standard_normal(self.dims, dtype=np.float32)
        values *= np.float32(self.std)
        values += np.float32(self.mean)
        return values


@dataclass(frozen=True)
class Model:
    shape: Shape
    variant: Variant
    tied: bool

    @property
    def head_dim(self) -> int:
        return self.variant.head_dim or self.shape.width // self.shape.heads

    def tensors(self) -> Iterator[Tensor]:
        """In the order of the file. Deviations keep activations near 1 and the logits' deviation near 2."""
        s, v = self.shape, self.variant
        q, kv = s.heads * self.head_dim, s.kv_heads * self.head_dim
        head_std = 2 / sqrt(s.width)
        branch = 1 / sqrt(2 * s.layers)  # a residual branch adds this much, so that all of them together add 1
        yield Tensor("token_embd.weight", (s.vocabulary, s.width), head_std if self.tied else 1.0)
        if v.scaling == "llama3":
            yield Tensor("rope_freqs.weight", (self.head_dim // 2,), 0.0)
        for layer in range(s.layers):
            p = f"blk.{layer}."
            yield Tensor(p + "attn_norm.weight", (s.width,), 0.1, 1.0)
            for name, rows in (("q", q), ("k", kv), ("v", kv)):
                yield Tensor(f"{p}attn_{name}.weight", (rows, s.width), 1 / sqrt(s.width))
                if v.qkv_bias:
                    yield Tensor(f"{p}attn_{name}.bias", (rows,), 0.3)
                if v.qk_norm and name in "qk":
                    yield Tensor(f"{p}attn_{name}_norm.weight", (self.head_dim,), 0.1, 1.0)
            yield Tensor(p + "attn_output.weight", (s.width, q), branch / sqrt(q))
            yield Tensor(p + "ffn_norm.weight", (s.width,), 0.1, 1.0)
            yield Tensor(p + "ffn_gate.weight", (s.ff, s.width), 1 / sqrt(s.width))
            yield Tensor(p + "ffn_up.weight", (s.ff, s.width), 1 / sqrt(s.width))
            yield Tensor(p + "ffn_down.weight", (s.width, s.ff), 2 * branch / sqrt(s.ff))
        yield Tensor("output_norm.weight", (s.width,), 0.1, 1.0)
        if not self.tied:
            yield Tensor("output.weight", (s.vocabulary, s.width), head_std)

    def kind(self, name: str, dims: tuple[int, ...], file_format: str) -> Type:
        """The type of one tensor: vectors stay F32. Q4_K_M is llama.cpp's usual mixture of Q4_K and Q6_K."""
        if len(dims) == 1:
            return Type.F32
        if file_format != "Q4_K_M":
            return Type[file_format]
        if name == "output.weight" or (self.tied and name == "token_embd.weight"):
            return Type.Q6_K
        if name.endswith(("attn_v.weight", "ffn_down.weight")):
            layer, n = int(name.split(".")[1]), self.shape.layers
            if layer < n // 8 or layer >= 7 * n // 8 or (layer - n // 8) % 3 == 2:
                return Type.Q6_K
        return Type.Q4_K

    def write_metadata(self, writer: GGUFWriter, file_format: str) -> None:
        s, v = self.shape, self.variant
        writer.add_file_type(LlamaFileType[_FILE_TYPES[file_format]])
        writer.add_quantization_version(2)
        writer.add_context_length(CONTEXT)
        writer.add_embedding_length(s.width)
        writer.add_block_count(s.layers)
        writer.add_feed_forward_length(s.ff)
        writer.add_head_count(s.heads)
        writer.add_head_count_kv(s.kv_heads)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_vocab_size(s.vocabulary)
        writer.add_rope_freq_base(v.rope_base)
        writer.add_rope_dimension_count(self.head_dim)
        if v.head_dim is not None:
            writer.add_key_length(v.head_dim)
            writer.add_value_length(v.head_dim)
        if v.sliding_window is not None:
            writer.add_sliding_window(v.sliding_window)
        if v.scaling in ("linear", "yarn"):
            writer.add_string(f"{v.architecture}.rope.scaling.type", v.scaling)
            writer.add_rope_scaling_factor(4.0)
        if v.scaling == "yarn":
            writer.add_rope_scaling_orig_ctx_len(CONTEXT // 4)
        self._write_vocabulary(writer, self.vocabulary())

    def vocabulary(self) -> Vocabulary:
        size = self.shape.vocabulary
        return spm(size) if self.variant.vocabulary == "spm" else bpe(size, self.variant.pre)

    @staticmethod
    def _write_vocabulary(writer: GGUFWriter, v: Vocabulary) -> None:
        writer.add_tokenizer_model(v.model)
        if v.pre:
            writer.add_tokenizer_pre(v.pre)
        writer.add_token_list(v.tokens)
        writer.add_token_types(v.types)
        if v.scores:
            writer.add_token_scores(v.scores)
        if v.merges:
            writer.add_token_merges(v.merges)
        if v.model == "llama":
            writer.add_unk_token_id(0)
        writer.add_bos_token_id(v.bos)
        writer.add_eos_token_id(v.eos)
        writer.add_add_bos_token(v.model == "llama")
        writer.add_chat_template(CHAT_TEMPLATE)


_FILE_TYPES = {
    "F32": "ALL_F32",
    "F16": "MOSTLY_F16",
    "BF16": "MOSTLY_BF16",
    "Q8_0": "MOSTLY_Q8_0",
    "Q4_0": "MOSTLY_Q4_0",
    "Q4_K": "MOSTLY_Q4_K_S",
    "Q4_K_M": "MOSTLY_Q4_K_M",
    "Q6_K": "MOSTLY_Q6_K",
}


def llama3_factors(head_dim: int, base: float) -> np.ndarray:
    """Llama 3.1's `rope_freqs`: what each pair's frequency is divided by (factor 8, low 1, high 4, original 8192)."""
    frequency = base ** (-np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    periods = 8192 * frequency / (2 * np.pi)
    smooth = ((periods - 1) / 3).clip(0, 1)
    return (1 / ((1 - smooth) / 8 + smooth)).astype(np.float32)
