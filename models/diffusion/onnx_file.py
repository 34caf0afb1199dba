"""The denoiser as an ONNX file, with its scheduler and vocabulary as metadata (`spec/model.md`, "Diffusion models")."""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .net import FEATURES, GROUPS, frequencies
from .pictures import FIELDS, SIZE

OPSET, IR_VERSION = 21, 10
# the network runs on a picture with its words and without them
PAIR = 2
IGNORED = ("a", "an", "the", "background")


class Writer:
    """Appends nodes and constants; values are names."""

    def __init__(self, weights):
        self.weights, self.nodes, self.constants = weights, [], []

    def node(self, op, name, *inputs, outputs=1, **attributes):
        names = [name] if outputs == 1 else [f"{name}.{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, name, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, name, value):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def vector(self, name, change=lambda x: x):
        return self.constant(name, change(self.weights[name]))

    def matrix(self, name, change=lambda x: x):
        """Rows of signed bytes, each with a scale: what `quantised` gives."""
        rows, scale = quantised(change(self.weights[name]))
        if rows is None:
            return self.constant(name, scale)
        whole = self.node("Cast", f"{name}.whole", self.constant(f"{name}.rows", rows), to=TensorProto.FLOAT)
        return self.node("Mul", f"{name}.values", whole, self.constant(f"{name}.scale", scale))

    def conv(self, name, x, size=3, stride=1, change=lambda x: x, change_bias=lambda x: x):
        weight = self.matrix(f"{name}.weight", change)
        pad = (size - stride + 1) // 2
        return self.node(
            "Conv", name, x, weight, self.vector(f"{name}.bias", change_bias),
            kernel_shape=[size, size], strides=[stride, stride], pads=[pad, pad, pad, pad],
        )

    def linear(self, name, x, change_bias=lambda x: x):
        bias = self.vector(f"{name}.bias", change_bias)
        return self.node("Gemm", name, x, self.matrix(f"{name}.weight"), bias, transB=1)

    def norm(self, name, x):
        scale, bias = self.vector(f"{name}.weight"), self.vector(f"{name}.bias")
        return self.node("GroupNormalization", name, x, scale, bias, num_groups=GROUPS)

    def silu(self, x):
        return self.node("Mul", f"{x}.silu", x, self.node("Sigmoid", f"{x}.sigmoid", x))

    def reshape(self, name, x, dims):
        return self.node("Reshape", name, x, self.constant(f"{name}.dims", np.array(dims, np.int64)))

    def block(self, name, x, condition, outputs, skip):
        h = self.conv(f"{name}.conv1", self.silu(self.norm(f"{name}.norm1", x)))
        # the scale is what is said and one
        film = self.linear(f"{name}.film", condition, lambda b: np.concatenate([b[:outputs] + 1, b[outputs:]]))
        scale, shift = self.node("Split", f"{name}.parts", film, outputs=2, axis=1, num_outputs=2)
        scale = self.reshape(f"{name}.scale", scale, [PAIR, outputs, 1, 1])
        shift = self.reshape(f"{name}.shift", shift, [PAIR, outputs, 1, 1])
        h = self.node("Mul", f"{name}.scaled", self.norm(f"{name}.norm2", h), scale)
        h = self.conv(f"{name}.conv2", self.silu(self.node("Add", f"{name}.shifted", h, shift)))
        return self.node("Add", name, h, self.conv(f"{name}.skip", x, 1) if skip else x)

    def attention(self, name, x, width, places):
        h = self.norm(f"{name}.norm", x)
        inner = width // 2
        # the scale of the products is in q
        scaled = {"change": lambda w: w * inner**-0.5, "change_bias": lambda b: b * inner**-0.5}
        q = self.reshape(f"{name}.queries", self.conv(f"{name}.q", h, 1, **scaled), [PAIR, inner, places])
        k = self.reshape(f"{name}.keys", self.conv(f"{name}.k", h, 1), [PAIR, inner, places])
        v = self.reshape(f"{name}.values", self.conv(f"{name}.v", h, 1), [PAIR, inner, places])
        q = self.node("Transpose", f"{name}.turned", q, perm=[0, 2, 1])
        weights = self.node("Softmax", f"{name}.weights", self.node("MatMul", f"{name}.scores", q, k), axis=-1)
        weights = self.node("Transpose", f"{name}.weights.turned", weights, perm=[0, 2, 1])
        found = self.node("MatMul", f"{name}.found", v, weights)
        side = int(places**0.5)
        out = self.conv(f"{name}.out", self.reshape(f"{name}.picture", found, [PAIR, inner, side, side]), 1)
        return self.node("Add", name, x, out)

    def depth_to_space(self, name, x):
        return self.node("DepthToSpace", name, x, blocksize=2, mode="DCR")


def quantised(weight):
    """(signed bytes, scales of the rows), or (None, the weight) where that is not worth it."""
    if weight.size < 1024:
        return None, weight.astype(np.float32)
    rest = tuple(range(1, weight.ndim))
    scale = np.maximum(np.abs(weight).max(rest, keepdims=True), 1e-12).astype(np.float32) / np.float32(127)
    return np.clip(np.rint(weight / scale), -127, 127).astype(np.int8), scale


def rounded(weights):
    """The weights as the file has them."""
    out = {}
    for name, weight in weights.items():
        if weight.ndim > 1 and not name.startswith("words."):
            rows, scale = quantised(weight)
            weight = scale if rows is None else rows.astype(np.float32) * scale
        out[name] = weight
    return out


def stem(weight):
    """A 3 by 3 convolution of squares of two by two as one of 6 by 6 pixels, two apart."""
    out, _, kh, kw = weight.shape
    return weight.reshape(out, 2, 2, 3, kh, kw).transpose(0, 3, 4, 1, 5, 2).reshape(out, 3, 2 * kh, 2 * kw)


def write(path, weights, scheduler, guidance):
    """`weights` by the names of `net.Net`; `scheduler` as the specification has it, without the words. `guidance` is how
    many times what the words change is taken."""
    w = Writer(weights)
    width, inner = weights["stem.weight"].shape[0], weights["shrink.weight"].shape[0]
    fine = w.conv("stem", "sample", 6, 2, stem)
    angles = w.node("Mul", "time.angles", "timestep", w.constant("time.frequencies", frequencies().numpy()[None]))
    waves = w.node("Concat", "time", w.node("Sin", "time.sin", angles), w.node("Cos", "time.cos", angles), axis=1)
    time = w.linear("time2", w.silu(w.linear("time1", waves)))
    tables = [weights[f"words.{i}.weight"] for i in range(len(FIELDS))]
    first = np.cumsum([0] + [len(t) for t in tables])[:-1].astype(np.int64)
    silent = w.constant("silence", np.zeros((1, len(FIELDS)), np.int64))
    prompts = w.node("Concat", "prompts", "prompt", silent, axis=0)
    rows = w.node("Add", "words.rows", prompts, w.constant("words.first", first[None]))
    found = w.node("Gather", "words", w.constant("words.table", np.concatenate(tables)), rows, axis=0)
    said = w.node("ReduceSum", "words.sum", found, w.constant("words.axis", np.array([1], np.int64)), keepdims=0)
    condition = w.silu(w.node("Add", "condition", time, said))
    pair = w.node("Concat", "pair", fine, fine, axis=0)
    fine = w.block("down1", pair, condition, width, False)
    h = w.block("middle1", w.conv("shrink", fine, 3, 2), condition, inner, False)
    h = w.block("middle2", w.attention("attention", h, inner, (SIZE // 4) ** 2), condition, inner, False)
    h = w.depth_to_space("grown", w.conv("grow", h, 1))
    h = w.node("Concat", "joined", h, fine, axis=1)
    h = w.block("up2", w.block("up1", h, condition, width, True), condition, width, False)
    both = w.depth_to_space("directions", w.conv("out", w.silu(w.norm("norm", h))))
    said, unsaid = w.node("Split", "direction.parts", both, outputs=PAIR, axis=0, num_outputs=PAIR)
    change = w.node("Sub", "direction.change", said, unsaid)
    change = w.node("Mul", "direction.guided", change, w.constant("guidance", np.array([guidance], np.float32)))
    w.node("Add", "direction", unsaid, change)
    fields = [{"name": name, "words": list(words)} for name, words in FIELDS.items()]
    fields[-1]["after"] = "on"
    spec = scheduler | {"fields": fields, "ignored": list(IGNORED)}
    picture = [1, 3, SIZE, SIZE]
    graph = helper.make_graph(
        w.nodes,
        "denoiser",
        [
            helper.make_tensor_value_info("sample", TensorProto.FLOAT, picture),
            helper.make_tensor_value_info("timestep", TensorProto.FLOAT, [1]),
            helper.make_tensor_value_info("prompt", TensorProto.INT64, [1, len(FIELDS)]),
        ],
        [helper.make_tensor_value_info("direction", TensorProto.FLOAT, picture)],
        w.constants,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="train_diffusion.py"
    )
    helper.set_model_props(model, {"gavel.diffusion": json.dumps(spec)})
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def schedule(steps):
    """Euler's method on the straight way from noise to picture, in equal steps."""
    times = (np.arange(steps, 0, -1) / steps).astype(np.float32)
    ends = np.append(times[1:], np.float32(0))
    return {
        "kind": "flow matching, Euler",
        "pixels": {"scale": 127.5, "offset": 127.5},
        "timestep": times.tolist(),
        "noise": [1.0] + [0.0] * (steps - 1),
        "keep": [1.0] * steps,
        "add": (ends - times).astype(np.float32).tolist(),
    }
