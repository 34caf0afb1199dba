#!/usr/bin/env python3
"""Compares `gavel bench onnx` with onnxruntime's default CPU provider on the same files and inputs: speed and peak memory,
interleaved, as ratios; outputs are compared within a tolerance.

    cargo build --release && python3 bench/onnx_vs_onnxruntime.py
"""

import argparse
import json
import pathlib
import subprocess
import sys
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import environment
from environment import DEFAULT_WORK, HERE, ROOT

MODELS = ["resnet50", "mobilenetv2", "bert", "unet"]
# of the largest output: sums run in another order
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Run:
    """One process of one engine; times in milliseconds, the median over its runs."""

    run: float
    best: float
    cpu: float
    compute: float
    hashing: float
    peak_rss_bytes: int
    other_load: float


@dataclass(frozen=True)
class Spread:
    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        return cls(median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}..{self.high:.2f})"


def as_run(result: dict[str, Any], peak_rss_bytes: int, other_load: float) -> Run:
    return Run(
        run=median(result["run_ms"]),
        best=min(result["run_ms"]),
        cpu=min(result["cpu_ms"]),
        compute=median(result.get("compute_ms", result["run_ms"])),
        hashing=median(result.get("hashing_ms", [0.0])),
        peak_rss_bytes=peak_rss_bytes,
        other_load=other_load,
    )


def run_gavel(gavel: pathlib.Path, model: pathlib.Path, threads: int, runs: int, outputs: pathlib.Path) -> Run:
    sizes = ["--threads", str(threads), "--runs", str(runs)]
    files = ["--input", model.with_suffix(".npz"), "--output", outputs]
    finished = environment.run([gavel, "bench", "onnx", model, "--json", *sizes, *files])
    result = json.loads(finished.output)
    # the memory that it reads at last, to measure the machine, is not the engine's
    return as_run(result, result["peak_rss_bytes"] or finished.peak_rss_bytes, finished.other_load)


def run_onnxruntime(python: pathlib.Path, model: pathlib.Path, threads: int, runs: int, outputs: pathlib.Path) -> Run:
    files = {"model": str(model), "inputs": str(model.with_suffix(".npz")), "outputs": str(outputs)}
    task = files | {"threads": threads, "runs": runs}
    finished = environment.run([python, HERE / "onnx_runner.py", json.dumps(task)])
    result = json.loads(finished.output)
    # the interpreter around onnxruntime is not onnxruntime's
    return as_run(result, result["peak_rss_bytes"] - result["interpreter_bytes"], finished.other_load)


def distance(python: pathlib.Path, left: pathlib.Path, right: pathlib.Path) -> float:
    """Largest difference between the outputs in two archives, over the largest magnitude of that output."""
    code = (
        "import sys, numpy as np\n"
        "a, b = (np.load(path) for path in sys.argv[1:])\n"
        "assert set(a) == set(b), (set(a), set(b))\n"
        "print(max(float(np.abs(a[k] - b[k]).max() / np.abs(b[k]).max()) for k in a))"
    )
    done = subprocess.run([python, "-c", code, left, right], check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def compare(theirs: list[Run], ours: list[Run]) -> dict[str, Spread]:
    """Spreads over the rounds; throughput above 1: gavel is faster, memory above 1: it needs more."""
    pairs = list(zip(theirs, ours, strict=True))
    return {
        "throughput": Spread.of([a.run / b.run for a, b in pairs]),
        "best": Spread.of([a.best / b.best for a, b in pairs]),
        "cpu": Spread.of([a.cpu / b.cpu for a, b in pairs]),
        "uncommitted": Spread.of([a.run / b.compute for a, b in pairs]),
        "rss": Spread.of([b.peak_rss_bytes / a.peak_rss_bytes for a, b in pairs]),
    }


def table(rows: list[dict[str, Any]]) -> str:
    lines = [["model", "threads", "onnxruntime ms", "MB", "gavel ms", "MB", "throughput x", "best x", "CPU x"]]
    lines[0] += ["uncommitted x", "memory x", "hashing", "difference", "other load"]
    for row in rows:
        theirs, ours, ratios = row["onnxruntime"], row["gavel"], row["ratios"]
        cells = [row["model"], str(row["threads"])]
        for runs in (theirs, ours):
            cells += [f"{median(r.run for r in runs):.1f}", f"{median(r.peak_rss_bytes for r in runs) / 1e6:.0f}"]
        cells += [str(ratios[name]) for name in ("throughput", "best", "cpu", "uncommitted")]
        cells += [f"{ratios['rss'].median:.2f}", f"{100 * median(r.hashing / r.run for r in ours):.1f} %"]
        cells += [f"{row['difference']:.0e}", f"{max(r.other_load for r in theirs + ours):.2f}"]
        lines.append(cells)
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS, help=" ".join(MODELS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=20, help="runs of a process")
    parser.add_argument("--gavel", type=pathlib.Path, default=ROOT / "target" / "release" / "gavel")
    parser.add_argument("--work-dir", type=pathlib.Path, default=DEFAULT_WORK, help="files and environment")
    parser.add_argument("--venv", type=pathlib.Path, help="an environment with onnx_requirements.txt [WORK_DIR/onnx-venv]")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=pathlib.Path, help="every run, as JSON")
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    requirements = HERE / "onnx_requirements.txt"
    python = environment.ensure_venv(options.venv or options.work_dir / "onnx-venv", requirements)
    files = options.work_dir / "onnx"
    command = [python, HERE / "onnx_models.py", *options.models, "--seed", str(options.seed), "--out", files]
    subprocess.run(command, check=True)
    ours_out, theirs_out = files / "gavel.npz", files / "onnxruntime.npz"
    rows: list[dict[str, Any]] = []
    for name in options.models:
        model = files / f"{name}-{options.seed}.onnx"
        for threads in options.threads:
            theirs: list[Run] = []
            ours: list[Run] = []
            for turn in range(options.rounds):
                engines = [
                    lambda: theirs.append(run_onnxruntime(python, model, threads, options.runs, theirs_out)),
                    lambda: ours.append(run_gavel(options.gavel, model, threads, options.runs, ours_out)),
                ]
                # in turns AB, BA, AB...: a machine that slows down steadily favours neither
                for engine in engines if turn % 2 == 0 else reversed(engines):
                    engine()
            difference = distance(python, ours_out, theirs_out)
            row = {"model": name, "threads": threads, "onnxruntime": theirs, "gavel": ours}
            rows.append(row | {"ratios": compare(theirs, ours), "difference": difference})
            print(table(rows[-1:]), flush=True)
    machine = environment.machine()
    print(f"\n{options.rounds} rounds of {options.runs} runs on {machine}")
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "rows": rows}, default=asdict, indent=1) + "\n")
    if any(row["difference"] > TOLERANCE for row in rows):
        sys.exit("outputs differ by more than the order of sums explains")


if __name__ == "__main__":
    main()
