"""What is measured: every system in processes of its own, on the same files. Times are CPU seconds of all threads, which other load disturbs
less than the clock."""

import json
import pathlib
import subprocess
import sys
from statistics import median
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import environment  # noqa: E402
import gas  # noqa: E402

STAGES = ["settle", "srs", "setup", "witness", "prove", "verify", "solidity"]
# of a row of the circuit, in the prover: about 10 KiB, with large tables of few rows (digits-mlp) 33
PROVER_BYTES_PER_ROW = 22 * 1024
RUNS_OF_LANGUAGE = 15
TRACED = ["prefill_cpu_seconds", "prefill_hashing_share", "decode_cpu_seconds", "decode_hashing_share"]
SNAPSHOTS = gas.CONTRACTS / "snapshots"


def last_line(finished: environment.Finished) -> dict[str, Any]:
    """Behind what a library prints of itself."""
    return json.loads(finished.output.strip().splitlines()[-1])


def available_bytes() -> int:
    lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))


def ezkl(python: pathlib.Path, network: pathlib.Path, directory: pathlib.Path) -> dict[str, Any]:
    """Every stage from the file to the proof on chain; or why not."""
    directory.mkdir(parents=True, exist_ok=True)
    row: dict[str, Any] = {"other_load": 0.0}
    for stage in STAGES:
        print(f"  ezkl {stage} ...", file=sys.stderr, flush=True)
        task = {"stage": stage, "directory": str(directory), "network": str(network)}
        finished = environment.run([python, HERE / "ezkl_stage.py", json.dumps(task)])
        answer = last_line(finished)
        row[stage] = answer | {"peak_bytes": finished.peak_rss_bytes}
        row["other_load"] = max(row["other_load"], finished.other_load)
        if stage == "settle":
            needed, there = PROVER_BYTES_PER_ROW << answer["logrows"], available_bytes()
            if needed > there:
                return {"logrows": answer["logrows"], "skipped": f"may need {needed / 2**30:.0f} GiB, {there / 2**30:.0f} are free"}
    found = gas.measure(directory / "solidity", directory / "proof")
    row["gas"] = vars(found) if found else None
    (directory / "pk").unlink()  # gigabytes
    return row


def onnxruntime(python: pathlib.Path, network: pathlib.Path, runs: int) -> dict[str, Any]:
    files = {"model": str(network), "inputs": str(network.with_suffix(".npz")), "outputs": str(network.with_suffix(".out.npz"))}
    finished = environment.run([python, HERE.parent / "onnx_runner.py", json.dumps(files | {"threads": 1, "runs": runs})])
    answer = last_line(finished)
    memory = answer["peak_rss_bytes"] - answer["interpreter_bytes"]
    return {"cpu_ms": median(answer["cpu_ms"]), "peak_bytes": memory, "other_load": finished.other_load}


def gavel_network(gavel: pathlib.Path, network: pathlib.Path, runs: int) -> dict[str, Any]:
    command = [gavel, "bench", "onnx", network, "--json", "--threads", "1", "--runs", str(runs)]
    finished = environment.run([*command, "--input", network.with_suffix(".npz")])
    answer = json.loads(finished.output)
    return {
        "cpu_ms": median(answer["cpu_ms"]),
        "hashing_share": sum(answer["hashing_ms"]) / sum(answer["run_ms"]),
        "peak_bytes": answer["peak_rss_bytes"] or finished.peak_rss_bytes,
        "other_load": finished.other_load,
    }


def toploc(python: pathlib.Path, model: pathlib.Path, tokens: int) -> dict[str, Any]:
    task = {"model": str(model), "tokens": tokens, "runs": RUNS_OF_LANGUAGE}
    finished = environment.run([python, HERE / "toploc_runner.py", json.dumps(task)])
    return last_line(finished) | {"peak_bytes": finished.peak_rss_bytes, "other_load": finished.other_load}


def gavel_language(gavel: pathlib.Path, model: pathlib.Path, tokens: int) -> dict[str, Any]:
    """Of a prefill of milliseconds one run says little: the median of as many as TOPLOC's."""
    command = [gavel, "bench", "llm", model, "--json", "--threads", "1", "--prompt", str(tokens), "--decode", str(tokens), "--verify"]
    finished = [environment.run(command) for _ in range(RUNS_OF_LANGUAGE)]
    answers = [json.loads(run.output) for run in finished]
    traced = {name: median([answer["traced"][name] for answer in answers]) for name in TRACED}
    return {
        "prefill_seconds": traced["prefill_cpu_seconds"],
        "prefill_hashing_share": traced["prefill_hashing_share"],
        "decode_seconds": traced["decode_cpu_seconds"],
        "decode_hashing_share": traced["decode_hashing_share"],
        "verify_ratio": median([answer["verify"]["verify_cpu_seconds"] / answer["verify"]["generate_cpu_seconds"] for answer in answers]),
        "peak_bytes": max(answer["peak_rss_bytes"] or run.peak_rss_bytes for answer, run in zip(answers, finished)),
        "other_load": max(run.other_load for run in finished),
    }


def gavel_gas() -> dict[str, int]:
    """From the gas snapshots that the contracts' tests hold to the unit."""
    market, court, appeal = (json.loads((SNAPSHOTS / f"{name}.json").read_text()) for name in ("market", "court", "appeal"))
    one_move = ("commit_challenge", "reveal_challenge", "isolate_direct", "draw_referee", "rule", "finalize_guilty")
    return {
        "life": int(market["next_post_claim_commit_settle"]),
        "commit": int(market["next_commit"]),
        "one_move_dispute": sum(int(court[name]) for name in one_move),
        "appeal": int(appeal["whole"]),
        "step": int(appeal["step_two_operands"]),
    }


def make_networks(python: pathlib.Path, names: list[str], out: pathlib.Path) -> dict[str, int]:
    command = [python, HERE / "networks.py", *names, "--out", out]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def ensure_toploc(venv: pathlib.Path) -> pathlib.Path:
    """An environment with TOPLOC compiled against the torch in it: the wheel on PyPI is for an older one."""
    python = environment.ensure_venv(venv, HERE / "requirements-toploc.txt")
    if subprocess.run([python, "-c", "import toploc"], stderr=subprocess.DEVNULL).returncode:
        print("compiling toploc (some minutes)", file=sys.stderr)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*install, "--no-build-isolation", "--no-binary", "toploc", "toploc==0.1.6"], check=True)
    return python
