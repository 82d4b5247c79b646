"""What can be read off frozen encoders without training a network: `ssl3d probe` on both sets.

    python benchmarks/evidence/probes.py --data DIR --work DIR [--only PATTERN ...]

Of the WaveFormers that run.py has pre-trained into `--work`. On crops of the inner cases, from the
labelled subjects that a fine-tuning of the seed learns from. What has been probed is kept.
"""

from __future__ import annotations

import argparse
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from arm import CONFIRMING, Arm
from compare import restored
from kept import commit, machine, read, write
from one import digest
from probed import METHODS
from run import RESULTS
from settings import OF_SET, WEIGHTS
from specs import NOTHING, encoder_of, finetuning


def main() -> None:
    """Probe each encoder that is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", nargs="+", default=["*"], help="patterns such as 'hippocampus/*'")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    commit()
    import torch

    torch.set_num_threads(1)
    kept = given.results / "probes.json"
    todo = [(of, w) for of in OF_SET for w in WEIGHTS if w != "random"]
    for of, weights in todo:
        name, row = f"{of}/{weights}", restored(of, weights, results=given.results)
        known = read(kept) or {}
        fits = any(fnmatch(name, one) for one in given.only)
        if name in known or not fits or row is None or "backbone" in WEIGHTS[weights]:
            continue
        arm = Arm(of, "probed", weights)
        found = _probed(arm, data=given.data.resolve(), work=given.work.resolve() / of)
        if found["sha256"] != row["sha256"]:
            raise SystemExit(f"{name}: --work holds another encoder than the one of the results")
        write(kept, {**(read(kept) or {}), name: {**found, "machine": machine()}})


def _probed(arm: Arm, *, data: Path, work: Path) -> dict[str, Any]:
    """Dice by method, network and seed; networks are the encoder and one of random weights."""
    from ssl3d.tasks.probe.probe import probe

    run = encoder_of(arm, work)
    spec = finetuning(arm, seed=0, data=data, work=work, also=NOTHING)
    result = probe(run, spec, seeds=CONFIRMING, device="cpu")
    dice: dict[str, dict[str, dict[int, float]]] = {method: {} for method in METHODS}
    for line in result.lines:
        if line.number == "dice":
            dice[line.method].setdefault(line.encoder, {})[line.seed] = round(line.value, 5)
    return {"sha256": digest(run), "dice": dice}


if __name__ == "__main__":
    main()
