"""Run arms one after the other; those that have finished are kept.

    python benchmarks/evidence/run.py --data DIR --work DIR [--only PATTERN ...] [--final]
    python benchmarks/evidence/run.py --budget

Two of these beside each other share the work: an arm that is being run is passed over. On SIGTERM
a run writes its checkpoint and ends, and the same command goes on from there. `--final` then
measures the models of the chosen arms on the final cases.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from fnmatch import fnmatch
from pathlib import Path

from arm import Arm
from arms import CHOSEN, arms, gpu_arms
from budget import print_budget
from kept import Busy, Stopped, commit
from one import finetuned, tested
from specs import NOTHING

RESULTS = Path(__file__).parents[1] / "results" / "evidence"
TINY = {
    "trainer.steps": 2,
    "trainer.accelerator": "cpu",
    "trainer.precision": "32",
    "trainer.cuda_graph": False,
}


def chosen(only: list[str]) -> list[tuple[Arm, int]]:
    """Arms and seeds whose `SET/NAME-sSEED` fits a pattern, in the order of the patterns.

    Without patterns all but those for a GPU.
    """
    every = [*arms(), *(gpu_arms() if only else ())]
    named = {f"{arm.of}/{arm.name}-s{seed}": (arm, seed) for arm in every for seed in arm.seeds}
    fitting = {name: named[name] for one in only or ["*"] for name in named if fnmatch(name, one)}
    return list(fitting.values())


def run(todo: list[tuple[Arm, int]], given: argparse.Namespace) -> None:
    """Run what is to do; what is being run elsewhere is passed over, or waited for."""
    where = {"data": given.data.resolve(), "work": given.work.resolve(), "results": given.results}
    also = TINY if given.tiny else NOTHING
    while todo:
        busy = []
        for arm, seed in todo:
            try:
                finetuned(arm, seed=seed, also=also, **where)
                if given.final and arm.name in CHOSEN[arm.of]:
                    tested(arm, seed=seed, **where)
            except Busy as other:
                print(f"Passed over: {other} is being run by another process", flush=True)
                busy.append((arm, seed))
            except Stopped as stopped:
                sys.exit(stopped.code)
        todo = busy if given.wait else []
        if todo:
            time.sleep(given.wait)


def main() -> None:
    """Read the arguments, print the budget, run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder that holds left_atrium and hippocampus")
    parser.add_argument("--work", type=Path, help="folder for runs, kept between sittings")
    parser.add_argument("--only", nargs="+", default=[], help="patterns such as 'left_atrium/x5*'")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--budget", action="store_true", help="print what it would cost, and end")
    parser.add_argument("--final", action="store_true", help="measure on the final cases too")
    parser.add_argument("--wait", type=float, help="seconds between looks at what was passed over")
    parser.add_argument("--tiny", action="store_true", help="dry run: two steps of each, on a CPU")
    given = parser.parse_args()
    todo = chosen(given.only)
    if given.tiny and given.results == RESULTS:
        parser.error("--tiny measures nothing: give a scratch folder as --results")
    if not todo:
        parser.error(f"no arm fits {' '.join(given.only)}")
    print_budget(todo, results=given.results)
    if given.budget:
        return
    data = given.data or os.environ.get("SSL3D_TEST_DATA")
    if data is None or given.work is None:
        parser.error("--data (or SSL3D_TEST_DATA) and --work are needed to run")
    given.data = Path(data)
    commit()
    import torch

    torch.set_num_threads(1)
    run(todo, given)


if __name__ == "__main__":
    main()
