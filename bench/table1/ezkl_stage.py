"""One stage of EZKL in its own process, so that its memory is its own: a JSON task as the argument, a JSON answer at last.

{"stage": "settle" | "srs" | "setup" | "witness" | "prove" | "verify" | "solidity", "directory": path, "network": path of
the ONNX file}: CPU seconds of the stage alone (all threads), and what the stage found out. Settings are EZKL's defaults with public input and
output and fixed weights, calibrated for the least resources, as its documentation does it.
"""

import asyncio
import json
import os
import pathlib
import sys
import time

import ezkl

task = json.loads(sys.argv[1])
directory = pathlib.Path(task["directory"])
network = task["network"]
data = network.removesuffix(".onnx") + ".json"
paths = {name: str(directory / name) for name in ("settings", "circuit", "srs", "vk", "pk", "witness", "proof", "solidity", "abi")}


def settle() -> None:
    arguments = ezkl.PyRunArgs()
    arguments.input_visibility, arguments.output_visibility, arguments.param_visibility = "public", "public", "fixed"
    ezkl.gen_settings(network, paths["settings"], py_run_args=arguments)
    ezkl.calibrate_settings(data, network, paths["settings"], "resources")
    ezkl.compile_circuit(network, paths["circuit"], paths["settings"])


def rows() -> int:
    """Base 2 logarithm of the circuit's rows."""
    return json.loads(pathlib.Path(paths["settings"]).read_text())["run_args"]["logrows"]


def solidity() -> None:
    """Writes the verifier contract; what comes after (EZKL fetches a compiler) is done elsewhere."""

    async def write() -> None:
        await ezkl.create_evm_verifier(paths["vk"], paths["settings"], paths["solidity"], paths["abi"], paths["srs"])

    try:
        asyncio.run(write())
    except RuntimeError:
        if not pathlib.Path(paths["solidity"]).exists():
            raise


def verify() -> None:
    if not ezkl.verify(paths["proof"], paths["settings"], paths["vk"], paths["srs"]):
        sys.exit("the proof does not verify")


def error() -> float:
    """Largest difference between the circuit's outputs and onnxruntime's, over the largest output."""
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    exact = session.run(None, dict(np.load(network.removesuffix(".onnx") + ".npz")))[0].flatten()
    shown = json.loads(pathlib.Path(paths["proof"]).read_text())["pretty_public_inputs"]["rescaled_outputs"][0]
    return float(np.abs(np.array(shown, dtype=np.float64) - exact).max() / np.abs(exact).max())


stages = {
    "settle": settle,
    "srs": lambda: ezkl.gen_srs(paths["srs"], rows()),
    "setup": lambda: ezkl.setup(paths["circuit"], paths["vk"], paths["pk"], paths["srs"]),
    "witness": lambda: ezkl.gen_witness(data, paths["circuit"], paths["witness"]),
    "prove": lambda: ezkl.prove(paths["witness"], paths["circuit"], paths["pk"], paths["proof"], paths["srs"]),
    "verify": verify,
    "solidity": solidity,
}

started, wall = time.process_time(), time.monotonic()
stages[task["stage"]]()
answer = {"cpu_seconds": time.process_time() - started, "wall_seconds": time.monotonic() - wall}
if task["stage"] == "settle":
    answer["logrows"] = rows()
if task["stage"] == "setup":
    answer["key_bytes"] = pathlib.Path(paths["pk"]).stat().st_size
if task["stage"] == "prove":
    answer["proof_bytes"] = len(bytes.fromhex(json.loads(pathlib.Path(paths["proof"]).read_text())["hex_proof"][2:]))
    answer["error"] = error()
print("\n" + json.dumps(answer), flush=True)
# its runtime's threads at times outlive the interpreter, which then aborts after all is done
os._exit(0)
