#!/usr/bin/env python3
"""Writes ONNX files with random weights, as exporters would write them: `onnx_models.py resnet50 bert --out DIR`.

Networks of the usual shapes, batch 1, opset 17, deterministic by `--seed`: only their speed means something. Weights are
scaled so that values stay in the range of trained networks, far from subnormals and infinities, which would change the speed.
"""

import argparse
import math
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


class Writer:
    """A graph that is being written: nodes in order, weights by name."""

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.parameters = 0

    def input(self, name: str, shape: Sequence[int], kind: int = TensorProto.FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def weight(self, *shape: int, fan_in: int, gain: float = 1.0) -> str:
        scale = gain / math.sqrt(fan_in)
        return self._counted(self.random.standard_normal(shape, dtype=np.float32) * np.float32(scale))

    def bias(self, *shape: int) -> str:
        return self._counted(self.random.standard_normal(shape, dtype=np.float32) * np.float32(0.1))

    def factor(self, *shape: int) -> str:
        return self._counted(1 + self.random.standard_normal(shape, dtype=np.float32) * np.float32(0.1))

    def _counted(self, array: np.ndarray) -> str:
        self.parameters += array.size
        return self.constant(array)

    def scalar(self, value: float) -> str:
        return self.constant(np.array(value, dtype=np.float32))

    def add(self, kind: str, *inputs: str, **attributes: object) -> str:
        out = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], name=out, **attributes))
        return out

    def reshape(self, x: str, *shape: int) -> str:
        return self.add("Reshape", x, self.constant(np.array(shape, dtype=np.int64)))

    def conv(self, x: str, channels: int, filters: int, kernel: int, stride: int = 1, groups: int = 1, gain: float = 1.0) -> str:
        fan_in = channels // groups * kernel * kernel
        weight = self.weight(filters, channels // groups, kernel, kernel, fan_in=fan_in, gain=gain)
        shape: dict[str, object] = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [kernel // 2] * 4}
        return self.add("Conv", x, weight, self.bias(filters), group=groups, dilations=[1, 1], **shape)

    def model(self, outputs: dict[str, tuple[str, Sequence[int]]]) -> onnx.ModelProto:
        """The model with these outputs: name, value, shape."""
        infos = []
        for name, (value, shape) in outputs.items():
            self.nodes.append(helper.make_node("Identity", [value], [name]))
            infos.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        graph = helper.make_graph(self.nodes, self.name, self.inputs, infos, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="onnx_models.py")
        model.ir_version = 8
        onnx.checker.check_model(model)
        return model


def resnet50(w: Writer) -> onnx.ModelProto:
    """224 x 224, batch normalisation folded into the convolutions, as exporters do."""
    x = w.add("Relu", w.conv(w.input("image", [1, 3, 224, 224]), 3, 64, 7, stride=2, gain=math.sqrt(2)))
    x = w.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for stage, blocks in enumerate([3, 4, 6, 3]):
        width = 64 << stage
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            y = w.add("Relu", w.conv(x, channels, width, 1, gain=1.2))
            y = w.add("Relu", w.conv(y, width, width, 3, stride=stride, gain=1.2))
            y = w.conv(y, width, 4 * width, 1, gain=0.7)
            if block == 0:
                x = w.conv(x, channels, 4 * width, 1, stride=stride, gain=0.7)
            channels = 4 * width
            x = w.add("Relu", w.add("Add", y, x))
    x = w.add("Flatten", w.add("GlobalAveragePool", x), axis=1)
    x = w.add("Gemm", x, w.weight(1000, channels, fan_in=channels), w.bias(1000), transB=1)
    return w.model({"logits": (x, [1, 1000])})


def mobilenetv2(w: Writer) -> onnx.ModelProto:
    """224 x 224, batch normalisation folded, Clip as ReLU6."""

    def clipped(x: str) -> str:
        return w.add("Clip", x, w.scalar(0.0), w.scalar(6.0))

    x = clipped(w.conv(w.input("image", [1, 3, 224, 224]), 3, 32, 3, stride=2, gain=math.sqrt(2)))
    channels = 32
    stages = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for expansion, filters, blocks, first_stride in stages:
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            hidden = channels * expansion
            y = x if expansion == 1 else clipped(w.conv(x, channels, hidden, 1, gain=math.sqrt(2)))
            y = clipped(w.conv(y, hidden, hidden, 3, stride=stride, groups=hidden, gain=math.sqrt(2)))
            y = w.conv(y, hidden, filters, 1)
            x = w.add("Add", x, y) if stride == 1 and channels == filters else y
            channels = filters
    x = clipped(w.conv(x, channels, 1280, 1, gain=math.sqrt(2)))
    x = w.add("Flatten", w.add("GlobalAveragePool", x), axis=1)
    x = w.add("Gemm", x, w.weight(1000, 1280, fan_in=1280), w.bias(1000), transB=1)
    return w.model({"logits": (x, [1, 1000])})


def bert_base(w: Writer, layers: int = 12, width: int = 768, heads: int = 12, tokens: int = 128) -> onnx.ModelProto:
    """An encoder of BERT-base's shape on 128 tokens: hidden states and the pooled output."""
    vocabulary, inner, head = 30522, 4 * width, width // heads
    ids = w.input("input_ids", [1, tokens], TensorProto.INT64)
    mask = w.input("attention_mask", [1, tokens], TensorProto.INT64)
    types = w.input("token_type_ids", [1, tokens], TensorProto.INT64)

    def norm(x: str) -> str:
        return w.add("LayerNormalization", x, w.factor(width), w.bias(width), axis=-1, epsilon=1e-12)

    def dense(x: str, inputs: int, outputs: int) -> str:
        return w.add("Add", w.bias(outputs), w.add("MatMul", x, w.weight(inputs, outputs, fan_in=inputs)))

    def gelu(x: str) -> str:
        erf = w.add("Erf", w.add("Div", x, w.scalar(math.sqrt(2))))
        return w.add("Mul", w.add("Mul", x, w.add("Add", erf, w.scalar(1.0))), w.scalar(0.5))

    def split(x: str, axes: Sequence[int]) -> str:
        return w.add("Transpose", w.reshape(x, 1, tokens, heads, head), perm=list(axes))

    # 1 where a token is to be seen becomes 0, 0 becomes the least number
    visible = w.add("Cast", w.add("Unsqueeze", mask, w.constant(np.array([1, 2], dtype=np.int64))), to=TensorProto.FLOAT)
    addend = w.add("Mul", w.add("Sub", w.scalar(1.0), visible), w.scalar(float(np.finfo(np.float32).min)))
    x = w.add("Gather", w.weight(vocabulary, width, fan_in=1), ids)
    x = w.add("Add", x, w.add("Gather", w.weight(2, width, fan_in=1), types))
    x = norm(w.add("Add", x, w.weight(1, tokens, width, fan_in=1)))
    for _ in range(layers):
        query = split(dense(x, width, width), [0, 2, 1, 3])
        key = split(dense(x, width, width), [0, 2, 3, 1])
        value = split(dense(x, width, width), [0, 2, 1, 3])
        scores = w.add("Div", w.add("MatMul", query, key), w.scalar(math.sqrt(head)))
        weights = w.add("Softmax", w.add("Add", scores, addend), axis=-1)
        seen = w.add("Transpose", w.add("MatMul", weights, value), perm=[0, 2, 1, 3])
        x = norm(w.add("Add", dense(w.reshape(seen, 1, tokens, width), width, width), x))
        x = norm(w.add("Add", dense(gelu(dense(x, width, inner)), inner, width), x))
    first = w.add("Gather", x, w.constant(np.array(0, dtype=np.int64)), axis=1)
    pooled = w.add("Gemm", first, w.weight(width, width, fan_in=width), w.bias(width), transB=1)
    return w.model({"hidden": (x, [1, tokens, width]), "pooled": (w.add("Tanh", pooled), [1, width])})


def unet(w: Writer, base: int = 64, size: int = 64) -> onnx.ModelProto:
    """The denoiser of a small latent diffusion model, 15.7 million weights: three resolutions, attention at the lowest."""
    groups, embedding = 32, 4 * base
    multipliers = [1, 2, 4]

    def silu(x: str) -> str:
        return w.add("Mul", x, w.add("Sigmoid", x))

    def norm(x: str, channels: int, extent: int) -> str:
        x = w.reshape(x, 0, groups, -1)
        x = w.add("InstanceNormalization", x, w.constant(np.ones(groups, np.float32)), w.constant(np.zeros(groups, np.float32)))
        x = w.reshape(x, 1, channels, extent, extent)
        return w.add("Add", w.add("Mul", x, w.factor(channels, 1, 1)), w.bias(channels, 1, 1))

    def block(x: str, channels: int, filters: int, extent: int) -> str:
        y = w.conv(silu(norm(x, channels, extent)), channels, filters, 3)
        shift = w.add("Gemm", silu(time), w.weight(filters, embedding, fan_in=embedding), w.bias(filters), transB=1)
        y = w.add("Add", y, w.reshape(shift, 1, filters, 1, 1))
        y = w.conv(silu(norm(y, filters, extent)), filters, filters, 3, gain=0.5)
        return w.add("Add", x if channels == filters else w.conv(x, channels, filters, 1), y)

    def attention(x: str, channels: int, extent: int, heads: int = 4) -> str:
        pixels, head = extent * extent, channels // heads
        y = w.add("Transpose", w.reshape(norm(x, channels, extent), 1, channels, pixels), perm=[0, 2, 1])

        def projected(perm: Sequence[int]) -> str:
            z = w.add("MatMul", y, w.weight(channels, channels, fan_in=channels))
            z = w.add("Add", z, w.bias(channels))
            return w.add("Transpose", w.reshape(z, 1, pixels, heads, head), perm=list(perm))

        scores = w.add("Mul", w.add("MatMul", projected([0, 2, 1, 3]), projected([0, 2, 3, 1])), w.scalar(head**-0.5))
        seen = w.add("MatMul", w.add("Softmax", scores, axis=-1), projected([0, 2, 1, 3]))
        seen = w.reshape(w.add("Transpose", seen, perm=[0, 2, 1, 3]), 1, pixels, channels)
        seen = w.add("MatMul", seen, w.weight(channels, channels, fan_in=channels, gain=0.5))
        seen = w.add("Transpose", w.add("Add", seen, w.bias(channels)), perm=[0, 2, 1])
        return w.add("Add", x, w.reshape(seen, 1, channels, extent, extent))

    def twice(x: str, channels: int, extent: int) -> str:
        """Every pixel as four: what Resize does by nearest neighbours."""
        x = w.reshape(x, 1, channels, extent, 1, extent, 1)
        x = w.add("Expand", x, w.constant(np.array([1, channels, extent, 2, extent, 2], dtype=np.int64)))
        return w.reshape(x, 1, channels, 2 * extent, 2 * extent)

    latent = w.input("latent", [1, 4, size, size])
    time = w.input("time", [1, base])
    time = w.add("Gemm", time, w.weight(embedding, base, fan_in=base), w.bias(embedding), transB=1)
    time = w.add("Gemm", silu(time), w.weight(embedding, embedding, fan_in=embedding), w.bias(embedding), transB=1)
    x, channels, extent = w.conv(latent, 4, base, 3), base, size
    skips = [(x, channels)]
    for level, multiplier in enumerate(multipliers):
        for _ in range(2):
            x, channels = block(x, channels, base * multiplier, extent), base * multiplier
            if level == len(multipliers) - 1:
                x = attention(x, channels, extent)
            skips.append((x, channels))
        if level < len(multipliers) - 1:
            x, extent = w.conv(x, channels, channels, 3, stride=2), extent // 2
            skips.append((x, channels))
    x = block(attention(block(x, channels, channels, extent), channels, extent), channels, channels, extent)
    for level, multiplier in reversed(list(enumerate(multipliers))):
        for _ in range(3):
            skip, more = skips.pop()
            x = block(w.add("Concat", x, skip, axis=1), channels + more, base * multiplier, extent)
            channels = base * multiplier
            if level == len(multipliers) - 1:
                x = attention(x, channels, extent)
        if level > 0:
            x, extent = w.conv(twice(x, channels, extent), channels, channels, 3), 2 * extent
    x = w.conv(silu(norm(x, channels, extent)), channels, 4, 3)
    return w.model({"noise": (x, [1, 4, size, size])})


MODELS: dict[str, Callable[[Writer], onnx.ModelProto]] = {
    "resnet50": resnet50,
    "mobilenetv2": mobilenetv2,
    "bert": bert_base,
    "unet": unet,
}


def inputs_of(model: onnx.ModelProto, seed: int) -> dict[str, np.ndarray]:
    """Inputs that a network of these shapes could be given: tokens, masks of ones, values of a normal distribution."""
    random = np.random.default_rng(seed)
    found: dict[str, np.ndarray] = {}
    for info in model.graph.input:
        shape = [dim.dim_value for dim in info.type.tensor_type.shape.dim]
        if info.type.tensor_type.elem_type == TensorProto.FLOAT:
            found[info.name] = random.standard_normal(shape, dtype=np.float32)
        elif info.name == "attention_mask":
            found[info.name] = np.ones(shape, dtype=np.int64)
        else:
            found[info.name] = random.integers(0, 2 if "type" in info.name else 30522, shape)
    return found


def write(name: str, out: pathlib.Path, seed: int) -> pathlib.Path:
    """The file of a network, and beside it an archive of its inputs. What is there already is kept."""
    path = out / f"{name}-{seed}.onnx"
    if not path.exists():
        out.mkdir(parents=True, exist_ok=True)
        writer = Writer(name, seed)
        model = MODELS[name](writer)
        np.savez(path.with_suffix(".npz"), **inputs_of(model, seed))
        partial = path.with_suffix(".partial")
        onnx.save(model, partial)
        partial.rename(path)
        print(f"{path}: {writer.parameters / 1e6:.1f} million weights")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=list(MODELS), help=" ".join(MODELS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("."))
    options = parser.parse_args()
    for name in options.models:
        write(name, options.out, options.seed)


if __name__ == "__main__":
    main()
