"""The table of ONNX operators, made of the standard's list and of what the backend suite's tests gave."""

import collections
from collections.abc import Iterable
from typing import Any

import onnx.defs

HEAD = """# ONNX operators

Written by `conformance/onnx_backend.py --table docs/reference/operators.md --write` from the ONNX backend suite; `scripts/test` checks it.

- **opset**: the newest version of the operator in the standard. Files of opsets 7 to 28 are read.
- **types**: element types of inputs in tests that pass; more may be accepted.
- **becomes**: operators of Gavel's table (`spec/numerics.md`) in the graphs of those tests. Map is an element program, View, Reduce and the like
  are data movement and reductions: what is defined by several is the graph of them. "Identity" alone is a constant that was computed at import.
- **tests**: passed, of those with plain tensors, those that spell the operator out by others left out. Random operators draw from the task's
  seed, so that they cannot give the numbers of NumPy that the suite expects.

"""
TAIL = """
## Not supported

Refused at import, with the node and the reason:

| what | operators |
|---|---|
{rows}
"""
STRINGS = {"LabelEncoder", "RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit"}
DATA = {"ImageDecoder", "TfIdfVectorizer"}


def kind(name: str) -> str:
    if name in STRINGS:
        return "strings"
    if "Sequence" in name and name != "ReverseSequence":
        return "sequences"
    if name.startswith("Optional"):
        return "optional values"
    if name in DATA:
        return "files and texts"
    return "others"


def joined(values: Iterable[str]) -> str:
    return ", ".join(sorted(set(values)))


def table(results: list[Any], supported: list[str]) -> str:
    of = collections.defaultdict(list)
    for result in results:
        if "_expanded" not in result.name:
            for name in result.operators:
                of[name].append(result)
    newest: dict[str, int] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "" and not schema.deprecated:
            newest[schema.name] = max(newest.get(schema.name, 0), schema.since_version)
    rows = ["| operator | opset | types | becomes | tests |", "|---|---|---|---|---|"]
    missing = collections.defaultdict(list)
    for name, opset in sorted(newest.items()):
        passed = [result for result in of[name] if result.status == "passed"]
        if name not in supported:
            missing[kind(name)].append(name)
            continue
        types = joined(kind for result in passed for kind in result.types)
        # of the tests of this operator alone, where there are any
        alone = [result for result in passed if result.operators == [name]] or passed
        becomes = joined(found for result in alone for found in result.becomes)
        tests = f"{len(passed)} of {len(of[name])}" if of[name] else ""
        rows.append(f"| {name} | {opset} | {types} | {becomes} | {tests} |")
    count = f"{len(rows) - 2} of the standard's {len(newest)} operators.\n\n"
    lines = [f"| {what} | {', '.join(names)} |" for what, names in sorted(missing.items())]
    lines.append("| training | everything of the domain `ai.onnx.preview.training`, and `training_mode` |")
    return HEAD + count + "\n".join(rows) + "\n" + TAIL.format(rows="\n".join(lines))
