#!/usr/bin/env python3
"""Compares `gavel bench llm` with llama.cpp on the same files: speed and peak memory, interleaved, as ratios.

    cargo build --release && python3 bench/llm_vs_llamacpp.py

Needs a C++ compiler (llama.cpp is built from PyPI for this machine), Linux, some GB of disk and a machine that does
nothing else: the last column says how far that was so.
"""

import argparse
import json
import pathlib
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import environment
from environment import DEFAULT_WORK, ROOT

CONTEXT = 1024


@dataclass(frozen=True)
class Run:
    """One run of one engine; rates in tokens per second. CPU seconds count all threads, where the engine gives them."""

    prefill: float
    decode: float
    peak_rss_bytes: int
    other_load: float
    prefill_cpu_seconds: float | None = None
    decode_cpu_seconds: float | None = None
    details: dict[str, Any] | None = None


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


def find_result(value: Any) -> dict[str, Any] | None:
    """The first object in `value` that carries both rates."""
    if isinstance(value, dict):
        if {"prefill_tokens_per_second", "decode_tokens_per_second"} <= value.keys():
            return value
        value = list(value.values())
    if isinstance(value, list):
        return next((found for inner in value if (found := find_result(inner))), None)
    return None


def parse_gavel(output: str) -> dict[str, Any]:
    """The result in what `gavel bench llm --json` wrote: one JSON document, or the last line that holds one."""
    for text in [output, *reversed(output.splitlines())]:
        try:
            found = find_result(json.loads(text))
        except json.JSONDecodeError:
            continue
        if found:
            return found
    raise SystemExit(f"no prefill_tokens_per_second and decode_tokens_per_second in gavel's output:\n{output}")


def as_run(result: dict[str, Any], peak_rss_bytes: int, other_load: float) -> Run:
    return Run(
        prefill=float(result["prefill_tokens_per_second"]),
        decode=float(result["decode_tokens_per_second"]),
        peak_rss_bytes=peak_rss_bytes,
        other_load=other_load,
        prefill_cpu_seconds=result.get("prefill_cpu_seconds"),
        decode_cpu_seconds=result.get("decode_cpu_seconds"),
        details=result,
    )


def run_gavel(gavel: pathlib.Path, model: pathlib.Path, threads: int, prompt: int, decode: int) -> Run:
    sizes = ["--threads", str(threads), "--prompt", str(prompt), "--decode", str(decode)]
    finished = environment.run([gavel, "bench", "llm", model, "--json", *sizes])
    result = parse_gavel(finished.output)
    # the memory that it reads at last, to measure the machine, is not the engine's: it looks at its peak before that
    return as_run(result, result.get("peak_rss_bytes") or finished.peak_rss_bytes, finished.other_load)


def run_llama(python: pathlib.Path, model: pathlib.Path, threads: int, prompt: int, decode: int) -> Run:
    task = {"task": "bench", "model": model, "threads": threads, "prompt": prompt, "decode": decode}
    result, finished = environment.run_llama(python, task | {"context": max(CONTEXT, prompt + decode)})
    # the interpreter around llama.cpp is not llama.cpp's
    return as_run(result, finished.peak_rss_bytes - result["interpreter_bytes"], finished.other_load)


def compare(llama: list[Run], gavel: list[Run]) -> dict[str, Spread]:
    """Spreads over the rounds, gavel over llama.cpp: above 1, gavel is faster, or needs more memory."""
    pairs = list(zip(gavel, llama, strict=True))
    ratios = {
        "prefill": Spread.of([a.prefill / b.prefill for a, b in pairs]),
        "decode": Spread.of([a.decode / b.decode for a, b in pairs]),
        "rss": Spread.of([a.peak_rss_bytes / b.peak_rss_bytes for a, b in pairs]),
    }
    for name in ("prefill_cpu_seconds", "decode_cpu_seconds"):
        if all(getattr(run, name) for pair in pairs for run in pair):
            key = name.removesuffix("_seconds")
            ratios[key] = Spread.of([getattr(b, name) / getattr(a, name) for a, b in pairs])
    return ratios


def table(rows: list[dict[str, Any]]) -> str:
    """Columns: rates and memory of llama.cpp (medians), then the ratios of gavel to it, median (lowest..highest)."""
    head = ["format", "threads", "llama.cpp prefill", "decode", "MB"]
    head += ["gavel prefill x", "decode x", "memory x", "prefill CPU x", "decode CPU x", "other load"]
    lines = [head]
    for row in rows:
        llama: list[Run] = row["llama"]
        rates = [f"{median(run.prefill for run in llama):.1f}", f"{median(run.decode for run in llama):.1f}"]
        memory = f"{median(run.peak_rss_bytes for run in llama) / 1e6:.0f}"
        ratios = [str(row["ratios"].get(name, "-")) for name in ("prefill", "decode", "rss", "prefill_cpu", "decode_cpu")]
        load = f"{max(run.other_load for run in llama + row['gavel']):.2f}"
        lines.append([row["format"], str(row["threads"]), *rates, memory, *ratios, load])
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="tinyllama", help="tinyllama or small")
    parser.add_argument("--formats", nargs="+", default=["Q8_0", "Q4_0", "F16", "Q4_K"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompt", type=int, default=512, help="tokens of prefill")
    parser.add_argument("--decode", type=int, default=128, help="tokens of decode")
    parser.add_argument("--gavel", type=pathlib.Path, default=ROOT / "target" / "release" / "gavel")
    parser.add_argument("--llama-only", action="store_true", help="measure llama.cpp alone")
    parser.add_argument("--work-dir", type=pathlib.Path, default=DEFAULT_WORK, help="files and environment")
    parser.add_argument("--venv", type=pathlib.Path, help="an environment with requirements.txt [WORK_DIR/venv]")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=pathlib.Path, help="every run, as JSON")
    parser.add_argument("--delete-files", action="store_true", help="delete the generated models at the end")
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    python = environment.ensure_venv(options.venv or options.work_dir / "venv")
    files_dir = options.work_dir / "files"
    files = environment.make_files(python, options.shape, options.formats, "llama", False, options.seed, files_dir)
    sizes = (options.prompt, options.decode)
    rows: list[dict[str, Any]] = []
    for file_format, model in files.items():
        for threads in options.threads:
            llama: list[Run] = []
            gavel: list[Run] = []
            for turn in range(options.rounds):
                engines = [
                    lambda: llama.append(run_llama(python, model, threads, *sizes)),
                    lambda: options.llama_only or gavel.append(run_gavel(options.gavel, model, threads, *sizes)),
                ]
                # in turns AB, BA, AB...: a machine that slows down steadily favours neither
                for engine in engines if turn % 2 == 0 else reversed(engines):
                    engine()
            ratios = {} if options.llama_only else compare(llama, gavel)
            rows.append({"format": file_format, "threads": threads, "llama": llama, "gavel": gavel, "ratios": ratios})
            print(table(rows[-1:]), flush=True)
    machine = environment.machine()
    print(f"\n{options.shape}, prompt {options.prompt}, decode {options.decode}, {options.rounds} rounds on {machine}")
    print(table(rows))
    if options.json:
        report = {"machine": machine, "shape": options.shape, "prompt": options.prompt, "decode": options.decode}
        options.json.write_text(json.dumps(report | {"rows": rows}, default=asdict, indent=1) + "\n")
    if options.delete_files:
        for model in files.values():
            model.unlink()


if __name__ == "__main__":
    main()
