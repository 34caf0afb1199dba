#!/usr/bin/env python3
"""Trains the shipped digit classifiers and exports them to ONNX.

Data: the handwritten digits that ship inside scikit-learn (1,797 pictures of 8x8, UCI "Optical Recognition of
Handwritten Digits"); every fifth picture is held out. No downloads. Run from the repository's root:

    python3 -m venv .venv && .venv/bin/pip install -r models/requirements.txt && .venv/bin/python models/train_digits.py
"""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sklearn.datasets import load_digits

HERE = pathlib.Path(__file__).parent
SEED = 7
EPSILON = 1e-5
# preprocessing, named by the model file: value = pixel * SCALE + OFFSET, pixel 0..255
SCALE, OFFSET = 1.0 / 255.0, -0.5


def data():
    digits = load_digits()
    # 0..16 becomes the 8-bit grey that a PNG holds
    pixels = np.minimum(digits.images * 16, 255).astype(np.uint8)
    held_out = np.arange(len(pixels)) % 5 == 0
    return pixels, digits.target, held_out


def to_input(pixels):
    return (pixels.astype(np.float32) * np.float32(SCALE) + np.float32(OFFSET))[:, None]


def conv(x, w, b=None):
    pad = w.shape[-1] // 2
    y = jax.lax.conv_general_dilated(x, w, (1, 1), [(pad, pad), (pad, pad)])
    return y if b is None else y + b[:, None, None]


def normalise(x, p, batch):
    mean, var = (x.mean((0, 2, 3)), x.var((0, 2, 3))) if batch is None else batch
    y = (x - mean[:, None, None]) / jnp.sqrt(var + EPSILON)[:, None, None]
    return y * p["scale"][:, None, None] + p["bias"][:, None, None], (mean, var)


def pool(x, how):
    if how == "max":
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    return jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, 1, 2, 2), (1, 1, 2, 2), "VALID") / 4


def conv_net(p, x, stats=None):
    """Conv-BN-Relu-MaxPool, two parallel convolutions joined, AveragePool, dense, softmax."""
    y, first = normalise(conv(x, p["c1"]), p["n1"], stats and stats[0])
    y = pool(jax.nn.relu(y), "max")
    y, second = normalise(conv(y, p["c2"]), p["n2"], stats and stats[1])
    y = jax.nn.relu(y)
    narrow = conv(y, p["c3a"], p["b3a"])
    wide = conv(y, p["c3b"], p["b3b"])
    y = jax.nn.relu(jnp.concatenate([narrow, wide], 1))
    y = pool(y, "average")
    y = y.reshape(y.shape[0], -1)
    y = jnp.clip(y @ p["w4"].T + p["b4"], 0.0, 6.0)
    return y @ p["w5"].T + p["b5"], (first, second)


def conv_params(key, c):
    keys = iter(jax.random.split(key, 8))

    def weight(*shape):
        fan = np.prod(shape[1:])
        return jax.random.normal(next(keys), shape) * np.sqrt(2.0 / fan)

    def norm(n):
        return {"scale": jnp.ones(n), "bias": jnp.zeros(n)}

    return {
        "c1": weight(c, 1, 3, 3), "n1": norm(c),
        "c2": weight(2 * c, c, 3, 3), "n2": norm(2 * c),
        "c3a": weight(c, 2 * c, 1, 1), "b3a": jnp.zeros(c),
        "c3b": weight(c, 2 * c, 3, 3), "b3b": jnp.zeros(c),
        "w4": weight(32, 8 * c), "b4": jnp.zeros(32),
        "w5": weight(10, 32), "b5": jnp.zeros(10),
    }


def mlp(p, x, stats=None):
    y = x.reshape(x.shape[0], -1)
    y = jax.nn.relu(y @ p["w1"] + p["b1"])
    y = jax.nn.sigmoid(y @ p["w2"] + p["b2"])
    return y @ p["w3"] + p["b3"], None


def mlp_params(key, n):
    a, b, c = jax.random.split(key, 3)
    return {
        "w1": jax.random.normal(a, (64, n)) * np.sqrt(2 / 64), "b1": jnp.zeros(n),
        "w2": jax.random.normal(b, (n, n)) * np.sqrt(2 / n), "b2": jnp.zeros(n),
        "w3": jax.random.normal(c, (n, 10)) * np.sqrt(2 / n), "b3": jnp.zeros(10),
    }


def train(net, params, x, y, epochs):
    """Adam with a cosine schedule on noisy copies of the pictures."""
    zeros = jax.tree.map(jnp.zeros_like, params)
    state = (params, zeros, zeros)

    def loss(p, x, y):
        logits, _ = net(p, x)
        smooth = 0.95 * jax.nn.one_hot(y, 10) + 0.005
        decay = sum(jnp.sum(v * v) for v in jax.tree.leaves(p))
        return -(smooth * jax.nn.log_softmax(logits)).sum(-1).mean() + 1e-5 * decay

    @jax.jit
    def update(state, x, y, step, rate):
        p, m, v = state
        g = jax.grad(loss)(p, x, y)
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        a, b = 1 - 0.9**step, 1 - 0.999**step
        p = jax.tree.map(lambda p, m, v: p - rate * (m / a) / (jnp.sqrt(v / b) + 1e-8), p, m, v)
        return p, m, v

    rng = np.random.default_rng(SEED)
    batch, step = 64, 0
    steps = epochs * (len(x) // batch)
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for i in range(0, len(x) - batch + 1, batch):
            step += 1
            picture = x[order[i:i + batch]]
            picture = picture + rng.normal(0, 0.05, picture.shape).astype(np.float32)
            rate = 2e-3 * 0.5 * (1 + np.cos(np.pi * step / steps))
            state = update(state, picture, y[order[i:i + batch]], step, rate)
    return state[0]


class Export:
    """Collects nodes and initializers of one ONNX graph."""

    def __init__(self):
        self.nodes, self.weights = [], []

    def weight(self, name, value):
        self.weights.append(numpy_helper.from_array(np.asarray(value, dtype=np.float32), name))
        return name

    def node(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def save(self, name):
        shape = ["N", 1, 8, 8]
        graph = helper.make_graph(
            self.nodes, name,
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 10]),
             helper.make_tensor_value_info("digit", TensorProto.INT64, ["N"])],
            self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="gavel models/train_digits.py")
        # the exact binary32 constants, so that whoever reads them gets the same bits
        for key, value in [("gavel.scale", repr(float(np.float32(SCALE)))), ("gavel.offset", repr(OFFSET)),
                           ("gavel.labels", "\n".join(str(d) for d in range(10)))]:
            entry = model.metadata_props.add()
            entry.key, entry.value = key, value
        onnx.checker.check_model(model, full_check=True)
        path = HERE / f"{name}.onnx"
        path.write_bytes(model.SerializeToString(deterministic=True))
        return path


def export_conv(p, stats, name):
    e = Export()

    def norm(x, key, stat, out):
        return e.node("BatchNormalization",
                      [x, e.weight(f"{key}.scale", p[key]["scale"]), e.weight(f"{key}.bias", p[key]["bias"]),
                       e.weight(f"{key}.mean", stat[0]), e.weight(f"{key}.var", stat[1])], out, epsilon=EPSILON)

    x = e.node("Conv", ["image", e.weight("conv1.weight", p["c1"])], "conv1", pads=[1, 1, 1, 1], kernel_shape=[3, 3])
    x = e.node("Relu", [norm(x, "n1", stats[0], "norm1")], "relu1")
    x = e.node("MaxPool", [x], "pool1", kernel_shape=[2, 2], strides=[2, 2])
    x = e.node("Conv", [x, e.weight("conv2.weight", p["c2"])], "conv2", pads=[1, 1, 1, 1], kernel_shape=[3, 3])
    x = e.node("Relu", [norm(x, "n2", stats[1], "norm2")], "relu2")
    a = e.node("Conv", [x, e.weight("narrow.weight", p["c3a"]), e.weight("narrow.bias", p["b3a"])], "narrow", kernel_shape=[1, 1])
    b = e.node("Conv", [x, e.weight("wide.weight", p["c3b"]), e.weight("wide.bias", p["b3b"])], "wide", pads=[1, 1, 1, 1], kernel_shape=[3, 3])
    x = e.node("Concat", [a, b], "joined", axis=1)
    x = e.node("AveragePool", [e.node("Relu", [x], "relu3")], "pool2", kernel_shape=[2, 2], strides=[2, 2])
    x = e.node("Flatten", [x], "flat", axis=1)
    x = e.node("Gemm", [x, e.weight("dense1.weight", p["w4"]), e.weight("dense1.bias", p["b4"])], "dense1", transB=1)
    e.weights += [numpy_helper.from_array(np.float32(v), n) for n, v in (("zero", 0), ("six", 6))]
    x = e.node("Clip", [x, "zero", "six"], "clip")
    x = e.node("Gemm", [x, e.weight("dense2.weight", p["w5"]), e.weight("dense2.bias", p["b5"])], "logits", transB=1)
    x = e.node("Softmax", [x], "probabilities", axis=1)
    e.node("ArgMax", [x], "digit", axis=1, keepdims=0)
    return e.save(name)


def export_mlp(p, name):
    e = Export()
    x = e.node("Flatten", ["image"], "flat", axis=1)
    for i, act in ((1, "Relu"), (2, "Sigmoid"), (3, None)):
        x = e.node("MatMul", [x, e.weight(f"dense{i}.weight", p[f"w{i}"])], f"product{i}")
        x = e.node("Add", [x, e.weight(f"dense{i}.bias", p[f"b{i}"])], f"dense{i}")
        if act:
            x = e.node(act, [x], f"{act.lower()}{i}")
    x = e.node("Softmax", [x], "probabilities", axis=1)
    e.node("ArgMax", [x], "digit", axis=1, keepdims=0)
    return e.save(name)


def accuracy(path, x, y):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return float((session.run(["digit"], {"image": x})[0] == y).mean())


def expected(path, pictures):
    """onnxruntime's answers, for the tests that compare within a tolerance."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return {name: [round(float(v), 7) for v in session.run(["probabilities"], {"image": to_input(p[None])})[0][0]] for name, p in pictures.items()}


def main():
    pixels, labels, held_out = data()
    x, y = to_input(pixels), labels
    train_x, train_y, test_x, test_y = x[~held_out], y[~held_out], x[held_out], y[held_out]
    report = {"train_pictures": int((~held_out).sum()), "held_out_pictures": int(held_out.sum()), "accuracy": {}}

    pictures = {}
    folder = HERE / "images"
    folder.mkdir(exist_ok=True)
    # two held-out pictures of each digit
    for digit in range(10):
        for n, index in enumerate(np.flatnonzero(held_out & (labels == digit))[:2]):
            name = f"digit-{digit}-{'ab'[n]}.png"
            Image.fromarray(pixels[index], "L").save(folder / name)
            pictures[name] = pixels[index]

    for name, channels, epochs in (("digits", 16, 60), ("digits-small", 3, 30)):
        params = train(conv_net, conv_params(jax.random.PRNGKey(SEED), channels), train_x, train_y, epochs)
        _, stats = conv_net(params, train_x)
        path = export_conv(params, stats, name)
        report["accuracy"][name] = round(accuracy(path, test_x, test_y), 4)
        report.setdefault("onnxruntime", {})[name] = expected(path, pictures)
    params = train(mlp, mlp_params(jax.random.PRNGKey(SEED), 48), train_x, train_y, 80)
    path = export_mlp(params, "digits-mlp")
    report["accuracy"]["digits-mlp"] = round(accuracy(path, test_x, test_y), 4)
    report["onnxruntime"]["digits-mlp"] = expected(path, pictures)
    (HERE / "report.json").write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")
    print(json.dumps({k: v for k, v in report.items() if k != "onnxruntime"}, indent=1))


if __name__ == "__main__":
    main()
