#!/usr/bin/env python3
"""Outputs of `gavel` that documents show, held against what the binary prints now.

    scripts/shown_outputs.py --gavel target/release/gavel --write README.md

A block of code behind `<!-- shown: ARGUMENTS -->` holds lines of the output of `gavel ARGUMENTS`, in their order. Any may be left out,
none may be another one. Draws follow from the chain's blocks, so another contract may draw another referee: `--write` puts the
likest line that is printed in the place of each.
"""

import argparse
import difflib
import pathlib
import re
import shlex
import subprocess

BLOCK = re.compile(r"(^<!-- shown: (.+?) -->\n+```[a-z]*\n)(.*?)(^```)", re.M | re.S)


def printed(gavel: str, arguments: str) -> list[str]:
    """Lines of an output."""
    done = subprocess.run([gavel, *shlex.split(arguments)], capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"gavel {arguments} ends with {done.returncode}: {done.stderr.strip()[-200:]}")
    return [line.rstrip() for line in done.stdout.splitlines()]


def not_printed(shown: list[str], lines: list[str]) -> str | None:
    """The first line shown that is not printed behind those before it."""
    rest = iter(lines)
    return next((line for line in shown if line not in rest), None)


def likest(shown: list[str], lines: list[str]) -> list[str]:
    """For each line shown the one printed that is most like it, behind those chosen before."""
    chosen: list[str] = []
    at = 0
    for line in shown:
        if line:
            ratios = [difflib.SequenceMatcher(None, line, other, autojunk=False).ratio() for other in lines[at:]]
            at += ratios.index(max(ratios)) + 1
            line = lines[at - 1]
        chosen.append(line)
    return chosen


def problems(gavel: str, text: str, where: str) -> list[str]:
    """What a page shows and the binary does not print."""
    found = []
    for _, arguments, block, _ in BLOCK.findall(text):
        try:
            line = not_printed(block.rstrip().splitlines(), printed(gavel, arguments))
        except RuntimeError as error:
            found.append(f"{where}: {error}")
            continue
        if line is not None:
            found.append(f"{where}: gavel {arguments} does not print\n    {line}\n    (scripts/shown_outputs.py --write mends it)")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gavel", required=True, help="the built binary")
    parser.add_argument("--write", nargs="+", metavar="PAGE", required=True)
    given = parser.parse_args()

    def renewed(block: re.Match[str]) -> str:
        lines = likest(block[3].rstrip().splitlines(), printed(given.gavel, block[2]))
        return block[1] + "\n".join(lines) + "\n" + block[4]

    for page in map(pathlib.Path, given.write):
        page.write_text(BLOCK.sub(renewed, page.read_text()))


if __name__ == "__main__":
    main()
