#!/usr/bin/env python3
"""Exports models of torchvision and transformers (random weights) with PyTorch and compares `gavel run` with onnxruntime.

Weights lie beside the file, as the exporter writes them by default. `NAME+functions` has its nodes in functions of the file.

    python3 -m venv target/exported && target/exported/bin/pip install --requirement conformance/requirements-exported.txt
    cargo build --release && target/exported/bin/python conformance/exported_models.py

Other ONNX files: `exported_models.py FILE.onnx ...`, on made-up inputs. Exits 1 where an output has another shape, or differs by more
than 1e-4 of its largest value, or a model is refused.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import torch
import torchvision
import transformers as t

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOLERANCE = 1e-4
# picture sizes where 64 is too small
VISION = {
    "alexnet": 128, "convnext_tiny": 64, "deeplabv3_mobilenet_v3_large": 96, "densenet121": 64, "efficientnet_b0": 64,
    "efficientnet_v2_s": 64, "fcn_resnet50": 64, "googlenet": 64, "inception_v3": 128, "lraspp_mobilenet_v3_large": 96,
    "maxvit_t": 224, "mnasnet0_5": 64, "mobilenet_v2": 64, "mobilenet_v3_small": 64, "regnet_y_400mf": 64, "resnet18": 64,
    "resnext50_32x4d": 64, "shufflenet_v2_x0_5": 64, "squeezenet1_1": 64, "swin_t": 64, "swin_v2_t": 64, "vgg11_bn": 64, "vit_b_16": 224,
}
FUNCTIONS = ["bert+functions", "mobilenet_v2+functions", "swin_v2+functions"]
# nodes in a function, and functions that call others
NODES, CALLS = 5, 4
SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
WORDS = {"vocab_size": 100, **SMALL}
TILES = {"image_size": 64, "patch_size": 16, **SMALL}
RESNET = {"embedding_size": 16, "hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 1, 1], "out_features": ["stage4"]}
Inputs = dict[str, torch.Tensor]


def tokens() -> Inputs:
    return {"input_ids": torch.randint(5, 100, (1, 16))}


def masked() -> Inputs:
    return {**tokens(), "attention_mask": torch.ones(1, 16, dtype=torch.long)}


def picture(size: int = 64) -> Inputs:
    return {"pixel_values": torch.randn(1, 3, size, size)}


def whisper_encoder() -> torch.nn.Module:
    sizes = {f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in [("layers", 1), ("attention_heads", 4), ("ffn_dim", 96)]}
    ends = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    return t.WhisperModel(t.WhisperConfig(vocab_size=100, d_model=64, max_source_positions=50, num_mel_bins=20, **sizes, **ends)).encoder


def detr() -> torch.nn.Module:
    sizes = {f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in [("layers", 1), ("attention_heads", 4), ("ffn_dim", 96)]}
    backbone = {"use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None, "backbone_config": t.ResNetConfig(**RESNET)}
    return t.DetrForObjectDetection(t.DetrConfig(d_model=64, num_queries=8, **sizes, **backbone))


LANGUAGE: dict[str, tuple[Callable[[], torch.nn.Module], Callable[[], Inputs]]] = {
    "albert": (lambda: t.AlbertModel(t.AlbertConfig(embedding_size=32, **WORDS)), tokens),
    "bert": (lambda: t.BertModel(t.BertConfig(**WORDS)), masked),
    "clip_text": (lambda: t.CLIPTextModel(t.CLIPTextConfig(eos_token_id=99, **WORDS)), tokens),
    "clip_vision": (lambda: t.CLIPVisionModel(t.CLIPVisionConfig(**TILES)), picture),
    "deberta": (lambda: t.DebertaV2Model(t.DebertaV2Config(relative_attention=True, pos_att_type=["p2c", "c2p"], **WORDS)), tokens),
    "detr": (detr, lambda: {**picture(), "pixel_mask": torch.ones(1, 64, 64, dtype=torch.long)}),
    "dinov2": (lambda: t.Dinov2Model(t.Dinov2Config(image_size=56, patch_size=14, hidden_size=64, num_hidden_layers=2, num_attention_heads=4)), lambda: picture(56)),
    "distilbert": (lambda: t.DistilBertModel(t.DistilBertConfig(vocab_size=100, dim=64, n_layers=2, n_heads=4, hidden_dim=96)), masked),
    "electra": (lambda: t.ElectraModel(t.ElectraConfig(embedding_size=32, **WORDS)), tokens),
    "gpt2": (lambda: t.GPT2LMHeadModel(t.GPT2Config(vocab_size=100, n_embd=64, n_layer=2, n_head=4, use_cache=False)), tokens),
    "llama": (lambda: t.LlamaForCausalLM(t.LlamaConfig(num_key_value_heads=2, use_cache=False, **WORDS)), tokens),
    "mpnet": (lambda: t.MPNetModel(t.MPNetConfig(**WORDS)), tokens),
    "qwen3": (lambda: t.Qwen3ForCausalLM(t.Qwen3Config(num_key_value_heads=2, head_dim=16, use_cache=False, **WORDS)), tokens),
    "roberta": (lambda: t.RobertaModel(t.RobertaConfig(**WORDS)), tokens),
    "segformer": (lambda: t.SegformerForSemanticSegmentation(t.SegformerConfig(hidden_sizes=[16, 32, 48, 64], decoder_hidden_size=32, depths=[1, 1, 1, 1])), picture),
    "swin_v2": (lambda: t.Swinv2Model(t.Swinv2Config(image_size=64, patch_size=4, embed_dim=24, depths=[2, 2], num_heads=[2, 4], window_size=4)), picture),
    "vit": (lambda: t.ViTModel(t.ViTConfig(**TILES)), picture),
    "wav2vec2": (lambda: t.Wav2Vec2Model(t.Wav2Vec2Config(conv_dim=[32] * 3, conv_stride=[5, 2, 2], conv_kernel=[10, 3, 3], num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, **SMALL)), lambda: {"input_values": torch.randn(1, 4000)}),
    "whisper": (whisper_encoder, lambda: {"input_features": torch.randn(1, 20, 100)}),
}


class Recurrent(torch.nn.Module):
    """LSTM and GRU, both ways, in layers."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(8, 16, 2, batch_first=True, bidirectional=True)
        self.gru = torch.nn.GRU(32, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        states, (hidden, cell) = self.lstm(x)
        return self.gru(states)[0], hidden, cell


class Unet(torch.nn.Module):
    """A step down and up, and pictures of other sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(16, 3, 1)
        self.down = torch.nn.Sequential(torch.nn.Conv2d(8, 16, 3, stride=2, padding=1), torch.nn.GroupNorm(4, 16), torch.nn.SiLU())
        self.up = torch.nn.ConvTranspose2d(16, 8, 2, stride=2)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        first = torch.nn.functional.silu(self.first(x))
        found = self.last(torch.cat([first, self.up(self.down(first))], dim=1))
        return [torch.nn.functional.interpolate(found, scale_factor=1.5, mode=mode) for mode in ("nearest", "bilinear", "bicubic")]


# by their inputs, of which these axes are left open
OWN: dict[str, tuple[Callable[[], torch.nn.Module], torch.Tensor, tuple[int, ...]]] = {
    "recurrent": (Recurrent, torch.randn(2, 5, 8), (0, 1)),
    "unet": (Unet, torch.randn(1, 3, 16, 16), (0,)),
}


def vision(name: str) -> tuple[torch.nn.Module, Inputs]:
    of = torchvision.models.get_model_builder(name).__module__
    backbone = {"weights_backbone": None} if "segmentation" in of else {}
    size = VISION[name]
    return torchvision.models.get_model(name, weights=None, **backbone), {"x": torch.randn(1, 3, size, size)}


def folded(nodes: list[onnx.NodeProto], count: int, known: dict[bytes, onnx.FunctionProto], opsets: list[onnx.OperatorSetIdProto], outputs: set[str]) -> list[onnx.NodeProto]:
    """Each run of so many nodes as a call of a function, one for all runs that differ in names and one number alone."""
    calls = []
    for start in range(0, len(nodes), count):
        run, rest = nodes[start : start + count], nodes[start + count :]
        later = outputs.union(*(node.input for node in rest))
        made = [name for node in run for name in node.output if name]
        given = list(dict.fromkeys(name for node in run for name in node.input if name and name not in made))
        kept = [name for name in made if name in later]
        names = {name: f"v{i}" for i, name in enumerate([*given, *made])}
        body = [onnx.NodeProto.FromString(node.SerializeToString()) for node in run]
        attribute = None
        for node in body:
            node.name = ""
            node.input[:] = [names.get(name, "") for name in node.input]
            node.output[:] = [names.get(name, "") for name in node.output]
            node.ClearField("metadata_props")
            for own in node.attribute:
                if attribute is None and own.type in (onnx.AttributeProto.INT, onnx.AttributeProto.FLOAT):
                    attribute = onnx.AttributeProto.FromString(own.SerializeToString())
                    attribute.name = "number"
                    own.CopyFrom(onnx.AttributeProto(name=own.name, type=own.type, ref_attr_name="number"))
        inputs, results = [names[name] for name in given], [names[name] for name in kept]
        function = onnx.helper.make_function("own", "", inputs, results, body, opsets, ["number"] if attribute else [])
        function = known.setdefault(function.SerializeToString(), function)
        function.name = function.name or f"f{len(known)}"
        call = onnx.helper.make_node(function.name, given, kept, domain="own")
        call.attribute.extend([attribute] if attribute else [])
        calls.append(call)
    return calls


def into_functions(path: pathlib.Path) -> None:
    """Writes a model's nodes into functions that call functions."""
    model = onnx.load(path, load_external_data=False)
    own = onnx.helper.make_opsetid("own", 1)
    known: dict[bytes, onnx.FunctionProto] = {}
    nodes, outputs = list(model.graph.node), {info.name for info in model.graph.output}
    for count in (NODES, CALLS):
        nodes = folded(nodes, count, known, [*model.opset_import, own], outputs)
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    model.functions.extend(known.values())
    model.opset_import.append(own)
    onnx.save(model, path)


def exported(name: str, path: pathlib.Path) -> dict[str, np.ndarray]:
    """Writes a model; its inputs by the file's names."""
    torch.manual_seed(0)
    name, _, functions = name.partition("+")
    if name in VISION:
        model, inputs = vision(name)
        torch.onnx.export(model.eval(), tuple(inputs.values()), str(path), dynamo=True, verbose=False)
    elif name in OWN:
        module, x, axes = OWN[name]
        model, inputs = module(), {"x": x}
        open_axes = {axis: torch.export.Dim.DYNAMIC for axis in axes}
        torch.onnx.export(model.eval(), (x,), str(path), dynamo=True, verbose=False, dynamic_shapes=(open_axes,))
    else:
        make, given = LANGUAGE[name]
        model, inputs = make(), given()
        torch.onnx.export(model.eval(), kwargs=inputs, f=str(path), dynamo=True, verbose=False)
    if functions:
        into_functions(path)
    names = [info.name for info in session(path).get_inputs()]
    return dict(zip(names, (value.numpy() for value in inputs.values()), strict=True))


def made_up(path: pathlib.Path) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    types = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64}
    infos = session(path).get_inputs()
    dims = {info.name: [extent if isinstance(extent, int) else 1 for extent in info.shape] for info in infos}
    return {info.name: random.standard_normal(dims[info.name]).astype(types[info.type]) for info in infos}


def session(path: pathlib.Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def compared(gavel: pathlib.Path, path: pathlib.Path, inputs: dict[str, np.ndarray], scratch: pathlib.Path) -> str | float:
    """The largest difference over an output's largest value, or what is wrong."""
    reference = session(path)
    want = reference.run(None, inputs)
    np.savez(scratch / "in.npz", **inputs)
    command = [gavel, "run", path, scratch / "in.npz", "--output", scratch / "out.npz", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return f"refused: {done.stderr.strip().splitlines()[0]}"
    worst = 0.0
    with np.load(scratch / "out.npz") as found:
        for info, wanted in zip(reference.get_outputs(), want, strict=True):
            got = found[info.name]
            if got.shape != wanted.shape:
                return f"{info.name} is {list(got.shape)}, not {list(wanted.shape)}"
            if wanted.size:
                wanted = wanted.astype(np.float64)
                worst = max(worst, float(np.abs(got - wanted).max() / max(np.abs(wanted).max(), 1e-6)))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=[*VISION, *LANGUAGE, *OWN, *FUNCTIONS], help="names or ONNX files [default: all names]")
    parser.add_argument("--gavel", type=pathlib.Path, default=ROOT / "target" / "release" / "gavel")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        for name in options.models:
            path = pathlib.Path(name) if name.endswith(".onnx") else scratch / "model.onnx"
            inputs = made_up(path) if name.endswith(".onnx") else exported(name, path)
            found = compared(options.gavel, path, inputs, scratch)
            good = isinstance(found, float) and found <= TOLERANCE
            failed += not good
            print(f"{'ok' if good else 'FAILED'}: {name}: {found if isinstance(found, str) else f'{found:.1e}'}", flush=True)
    print(f"{len(options.models) - failed} of {len(options.models)} agree with onnxruntime")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
