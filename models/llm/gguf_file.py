"""Writes the model as llama.cpp's converter would: architecture "llama", byte-level BPE vocabulary, chat template."""

import json

import gguf
import numpy as np
from gguf.quants import dequantize, quantize

from . import net, tokens

WHOLE = {"embedding": "token_embd", "norm": "output_norm"}
PARTS = {
    "attention_norm": "attn_norm", "q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output",
    "feed_forward_norm": "ffn_norm", "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down",
}
KINDS = {
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}


def adjacent_pairs(weight, heads):
    """[heads * size, inputs] with RoPE pairs (j, j + size / 2) to pairs (2 j, 2 j + 1)."""
    inputs = weight.shape[1]
    return weight.reshape(heads, 2, -1, inputs).swapaxes(1, 2).reshape(-1, inputs)


def tensors(weights):
    """Yields (GGUF name, array with rows of inputs)."""
    for name, weight in weights.items():
        if name in WHOLE:
            yield f"{WHOLE[name]}.weight", weight
            continue
        _, layer, part = name.split(".")
        if part in ("q", "k"):
            weight = adjacent_pairs(weight, net.HEADS if part == "q" else net.KV_HEADS)
        yield f"blk.{layer}.{PARTS[part]}.weight", np.ascontiguousarray(weight)


def rounded(weights, kind):
    """The weights as a file of this kind holds them."""
    quantisation, _ = KINDS[kind]
    keep = lambda w: w if w.ndim == 1 else dequantize(quantize(w, quantisation), quantisation).astype(np.float32)
    return {name: keep(weight) for name, weight in weights.items()}


def write(path, kind, name, description, weights, tokenizer):
    """`weights`: the network's, by name, as numpy arrays."""
    quantisation, file_type = KINDS[kind]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_description(description)
    writer.add_license("MIT OR Apache-2.0")
    writer.add_languages(["en"])
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(net.LAYERS)
    writer.add_context_length(net.CONTEXT)
    writer.add_embedding_length(net.WIDTH)
    writer.add_feed_forward_length(net.FEED_FORWARD)
    writer.add_head_count(net.HEADS)
    writer.add_head_count_kv(net.KV_HEADS)
    writer.add_layer_norm_rms_eps(net.EPSILON)
    writer.add_rope_dimension_count(net.HEAD)
    writer.add_rope_freq_base(net.ROPE_BASE)
    writer.add_vocab_size(tokens.VOCABULARY)
    vocabulary(writer, json.loads(tokenizer.to_str()))
    for tensor, data in tensors(weights):
        if data.ndim == 1:
            writer.add_tensor(tensor, data)
        else:
            writer.add_tensor(tensor, quantize(data, quantisation), raw_dtype=quantisation)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def vocabulary(writer, tokenizer):
    words = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
    kind = {word: gguf.TokenType.CONTROL for word in tokens.SPECIAL}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(words)
    writer.add_token_types([kind.get(word, gguf.TokenType.NORMAL) for word in words])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(tokens.BEGIN_ID)
    writer.add_eos_token_id(tokens.END_ID)
    writer.add_add_bos_token(True)
    writer.add_chat_template(tokens.CHAT_TEMPLATE)
