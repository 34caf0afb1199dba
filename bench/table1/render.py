"""The tables of docs/comparison.md, from what was measured (`results.json`) and what others say (`quoted.json`). Pure: no file is
touched here."""

from typing import Any

BEGIN, END = "<!-- table 1: written by `python3 bench/table1`, from here -->", "<!-- table 1: to here -->"
TRADE_OFFS = ["technique", "prover overhead", "prover memory", "proof", "verification", "gas", "finality", "floats"]
TRADE_OFFS += ["what it proves", "largest run", "source"]


def number(value: float) -> str:
    """Three digits, no exponent below a million."""
    if value == 0:
        return "0"
    if abs(value) >= 1e6:
        return f"{value:.1e}".replace("e+0", "e").replace("e+", "e")
    digits = max(0, 2 - len(str(int(abs(value)))) + 1) if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}" if abs(value) >= 0.01 else f"{value:.1g}"


def size(count: float) -> str:
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= scale:
            return f"{number(count / scale)} {unit}"
    return f"{count:.0f} B"


def markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def seconds(value: float) -> str:
    return f"{number(1e6 * value)} µs" if value < 1e-3 else f"{number(1e3 * value)} ms" if value < 1 else f"{number(value)} s"


def networks(results: dict[str, Any], gas: dict[str, int]) -> str:
    """One row per network and system; every time is CPU seconds of one machine."""
    head = ["network (weights)", "system", "run or prove", "x native", "memory", "proof", "verify", "gas to verify", "set-up", "error"]
    rows = []
    for row in results["networks"]:
        native, ours, theirs = row["onnxruntime"], row["gavel"], row["ezkl"]
        name = f"{row['name']} ({row['weights']:,})"
        run = native["cpu_ms"] / 1e3
        rows.append([name, "onnxruntime", seconds(run), "1", size(native["peak_bytes"]), "none", "run it again", "none", "none", "0"])
        own = ours["cpu_ms"] / 1e3
        cells = [seconds(own), number(own / run), size(ours["peak_bytes"]), "64 B on chain", seconds(own)]
        rows.append(["", "Gavel", *cells, f"0; {gas['one_move_dispute']:,} if disputed", "none", "0, exact"])
        if "skipped" in theirs:
            rows.append(["", f"EZKL, 2^{theirs['logrows']} rows", f"not run: {theirs['skipped']}", *[""] * 7])
            continue
        prove = theirs["prove"]
        cells = [seconds(prove["cpu_seconds"]), number(prove["cpu_seconds"] / run), size(prove["peak_bytes"])]
        cells += [size(prove["proof_bytes"]), seconds(theirs["verify"]["cpu_seconds"])]
        cells.append(f"{theirs['gas']['verify']:,}" if theirs["gas"] else "not measured")
        cells.append(f"{seconds(theirs['setup']['cpu_seconds'])}, key {size(theirs['setup']['key_bytes'])}")
        rows.append(["", f"EZKL, 2^{theirs['settle']['logrows']} rows", *cells, number(prove["error"])])
    return markdown(head, rows)


def language(results: dict[str, Any]) -> str:
    theirs, ours, tokens = results["language"]["toploc"], results["language"]["gavel"], results["language"]["tokens"]
    head = ["system", "prefill", "commitment", "its share", "bytes", "verify", "sees a hidden state whose smaller values are zeroed"]
    total = theirs["prefill_seconds"] + theirs["build_seconds"]
    check = theirs["prefill_seconds"] + theirs["check_seconds"]
    share = f"{100 * theirs['build_seconds'] / total:.1f} %"
    zeroed = f"{100 * theirs['zeroed_share']:.0f} % of it zeroed"
    rows = [
        [
            "TOPLOC in torch",
            seconds(theirs["prefill_seconds"]),
            seconds(theirs["build_seconds"]),
            share,
            f"{theirs['proof_bytes']:,}",
            f"{seconds(check)}: the prefill again and {seconds(theirs['check_seconds'])}",
            f"no: {zeroed}, accepted" if theirs["zeroed_accepted"] else f"yes: {zeroed}, rejected",
        ],
        [
            "Gavel",
            seconds(ours["prefill_seconds"] * (1 - ours["prefill_hashing_share"])),
            seconds(ours["prefill_seconds"] * ours["prefill_hashing_share"]),
            f"{100 * ours['prefill_hashing_share']:.1f} %",
            "64 on chain",
            f"{ours['verify_ratio']:.2f} of generating the same tokens",
            "yes: every bit of every tensor is committed",
        ],
    ]
    return f"`tales` ({theirs['parameters']:,} weights), {tokens} tokens:\n\n" + markdown(head, rows)


def trade_offs(results: dict[str, Any], gas: dict[str, int], quoted: list[dict[str, str]]) -> str:
    """What is measured here first, then what others say of themselves."""
    rows = measured_rows(results, gas) + [[row[column] for column in TRADE_OFFS] for row in quoted]
    return markdown(TRADE_OFFS, rows)


def measured_rows(results: dict[str, Any], gas: dict[str, int]) -> list[list[str]]:
    proven = [row for row in results["networks"] if "skipped" not in row["ezkl"]]
    theirs = results["language"]["toploc"]
    plain = ["plain re-execution", "1x for whoever checks", "native", "none", "a whole run", "none", "none of its own", "yes"]
    plain += ["nothing to a third party", "any", "measured"]
    rows = [plain]
    if proven:
        ratios = [r["ezkl"]["prove"]["cpu_seconds"] * 1e3 / r["onnxruntime"]["cpu_ms"] for r in proven]
        memory = max(r["ezkl"]["prove"]["peak_bytes"] for r in proven)
        proofs = sorted(r["ezkl"]["prove"]["proof_bytes"] for r in proven)
        verify = sorted(r["ezkl"]["verify"]["cpu_seconds"] for r in proven)
        costs = sorted(r["ezkl"]["gas"]["verify"] for r in proven if r["ezkl"]["gas"])
        largest = max(proven, key=lambda r: r["ezkl"]["settle"]["logrows"])
        row = ["zk-SNARK of a circuit (EZKL 23, halo2 with KZG)", f"{number(min(ratios))} to {number(max(ratios))} x"]
        row += [f"{size(memory)} at 2^{largest['ezkl']['settle']['logrows']} rows", f"{size(proofs[0])} to {size(proofs[-1])}"]
        row += [f"{seconds(verify[0])} to {seconds(verify[-1])}", f"{costs[0]:,} to {costs[-1]:,}" if costs else "not measured"]
        row += ["when proven", "no: fixed point", "the output of the quantised circuit, to anybody, for ever; inputs and weights may stay private"]
        rows.append([*row, f"{largest['name']}, {largest['weights']:,} weights", "measured"])
    share = 100 * theirs["build_seconds"] / theirs["prefill_seconds"]
    row = ["fingerprint of activations (TOPLOC 0.1.6)", f"{share:.0f} % of a small model's prefill, less of larger ones'", "native"]
    row += [f"{theirs['proof_bytes']:,} B for {results['language']['tokens']} tokens", "a prefill and a comparison", "none", "when compared"]
    row += ["yes, within a tolerance", "that the last hidden states look like the model's; no sampling, no culprit"]
    rows.append([*row, f"tales, {theirs['parameters']:,} weights", "measured"])
    shares = [r["gavel"]["hashing_share"] for r in results["networks"]]
    shares += [results["language"]["gavel"][f"{phase}_hashing_share"] for phase in ("prefill", "decode")]
    row = ["**Gavel**", f"{100 * min(shares):.1f} to {100 * max(shares):.1f} % of the run is hashing, on networks this small", "native"]
    row += ["64 B on chain", "a run, or one operator, or one step by a contract"]
    row += [f"{gas['life']:,} a task; {gas['one_move_dispute']:,} for a one-move dispute; {gas['appeal']:,} for an appeal to the end"]
    row += ["used at once; paid for and irrevocable after the window", "yes, exact to the bit"]
    row += ["every operator of every step, as long as one watcher or an audit looks; a lie costs its stake"]
    rows.append([*row, "Llama of 1.1 billion weights ([bench](../bench/README.md))", "measured"])
    return rows


def page(results: dict[str, Any], gas: dict[str, int], quoted: list[dict[str, str]]) -> str:
    machine = results["machine"]
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_bytes'] / 2**30:.0f} GiB"
    load = f"other processes kept up to {results['other_load']:.1f} cores busy"
    parts = [
        f"Measured on one machine: {where}; {load}. Times are CPU seconds of all threads together; native is onnxruntime on one thread.",
        networks(results, gas),
        language(results),
        trade_offs(results, gas, quoted),
    ]
    return "\n\n".join(parts)


def replaced(document: str, text: str) -> str:
    """`document` with what is between the marks replaced."""
    before, rest = document.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"
