#!/usr/bin/env python3
"""Runs the node tests of the ONNX backend suite (as the PyPI package `onnx` generates them) with `gavel run`.

    cargo build --release && python3 conformance/onnx_backend.py

A test passes where every output has the expected type, shape and, within the suite's own tolerances, values. It is
*unsupported* where gavel refuses the model with a reason, and *wrong* where it answers something else: that is never
right. Exits 1 on a wrong answer, a crash, or fewer passes than `--at-least`.
"""

import argparse
import collections
import concurrent.futures
import fnmatch
import json
import pathlib
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx.backend.test.case.node import collect_testcases

import operators

ROOT = pathlib.Path(__file__).resolve().parent.parent
# gavel's exit status for what it refuses
REFUSED = 1
# tests that expect the rounding errors of their own transform, 1.9e-7 where the answer is 0: the answer in binary64 instead
INVERSE_TRANSFORMS = {"test_dft_inverse", "test_dft_inverse_opset19"}


def inverse_transform(inputs: list[np.ndarray]) -> np.ndarray:
    signal = inputs[0].astype(np.float64)
    found = np.fft.ifft(signal[..., 0] + 1j * signal[..., 1], axis=1)
    return np.stack([found.real, found.imag], axis=-1).astype(np.float32)


@dataclass(frozen=True)
class Case:
    name: str
    model: onnx.ModelProto
    inputs: list[np.ndarray]
    outputs: list[np.ndarray]
    rtol: float
    atol: float

    @property
    def operators(self) -> set[str]:
        return {node.op_type for node in self.model.graph.node}


@dataclass(frozen=True)
class Result:
    name: str
    status: str  # passed, unsupported, wrong, crashed
    reason: str
    operators: list[str]
    types: list[str]  # of the inputs
    becomes: list[str]  # operators of gavel's table


# NumPy has no name for it; a file holds its two bytes
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def plain(value: Any) -> np.ndarray | None:
    """A tensor of numbers or bools, the suite's scalars among them."""
    if not isinstance(value, (np.ndarray, np.generic)):
        return None
    array = np.asarray(value)
    return array if array.dtype.kind in "fiub" or array.dtype == BFLOAT16 else None


def cases(pattern: str) -> list[Case]:
    """Tests whose inputs and outputs are plain tensors."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # overflows that the suite means
        generated = collect_testcases(None)
    for case in generated:
        if case.model is None or not fnmatch.fnmatch(case.name, pattern):
            continue
        inputs, outputs = ([plain(value) for value in values] for values in case.data_sets[0])
        if all(array is not None for array in [*inputs, *outputs]):
            if case.name in INVERSE_TRANSFORMS:
                outputs = [inverse_transform(inputs)]
            found.append(Case(case.name, case.model, inputs, outputs, case.rtol, case.atol))
    return found


def difference(case: Case, found: dict[str, np.ndarray]) -> str | None:
    """What is wrong with the outputs found, if anything is."""
    for info, want in zip(case.model.graph.output, case.outputs, strict=False):
        if info.name not in found:
            return f"output {info.name} is missing"
        got = found[info.name]
        if want.dtype == BFLOAT16 and got.dtype.kind == "V":
            got = got.view(BFLOAT16)
        if got.dtype != want.dtype or got.shape != want.shape:
            return f"output {info.name} is {got.dtype}{list(got.shape)}, not {want.dtype}{list(want.shape)}"
        if want.dtype == BFLOAT16:
            got, want = got.astype(np.float32), want.astype(np.float32)
        if not np.allclose(got, want, rtol=case.rtol, atol=case.atol, equal_nan=True):
            return f"output {info.name} has other values"
    return None


def run(gavel: pathlib.Path, case: Case) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        model, inputs, outputs = (scratch / name for name in ("model.onnx", "in.npz", "out.npz"))
        onnx.save(case.model, model)
        names = [info.name for info in case.model.graph.input]
        np.savez(inputs, **dict(zip(names, case.inputs, strict=False)))
        command = [gavel, "run", model, inputs, "--output", outputs, "--json"]
        done = subprocess.run(command, capture_output=True, text=True)
        becomes = []
        if done.returncode == 0:
            becomes = sorted(json.loads(done.stdout)["operators"])
            with np.load(outputs) as arrays:
                reason = difference(case, dict(arrays))
            status = "wrong" if reason else "passed"
        else:
            status = "unsupported" if done.returncode == REFUSED and "panicked" not in done.stderr else "crashed"
            reason = done.stderr.strip()
    types = sorted({array.dtype.name for array in case.inputs})
    return Result(case.name, status, reason or "", sorted(case.operators), types, becomes)


def show(results: list[Result], verbose: bool) -> None:
    for result in results:
        if result.status in ("wrong", "crashed") or verbose and result.status == "unsupported":
            print(f"{result.status}: {result.name}: {result.reason.splitlines()[0] if result.reason else ''}")
    missing = collections.Counter(
        "+".join(result.operators) for result in results if result.status == "unsupported"
    )
    if missing:
        print("most wanted: " + ", ".join(f"{name} {count}" for name, count in missing.most_common(20)))
    counts = collections.Counter(result.status for result in results)
    print(", ".join(f"{counts[status]} {status}" for status in ("passed", "unsupported", "wrong", "crashed")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gavel", type=pathlib.Path, default=ROOT / "target" / "release" / "gavel")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="names of tests, such as 'test_conv*'")
    parser.add_argument("--at-least", type=int, default=0, metavar="N", help="passes that are expected")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=pathlib.Path, help="every result, as JSON")
    parser.add_argument("--table", type=pathlib.Path, help="the table of operators; written with --write, else compared")
    parser.add_argument("--write", action="store_true", help="write the table")
    parser.add_argument("--verbose", action="store_true", help="the reason of every refusal")
    options = parser.parse_args()
    found = cases(options.only)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(lambda case: run(options.gavel, case), found))
    show(results, options.verbose)
    if options.json:
        options.json.write_text(json.dumps([vars(result) for result in results], indent=1) + "\n")
    if options.table:
        listed = subprocess.run([options.gavel, "model", "operators", "--json"], capture_output=True, check=True)
        text = operators.table(results, json.loads(listed.stdout)["onnx"])
        if options.write:
            options.table.write_text(text)
        elif options.table.read_text() != text:
            sys.exit(f"{options.table} is not what the tests say: run this with --write")
    passed = sum(result.status == "passed" for result in results)
    if any(result.status in ("wrong", "crashed") for result in results):
        sys.exit("an answer is wrong, or gavel crashed")
    if passed < options.at_least:
        sys.exit(f"{passed} pass, at least {options.at_least} were expected")


if __name__ == "__main__":
    main()
