"""What the tests of this folder share: where things are, and the binary that command lines are judged by."""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"
sys.path.insert(0, str(ROOT / "scripts"))


def gavel() -> str | None:
    """The built binary: what the variable GAVEL names, or the newest that lies in target/."""
    if os.environ.get("GAVEL"):
        return os.environ["GAVEL"]
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    built = [p for p in (target / "debug/gavel", target / "release/gavel") if p.exists()]
    return str(max(built, key=lambda p: p.stat().st_mtime)) if built else None
