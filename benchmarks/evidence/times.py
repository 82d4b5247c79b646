"""Core seconds of a step: of pre-training, visible (60 and 75 % hidden) and zeroed; of fine-tuning.

    python benchmarks/evidence/times.py --data DIR --work DIR

To be run when nothing else runs. One process with one thread; all kinds in turn, and of each a long
and a short run, so that what comes before the first step, and the measuring after the last, are
subtracted.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import time
from pathlib import Path

from arm import Arm
from kept import machine, write
from run import RESULTS
from specs import finetuning, pretraining

PRETRAINED = {"visible": "x5-seed1", "visible75": "x5-ratio75", "zeroed": "x5-seed1-zeroed"}
FINETUNED = "finetune"
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
    found: dict[str, list[float]] = {name: [] for name in (*PRETRAINED, FINETUNED)}
    for _ in range(given.times):
        for name in found:
            one = [_seconds(name, steps, of=given.of, data=data, work=work) for steps in LENGTHS]
            found[name].append((one[1] - one[0]) / (LONG - SHORT))
            print(f"{name}: {found[name][-1]:.4f} core seconds a step", flush=True)
    medians = {name: statistics.median(values) for name, values in found.items()}
    result = {"set": given.of, "seconds": medians, "each": found, "machine": machine()}
    write(RESULTS / "times.json", result)


def _seconds(name: str, steps: int, *, of: str, data: Path, work: Path) -> float:
    """Of the process, for a run of so many steps."""
    import ssl3d

    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    also = {"trainer.steps": steps}
    before = time.process_time()
    if name == FINETUNED:
        arm = Arm(of, "scratch")
        ssl3d.finetune(finetuning(arm, seed=0, data=data, work=work, also=also), out=work / "run")
    else:
        spec = pretraining(PRETRAINED[name], of=of, data=data, work=work, also=also)
        ssl3d.pretrain(spec, out=work / "run")
    return time.process_time() - before


if __name__ == "__main__":
    main()
