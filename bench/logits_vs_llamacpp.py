#!/usr/bin/env python3
"""Distance of gavel's logits from llama.cpp's on the same files and tokens, beside llama.cpp's own distance between its
Q8_0 and its F16, and agreement on greedy text. "From exact" is the distance of each engine from llama.cpp on an F32 file of
the same values: what the rounding of activations to a few bits costs.

    cargo build --release && python3 bench/logits_vs_llamacpp.py

Exits 1 where gavel is farther from llama.cpp than that and from the exact values too, or where greedy text differs on an
F32 or F16 file.
"""

import argparse
import json
import pathlib
import sys
from typing import Any

import environment
from environment import DEFAULT_WORK, ROOT


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="small", help="tinyllama or small")
    parser.add_argument("--variant", default="llama", help="llama linear yarn llama3 mistral qwen2 qwen3")
    parser.add_argument("--tied", action="store_true", help="the head is the embedding table")
    parser.add_argument("--formats", nargs="+", default=["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_K", "Q6_K"])
    parser.add_argument("--model", type=pathlib.Path, nargs="+", help="other GGUF files instead of generated ones")
    parser.add_argument(
        "--yardstick", type=pathlib.Path, nargs=2, metavar=("Q8_0", "F16"), help="the pair to measure, with --model"
    )
    parser.add_argument("--prompt", type=int, default=64, help="random tokens to compare on")
    parser.add_argument("--greedy", type=int, default=48, help="tokens of greedy text on F32 and F16 files")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--gavel", type=pathlib.Path, default=ROOT / "target" / "release" / "gavel")
    parser.add_argument("--work-dir", type=pathlib.Path, default=DEFAULT_WORK, help="files and environment")
    parser.add_argument("--venv", type=pathlib.Path, help="an environment with requirements.txt [WORK_DIR/venv]")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=pathlib.Path, help="the rows, as JSON")
    options = parser.parse_args()
    if options.model and not options.yardstick:
        parser.error("--model needs --yardstick, the same model as Q8_0 and as F16")
    return options


def nearer(row: dict[str, Any]) -> bool:
    """Whether gavel is nearer to the exact values than llama.cpp is: the distance between the two is then llama.cpp's."""
    return row["gavel_exact"] is not None and row["gavel_exact"] <= row["llama_exact"]


def main() -> None:
    options = parse_arguments()
    python = environment.ensure_venv(options.venv or options.work_dir / "venv")
    if options.model:
        files = {path.stem: path for path in options.model}
        exact = {}
        yardstick = options.yardstick
    else:
        formats = list(dict.fromkeys([*options.formats, "Q8_0", "F16"]))
        like = (options.variant, options.tied, options.seed, options.work_dir / "files")
        made = environment.make_files(python, options.shape, formats, *like)
        quantised = [name for name in options.formats if name.startswith("Q")]
        exact = environment.make_files(python, options.shape, quantised, *like, as_f32=True) if quantised else {}
        files = {name: made[name] for name in options.formats}
        yardstick = [made["Q8_0"], made["F16"]]
    task = {
        "files": files,
        "exact": exact,
        "yardstick": yardstick,
        "gavel": options.gavel,
        "prompt": options.prompt,
        "greedy": options.greedy,
        "threads": options.threads,
        "seed": options.seed,
    }
    finished = environment.run([python, environment.HERE / "logits_distance.py", json.dumps(task, default=str)])
    report = json.loads(finished.output)
    own = report["yardstick"]
    print(f"llama.cpp Q8_0 from its F16: rms {own['rms']:.2e}, max {own['max']:.2e}, argmax {own['argmax']:.1%}")
    print(f"{'file':<10} {'rms':>9} {'max':>9} {'of logit std':>12} {'argmax':>7} {'from exact':>10} {'llama.cpp':>10}  greedy text")
    for row in report["rows"]:
        greedy = "-" if row["greedy"] is None else f"{row['greedy']} of {options.greedy} tokens agree"
        relative = row["rms"] / row["std"]
        exact = [f"{row[name]:.2e}" if row[name] is not None else "-" for name in ("gavel_exact", "llama_exact")]
        print(
            f"{row['file']:<10} {row['rms']:9.2e} {row['max']:9.2e} {relative:12.2e} {row['argmax']:7.1%} "
            f"{exact[0]:>10} {exact[1]:>10}  {greedy}"
        )
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    far = [row["file"] for row in report["rows"] if not (row["rms"] <= own["rms"] or nearer(row))]
    unlike = [row["file"] for row in report["rows"] if row["greedy"] not in (None, options.greedy)]
    if far or unlike:
        sys.exit(f"farther than llama.cpp's own Q8_0 from its F16: {far}; other greedy text: {unlike}")


if __name__ == "__main__":
    main()
