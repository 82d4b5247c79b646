"""Core seconds of a pre-training step, from visible cells alone and from zeroed volumes.

    python benchmarks/evidence/times.py --data DIR --work DIR

To be run when nothing else runs. One process with one thread; long and short runs in turn, so that
what comes before the first step is subtracted.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import time
from pathlib import Path

from kept import machine, write
from one import pretraining
from run import RESULTS

TIMED = ("x5-seed1", "x5-seed1-zeroed")
SHORT, LONG = LENGTHS = 20, 220


def main() -> None:
    """Time each in turn, several times, and write the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--set", default="left_atrium", dest="of")
    parser.add_argument("--times", type=int, default=3)
    given = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    data, work = given.data.resolve(), given.work.resolve() / "times"
    found: dict[str, list[float]] = {name: [] for name in TIMED}
    for _ in range(given.times):
        for name in TIMED:
            one = [_seconds(name, steps, of=given.of, data=data, work=work) for steps in LENGTHS]
            found[name].append((one[1] - one[0]) / (LONG - SHORT))
            print(f"{name}: {found[name][-1]:.4f} core seconds a step", flush=True)
    medians = {name: statistics.median(values) for name, values in found.items()}
    result = {"set": given.of, "seconds": medians, "each": found, "machine": machine()}
    write(RESULTS / "times.json", result)


def _seconds(name: str, steps: int, *, of: str, data: Path, work: Path) -> float:
    """Of the process, for a pre-training of so many steps."""
    import ssl3d

    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    spec = pretraining(name, of=of, data=data, work=work, also={"trainer.steps": steps})
    before = time.process_time()
    ssl3d.pretrain(spec, out=work / "run")
    return time.process_time() - before


if __name__ == "__main__":
    main()
