"""What the tests of this folder share: where things are, the binary that command lines are judged by, a network of its own."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import unittest

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


class Network:
    """An embedded chain, and where the container's setup script puts what it makes on it."""

    def __init__(self, test: unittest.TestCase, prefix: tuple[str, ...] = ()) -> None:
        self.test = test
        self.base = pathlib.Path(test.enterContext(tempfile.TemporaryDirectory()))
        (self.base / "bin").mkdir()
        (self.base / "bin/gavel").symlink_to(pathlib.Path(gavel()).resolve())
        self.environment = os.environ | {
            "PATH": f"{self.base / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.base),
            "GAVEL_DEPLOYMENT": str(self.base / "net/deployment.json"),
            "GAVEL_BLOBS": str(self.base / "net/blobs"),
            "GAVEL_KEYS": str(self.base / "keys"),
            "GAVEL_MODELS": "digits",
        }
        self.running: list[tuple[subprocess.Popen, bool]] = []
        test.addCleanup(self.stop)
        line = self.start("chain", "up", "--data-dir", str(self.base / "chain"), "--port", "0", prefix=prefix)
        self.environment["GAVEL_RPC"] = re.search(r"http://127\.0\.0\.1:\d+", line)[0]

    def start(self, *words: str, prefix: tuple[str, ...] = ()) -> str:
        """Starts a role and gives the first line that it says."""
        command = [*prefix, str(self.base / "bin/gavel"), "--json", *words]
        process = subprocess.Popen(command, env=self.environment, cwd=self.base, stdout=subprocess.PIPE, text=True)
        self.running.append((process, bool(prefix)))
        return process.stdout.readline()

    def stop(self) -> None:
        """Asks what runs to end, the latest first, and waits for it."""
        while self.running:
            process, traced = self.running.pop()
            # a tracer that is stopped leaves what it traces running
            children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split() if traced else []
            for pid in map(int, children or [process.pid]):
                os.kill(pid, signal.SIGTERM)
            process.communicate(timeout=120)

    def run(self, *command: str | pathlib.Path) -> subprocess.CompletedProcess:
        return subprocess.run([str(c) for c in command], env=self.environment, cwd=self.base, capture_output=True, text=True, timeout=300, check=False)

    def set_up(self) -> str:
        done = self.run(PACKAGING / "container/setup")
        self.test.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout
