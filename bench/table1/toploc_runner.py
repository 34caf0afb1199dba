"""TOPLOC over the project's language model in its own process: a JSON task as the argument, a JSON answer at last.

{"model": GGUF file, "tokens": n, "runs": n}: CPU seconds, on one thread, of the prefill that gives the last hidden states (torch,
float32, which is faster here than bfloat16), of the proof over them in bfloat16, and of its verification; the latter needs a prefill of the verifier's own
besides. 128 values of 32 tokens a proof, as in the paper.
"""

import json
import pathlib
import sys
import time

import torch
from toploc import build_proofs_bytes, verify_proofs_bytes
from transformers import AutoModelForCausalLM

BATCH, TOP = 32, 128
# what the paper accepts
EXPONENTS, MEAN, MEDIAN = 38, 10, 8


def accepted(results) -> bool:
    return all(
        r.exp_mismatches <= EXPONENTS and r.mant_err_mean <= MEAN and r.mant_err_median <= MEDIAN for r in results
    )


def least(runs: int, work):
    """The least CPU seconds of `runs` runs, and the last result."""
    times = []
    for _ in range(runs):
        started = time.process_time()
        result = work()
        times.append(time.process_time() - started)
    return min(times), result


def main() -> None:
    task = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    torch.manual_seed(1)
    path = pathlib.Path(task["model"])
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    tokens = torch.randint(0, model.config.vocab_size, (1, task["tokens"]))
    with torch.no_grad():
        prefill, states = least(task["runs"], lambda: model.model(tokens).last_hidden_state[0])
    states = states.to(torch.bfloat16)
    decoded = split(states)
    build, proofs = least(task["runs"], lambda: build_proofs_bytes(decoded, BATCH, TOP))
    check, found = least(task["runs"], lambda: verify_proofs_bytes(decoded, proofs, BATCH, TOP))
    if not accepted(found):
        sys.exit("an honest proof was rejected")
    # what it does not see: everything below the largest values, zeroed
    kept = largest_only(states)
    blind = accepted(verify_proofs_bytes(split(kept), proofs, BATCH, TOP))
    answer = {
        "prefill_seconds": prefill,
        "build_seconds": build,
        "check_seconds": check,
        "proof_bytes": sum(map(len, proofs)),
        "parameters": sum(p.numel() for p in model.parameters()),
        "zeroed_accepted": blind,
        "zeroed_share": float((kept == 0).float().mean()),
    }
    print("\n" + json.dumps(answer))


def split(states: torch.Tensor) -> list[torch.Tensor]:
    """As the package takes them: the prompt (of one token) at once, then a state at a time."""
    return list(states.split(1))


def largest_only(states: torch.Tensor) -> torch.Tensor:
    """Zero but for the values that a proof is made of: the largest of the prompt, and of every batch of tokens after it."""
    parts = [states[:1], *states[1:].split(BATCH)]
    for place, part in enumerate(parts):
        bound = part.abs().flatten().topk(TOP).values[-1]
        parts[place] = torch.where(part.abs() >= bound, part, torch.zeros_like(part))
    return torch.cat(parts)


if __name__ == "__main__":
    main()
