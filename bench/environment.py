"""The Python environment with llama.cpp, the files to measure, and processes whose cost is accounted. Standard library
only: what needs packages runs in the environment made here."""

import json
import os
import pathlib
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
DEFAULT_WORK = ROOT / "target" / "bench"


def ensure_venv(venv: pathlib.Path, requirements: pathlib.Path = HERE / "requirements.txt") -> pathlib.Path:
    """The environment's interpreter; made first where it is missing, which may compile llama.cpp for this machine."""
    python, marker = venv / "bin" / "python", venv / "requirements.txt"
    wanted = requirements.read_text()
    if python.exists() and (not marker.exists() or marker.read_text() == wanted):
        return python  # one without our mark is somebody's own
    print(f"installing {requirements.name} into {venv} (some minutes)", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
    flags = "-DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DLLAVA_BUILD=OFF"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    install += ["--no-binary", "llama-cpp-python", "--requirement", requirements]
    subprocess.run(install, check=True, env=os.environ | {"CMAKE_ARGS": flags})
    marker.write_text(wanted)
    return python


def make_files(
    python: pathlib.Path,
    shape: str,
    formats: list[str],
    variant: str,
    tied: bool,
    seed: int,
    out: pathlib.Path,
    as_f32: bool = False,
) -> dict[str, pathlib.Path]:
    """The GGUF file of each format, or that of the values in it `as_f32`; those already there are kept."""
    command = [python, HERE / "make_gguf.py", shape, *formats, "--variant", variant, "--seed", str(seed), "--out", out]
    done = subprocess.run(command + ["--tied"] * tied + ["--as-f32"] * as_f32, check=True, stdout=subprocess.PIPE, text=True)
    return dict(zip(formats, map(pathlib.Path, done.stdout.splitlines()), strict=True))


@dataclass(frozen=True)
class Finished:
    """What a process wrote and what it cost. `other_load` is the number of cores that others kept busy meanwhile."""

    output: str
    peak_rss_bytes: int
    cpu_seconds: float
    other_load: float


def _busy_seconds() -> float:
    """Seconds that all cores have been busy since boot, those stolen by a hypervisor included."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(
        int, pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def run(command: list[str | pathlib.Path]) -> Finished:
    """Runs `command` to its end. Its peak memory is what the kernel counted, not what it says of itself."""
    wall, busy = time.monotonic(), _busy_seconds()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"exit {process.returncode} of {' '.join(map(str, command))}\n{output}")
    used = usage.ru_utime + usage.ru_stime
    others = _busy_seconds() - busy - used
    return Finished(output, usage.ru_maxrss * 1024, used, max(0.0, others / (time.monotonic() - wall)))


def run_llama(python: pathlib.Path, task: dict[str, Any]) -> tuple[dict[str, Any], Finished]:
    finished = run([python, HERE / "llama_runner.py", json.dumps(task, default=str)])
    return json.loads(finished.output), finished


def machine() -> dict[str, Any]:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    memory = int(pathlib.Path("/proc/meminfo").read_text().split()[1]) * 1024
    return {"cpu": names[0] if names else platform.machine(), "cores": os.cpu_count(), "memory_bytes": memory}
