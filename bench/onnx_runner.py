"""One measurement of onnxruntime in its own process: a JSON task as the argument, a JSON answer on standard output.

{"model": path, "inputs": archive, "outputs": archive, "threads": n, "runs": n}: times of whole runs in milliseconds with the
default CPU provider and its defaults, after a first run that is not counted, and CPU time of the process.
"""

import json
import pathlib
import sys
import time

import numpy as np
import onnxruntime


def resident_bytes(field: str) -> int:
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) * 1024


def main() -> None:
    task = json.loads(sys.argv[1])
    interpreter = resident_bytes("VmRSS")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = task["threads"]
    session = onnxruntime.InferenceSession(task["model"], options, providers=["CPUExecutionProvider"])
    inputs = dict(np.load(task["inputs"]))
    names = [output.name for output in session.get_outputs()]
    outputs = session.run(names, inputs)
    np.savez(task["outputs"], **dict(zip(names, outputs, strict=True)))
    wall: list[float] = []
    cpu: list[float] = []
    for _ in range(task["runs"]):
        start, used = time.perf_counter(), time.process_time()
        session.run(names, inputs)
        wall.append(1e3 * (time.perf_counter() - start))
        cpu.append(1e3 * (time.process_time() - used))
    answer = {"run_ms": wall, "cpu_ms": cpu, "interpreter_bytes": interpreter, "peak_rss_bytes": resident_bytes("VmHWM")}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
