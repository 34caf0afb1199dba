"""The measuring half of logits_vs_llamacpp.py, which needs numpy: a JSON task as the argument, a JSON report on
standard output."""

import json
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
from gguf import GGUFReader
from numpy.typing import NDArray

import environment

Logits = NDArray[np.float32]


class Engines:
    """Both engines' logits of every position of a token sequence, as [n, vocabulary]."""

    def __init__(self, gavel: str, threads: int, scratch: pathlib.Path) -> None:
        self._gavel = gavel
        self._threads = threads
        self._tokens = scratch / "tokens.json"
        self._logits = scratch / "logits.f32"

    def gavel(self, model: str, tokens: list[int]) -> Logits:
        self._tokens.write_text(json.dumps(tokens))
        command = [self._gavel, "generate", model, "--prompt-tokens", str(self._tokens), "--logits", str(self._logits)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return self._read(len(tokens))

    def llama(self, model: str, tokens: list[int]) -> Logits:
        self._ask_llama("logits", model, tokens, out=self._logits)
        return self._read(len(tokens))

    def llama_greedy(self, model: str, tokens: list[int], count: int) -> list[int]:
        return self._ask_llama("greedy", model, tokens, count=count)["tokens"]

    def _ask_llama(self, task: str, model: str, tokens: list[int], **more: Any) -> dict[str, Any]:
        common = {"task": task, "model": model, "threads": self._threads, "tokens": tokens}
        return environment.run_llama(pathlib.Path(sys.executable), common | more)[0]

    def _read(self, positions: int) -> Logits:
        values = np.fromfile(self._logits, dtype="<f4").astype(np.float32)
        self._logits.unlink()
        if values.size == 0 or values.size % positions:
            raise SystemExit(f"{values.size} logits are not a whole number for each of {positions} positions")
        return values.reshape(positions, -1)


def distance(a: Logits, b: Logits) -> dict[str, float]:
    if a.shape != b.shape:
        raise SystemExit(f"logits of shape {a.shape} and {b.shape} cannot be compared")
    difference = a.astype(np.float64) - b
    return {
        "rms": float(np.sqrt(np.mean(difference**2))),
        "max": float(np.abs(difference).max()),
        "argmax": float(np.mean(a.argmax(axis=1) == b.argmax(axis=1))),
        "std": float(b.std()),
    }


def greedy_agreement(engines: Engines, model: str, prompt: list[int], count: int) -> int:
    """How many tokens of llama.cpp's greedy text gavel would choose too, up to the first that it would not: gavel's
    logits do not depend on how the tokens are fed, so one pass over llama.cpp's text answers it."""
    text = engines.llama_greedy(model, prompt, count)
    chosen = engines.gavel(model, prompt + text)[len(prompt) - 1 : -1].argmax(axis=1)
    unlike = np.nonzero(chosen != np.array(text))[0]
    return int(unlike[0]) if len(unlike) else count


def weights_are_floats(model: str) -> bool:
    return all(tensor.tensor_type.name in ("F32", "F16") for tensor in GGUFReader(model).tensors)


def main() -> None:
    task = json.loads(sys.argv[1])
    with tempfile.TemporaryDirectory() as scratch:
        engines = Engines(task["gavel"], task["threads"], pathlib.Path(scratch))
        q8, f16 = task["yardstick"]
        vocabulary = next(t.shape[1] for t in GGUFReader(f16).tensors if t.name == "token_embd.weight")
        prompt = np.random.default_rng(task["seed"]).integers(3, int(vocabulary) - 3, task["prompt"]).tolist()
        yardstick = distance(engines.llama(q8, prompt), engines.llama(f16, prompt))
        rows: list[dict[str, Any]] = []
        for name, model in task["files"].items():
            row: dict[str, Any] = {"file": name, "greedy": None, "gavel_exact": None, "llama_exact": None}
            gavel, llama = engines.gavel(model, prompt), engines.llama(model, prompt)
            row |= distance(gavel, llama)
            if name in task["exact"]:
                exact = engines.llama(task["exact"][name], prompt)
                row["gavel_exact"] = distance(gavel, exact)["rms"]
                row["llama_exact"] = distance(llama, exact)["rms"]
            if weights_are_floats(model):
                row["greedy"] = greedy_agreement(engines, model, prompt, task["greedy"])
            rows.append(row)
    print(json.dumps({"yardstick": yardstick, "rows": rows}))


if __name__ == "__main__":
    main()
