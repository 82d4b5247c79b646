"""The long schedule on one GPU, in two calls of at most six minutes.

    python benchmarks/evidence/gpu.py --data DIR --work DIR
    python benchmarks/evidence/gpu.py --data DIR --work DIR     # goes on

Four seeds from scratch and four pre-trained, on the atria: several processes share the card, one
of them pre-trains while others train from scratch. After `--minutes` they are asked to stop, write
their checkpoints, and the next call goes on from there. `--tiny`: a dry run on a CPU.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from run import RESULTS

STOPPING = 30.0
"""Seconds before the end in which checkpoints are written."""


def main() -> None:
    """Start the processes, stop them in time, say what has finished."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--set", default="left_atrium", dest="of")
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    end = time.monotonic() + 60 * given.minutes - STOPPING
    # The encoder first: one process takes it, the others train from scratch meanwhile.
    patterns = [f"{given.of}/gpu-pretrained*", f"{given.of}/gpu-scratch*"]
    command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("run.py"))]
    command += ["--data", str(given.data), "--work", str(given.work), "--only", *patterns]
    command += ["--results", str(given.results), "--wait", "2"]
    # A dry run has no cases to spare for what is measured once.
    command += ["--tiny"] if given.tiny else ["--final"]
    given.work.mkdir(parents=True, exist_ok=True)
    processes = []
    for number in range(given.processes):
        with (given.work / f"process-{number}.log").open("a", encoding="utf-8") as log:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            one = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
            processes.append(one)
    for one in processes:
        try:
            one.wait(timeout=max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            one.send_signal(signal.SIGTERM)
    codes = [one.wait() for one in processes]
    done = sorted(file.stem for file in (given.results / given.of).glob("*gpu*.json"))
    print(f"Exit codes {codes}; finished: {', '.join(done) or 'none yet, call it again'}")
    if any(codes) and time.monotonic() < end:
        sys.exit(f"A process failed before its time: see {given.work}/process-*.log")


if __name__ == "__main__":
    main()
