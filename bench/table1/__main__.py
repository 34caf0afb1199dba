#!/usr/bin/env python3
"""Table 1: what it costs to rely on somebody else's inference, measured on one machine. Installs EZKL and TOPLOC, runs the same networks
through them, through onnxruntime and through Gavel, and writes the table into docs/comparison.md.

    (cd contracts && npm ci)                    # for the gas of EZKL's verifier
    cargo build --release && python3 bench/table1

Takes six minutes and 5 GB of memory on two cores, and what pip needs to install torch before the first; networks that may need more than is free are left out and named.
"""

import argparse
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import environment  # noqa: E402
import measure  # noqa: E402
import render  # noqa: E402

NETWORKS = ["digits-mlp", "mlp12k", "mlp100k", "mlp400k", "lenet5"]
RESULTS, QUOTED = HERE / "results.json", HERE / "quoted.json"
PAGE = environment.ROOT / "docs" / "comparison.md"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/table1", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help=" ".join(NETWORKS))
    parser.add_argument("--tokens", type=int, default=256, help="of the language model")
    parser.add_argument("--runs", type=int, default=200, help="runs of onnxruntime and of Gavel")
    parser.add_argument("--gavel", type=pathlib.Path, default=environment.ROOT / "target" / "release" / "gavel")
    parser.add_argument("--work-dir", type=pathlib.Path, default=environment.DEFAULT_WORK, help="files and environments (7 GB)")
    parser.add_argument("--render-only", action="store_true", help="write the page from results.json and the gas snapshots, measure nothing")
    return parser.parse_args()


def measured(options: argparse.Namespace) -> dict:
    work = options.work_dir / "table1"
    proving = environment.ensure_venv(options.work_dir / "ezkl-venv", HERE / "requirements-ezkl.txt")
    fingerprints = measure.ensure_toploc(options.work_dir / "toploc-venv")
    weights = measure.make_networks(proving, options.networks, work)
    rows = []
    for name in options.networks:
        print(name, file=sys.stderr, flush=True)
        network = work / f"{name}.onnx"
        row = {"name": name, "weights": weights[name]}
        row["onnxruntime"] = measure.onnxruntime(proving, network, options.runs)
        row["gavel"] = measure.gavel_network(options.gavel, network, options.runs)
        row["ezkl"] = measure.ezkl(proving, network, work / name)
        rows.append(row)
    model = environment.ROOT / "models" / "tales-f16.gguf"
    print(model.stem, file=sys.stderr, flush=True)
    language = {
        "tokens": options.tokens,
        "toploc": measure.toploc(fingerprints, model, options.tokens),
        "gavel": measure.gavel_language(options.gavel, model, options.tokens),
    }
    systems = [part for row in rows for part in row.values() if isinstance(part, dict)] + [language["toploc"], language["gavel"]]
    load = max(part.get("other_load", 0.0) for part in systems)
    return {"machine": environment.machine(), "other_load": load, "networks": rows, "language": language}


def main() -> None:
    options = parse_arguments()
    if not options.render_only:
        if not options.gavel.exists():
            raise SystemExit(f"{options.gavel} is missing: cargo build --release first, or name it with --gavel")
        RESULTS.write_text(json.dumps(measured(options), indent=1) + "\n")
    results, quoted = json.loads(RESULTS.read_text()), json.loads(QUOTED.read_text())
    text = render.page(results, measure.gavel_gas(), quoted)
    PAGE.write_text(render.replaced(PAGE.read_text(), text))
    print(text)


if __name__ == "__main__":
    main()
