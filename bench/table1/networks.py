"""Writes the networks of table 1 and one input of each: `networks.py NAME... --out DIR`. For every name NAME.onnx, NAME.npz (what
gavel and onnxruntime read) and NAME.json (what EZKL reads: its inputs as flat lists). Prints how many weights each has, as JSON.

Two kinds: the project's trained `digits-mlp`, of which only the probabilities are kept (EZKL has no integer outputs), and
networks of usual shapes with random weights, of which only cost and numerical error mean something.
"""

import argparse
import json
import math
import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, utils

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from onnx_models import OPSET, Writer  # noqa: E402

MODELS = pathlib.Path(__file__).resolve().parents[2] / "models"


def dense(writer: Writer, x: str, sizes: list[int]) -> str:
    """Matrices with a bias, a Relu between them."""
    for place, (rows, columns) in enumerate(zip(sizes, sizes[1:])):
        x = writer.add("Gemm", x, writer.weight(rows, columns, fan_in=rows, gain=1.4), writer.bias(columns))
        if place + 2 < len(sizes):
            x = writer.add("Relu", x)
    return x


def perceptron(sizes: list[int]) -> onnx.ModelProto:
    writer = Writer("perceptron", 1)
    return finish(writer, dense(writer, writer.input("x", [1, sizes[0]]), sizes), [1, sizes[-1]])


def lenet() -> onnx.ModelProto:
    """LeNet-5 on 28 x 28 with Relu and average pools. EZKL knows no default of `strides`."""
    writer = Writer("lenet", 1)
    x = writer.input("x", [1, 1, 28, 28])
    for channels, before, pads in ((6, 1, 2), (16, 6, 0)):
        weight = writer.weight(channels, before, 5, 5, fan_in=25 * before, gain=1.4)
        x = writer.add("Conv", x, weight, writer.bias(channels), kernel_shape=[5, 5], pads=[pads] * 4, strides=[1, 1])
        x = writer.add("AveragePool", writer.add("Relu", x), kernel_shape=[2, 2], strides=[2, 2])
    return finish(writer, dense(writer, writer.add("Flatten", x), [400, 120, 84, 10]), [1, 10])


def finish(writer: Writer, output: str, shape: list[int]) -> onnx.ModelProto:
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)]
    graph = helper.make_graph(writer.nodes, writer.name, writer.inputs, outputs, writer.weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def digits() -> onnx.ModelProto:
    whole = onnx.load(MODELS / "digits-mlp.onnx")
    model = utils.Extractor(whole).extract_model(["image"], ["probabilities"])
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    del model.graph.value_info[:]
    return model


NETWORKS = {
    "digits-mlp": digits,
    "mlp12k": lambda: perceptron([784, 16, 10]),
    "mlp100k": lambda: perceptron([784, 128, 10]),
    "mlp400k": lambda: perceptron([784, 512, 10]),
    "lenet5": lenet,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=NETWORKS)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    weights: dict[str, int] = {}
    for name in options.names:
        model = NETWORKS[name]()
        weights[name] = sum(math.prod(tensor.dims) for tensor in model.graph.initializer)
        onnx.checker.check_model(model)
        onnx.save(model, options.out / f"{name}.onnx")
        entry = model.graph.input[0]
        shape = [dimension.dim_value for dimension in entry.type.tensor_type.shape.dim]
        value = np.random.default_rng(2).random(shape, dtype=np.float32)
        np.savez(options.out / f"{name}.npz", **{entry.name: value})
        (options.out / f"{name}.json").write_text(json.dumps({"input_data": [value.flatten().tolist()]}))
    print(json.dumps(weights))


if __name__ == "__main__":
    main()
