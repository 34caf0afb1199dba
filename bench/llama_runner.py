"""One run of llama.cpp in its own process: a JSON task as the argument, a JSON answer on standard output.

Tasks, all with "model" (path) and "threads":
- {"task": "bench", "prompt": n, "decode": n, "context": n}: speed with llama.cpp's defaults (memory map, repacking,
  flash attention where it supports it, f16 cache), without loading and after a warm-up.
- {"task": "logits", "tokens": [..], "out": path}: f32 logits of every position, little-endian [n, vocabulary].
- {"task": "greedy", "tokens": [..], "count": n}: the tokens that follow.
The last two use llama.cpp's most precise settings (f32 cache, no flash attention) to be compared with, not timed.
"""

import ctypes
import json
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import llama_cpp.llama_cpp as llama
import numpy as np

FLASH_ATTENTION_OFF = 0
GGML_TYPE_F32 = 0


@llama.llama_log_callback
def _log(level: int, text: bytes, _: ctypes.c_void_p) -> None:
    if level == 4:  # GGML_LOG_LEVEL_ERROR
        sys.stderr.write(text.decode(errors="replace"))


def _resident_bytes() -> int:
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


class Session:
    """A model and its context."""

    def __init__(self, task: dict[str, Any], context: int, precise: bool) -> None:
        self.model = llama.llama_model_load_from_file(task["model"].encode(), llama.llama_model_default_params())
        if not self.model:
            raise SystemExit(f"llama.cpp cannot load {task['model']}")
        params = llama.llama_context_default_params()
        params.n_ctx = context
        params.n_threads = params.n_threads_batch = task["threads"]
        params.no_perf = True
        if precise:
            params.n_batch = params.n_ubatch = context
            params.flash_attn_type = FLASH_ATTENTION_OFF
            params.type_k = params.type_v = GGML_TYPE_F32
        self.context = llama.llama_init_from_model(self.model, params)
        if not self.context:
            raise SystemExit(f"llama.cpp cannot make a context of {context} tokens")
        self.vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self.model))

    def clear(self) -> None:
        llama.llama_memory_clear(llama.llama_get_memory(self.context), True)

    def decode(self, tokens: Sequence[int]) -> np.ndarray:
        """Appends `tokens`; the logits of the last, valid until the next call."""
        array = (llama.llama_token * len(tokens))(*tokens)
        self._decode(llama.llama_batch_get_one(array, len(tokens)))
        return self._logits(-1)

    def decode_all(self, tokens: Sequence[int]) -> np.ndarray:
        """Appends `tokens`; the logits of each, [n, vocabulary]."""
        batch = llama.llama_batch_init(len(tokens), 0, 1)
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.logits[i] = token, i, 1
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
        self._decode(batch)
        logits = np.stack([self._logits(i) for i in range(len(tokens))])
        llama.llama_batch_free(batch)
        return logits

    def _decode(self, batch: llama.llama_batch) -> None:
        if (code := llama.llama_decode(self.context, batch)) != 0:
            raise SystemExit(f"llama_decode failed with {code}")
        llama.llama_synchronize(self.context)

    def _logits(self, index: int) -> np.ndarray:
        pointer = llama.llama_get_logits_ith(self.context, index)
        return np.ctypeslib.as_array(pointer, shape=(self.vocabulary,))


def _timed(count: int, prefix: str, work: Callable[[], object]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {f"{prefix}_tokens_per_second": count / wall, f"{prefix}_cpu_seconds": cpu}


def bench(task: dict[str, Any]) -> dict[str, Any]:
    interpreter = _resident_bytes()
    session = Session(task, task["context"], precise=False)
    tokens = np.random.default_rng(1).integers(3, session.vocabulary, task["prompt"] + task["decode"]).tolist()
    prompt, rest = tokens[: task["prompt"]], tokens[task["prompt"] :]
    # reads every page of the file and starts the threads
    session.decode(prompt[:32])
    session.decode(rest[:1])
    session.clear()

    def decode() -> None:
        for token in rest:
            session.decode([token])

    answer: dict[str, Any] = _timed(len(prompt), "prefill", lambda: session.decode(prompt))
    answer |= _timed(len(rest), "decode", decode)
    answer["interpreter_bytes"] = interpreter
    answer["system"] = llama.llama_print_system_info().decode().strip()
    return answer


def logits(task: dict[str, Any]) -> dict[str, Any]:
    session = Session(task, max(256, len(task["tokens"])), precise=True)
    session.decode_all(task["tokens"]).astype("<f4").tofile(task["out"])
    return {"vocabulary": session.vocabulary}


def greedy(task: dict[str, Any]) -> dict[str, Any]:
    session = Session(task, max(256, len(task["tokens"]) + task["count"]), precise=True)
    following: list[int] = []
    row = session.decode(task["tokens"])
    while len(following) < task["count"]:
        following.append(int(row.argmax()))
        row = session.decode(following[-1:])
    return {"tokens": following}


def main() -> None:
    task = json.loads(sys.argv[1])
    llama.llama_log_set(_log, ctypes.c_void_p(0))
    llama.llama_backend_init()
    print(json.dumps({"bench": bench, "logits": logits, "greedy": greedy}[task["task"]](task)))


if __name__ == "__main__":
    main()
