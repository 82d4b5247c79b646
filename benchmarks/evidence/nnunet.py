"""The peer: nnU-Net from scratch, on the labelled subjects that a seed draws for all arms.

    python benchmarks/evidence/nnunet.py --data DIR --work DIR --seeds 0 1 2 3

Needs `nnunetv2` 2.8.1. Fingerprint, plans, preprocessing, network, augmentation, loss, optimiser
and schedule are its own; what is changed, to end inside the core time of an arm that was
pre-trained, is in `CHANGED` and in the name of the arm. Cases are taken from the arm
`scratch` of the same seed, which must have run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import time
from pathlib import Path
from typing import Any

from arms import peers
from budget import print_budget
from kept import Busy, claimed, machine, read, write
from one import case_of, cases
from run import RESULTS
from sets import LABELS, images

OF, ARM, DATASET = "hippocampus", "nnunet-short", "Dataset004_Hippocampus"
CHANGED = {"epochs": 10, "iterations_per_epoch": 30}
"""Published: 1,000 epochs of 250 iterations."""


def main() -> None:
    """Train and measure each seed that has not been."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--tiny", action="store_true", help="dry run: two iterations")
    given = parser.parse_args()
    if given.tiny and given.results == RESULTS:
        parser.error("--tiny measures nothing: give a scratch folder as --results")
    work = given.work.resolve()
    (peer,) = peers()
    print_budget([(peer, seed) for seed in given.seeds], results=given.results)
    for seed in given.seeds:
        result = given.results / OF / f"{ARM}-s{seed}.json"
        try:
            with claimed(work / OF / f"{ARM}-s{seed}.lock"):
                if read(result) is None:
                    run(seed, data=given.data.resolve(), work=work, result=result, tiny=given.tiny)
        except Busy as other:
            print(f"Passed over: {other} is being run by another process", flush=True)


def run(seed: int, *, data: Path, work: Path, result: Path, tiny: bool) -> None:
    """Train with one seed, predict the inner cases, write their Dice."""
    before, out = time.process_time(), work / OF / f"{ARM}-s{seed}"
    shutil.rmtree(out, ignore_errors=True)
    learned = cases(work / OF / f"scratch-s{seed}", held_out=False)
    raw = write_dataset(learned, data=data, raw=out / "raw")
    # nnU-Net reads its folders from the environment when it is imported.
    for kind in ("raw", "preprocessed", "results"):
        (out / kind).mkdir(exist_ok=True)
        os.environ[f"nnUNet_{kind}"] = str(out / kind)
    os.environ.update(nnUNet_compile="f", nnUNet_n_proc_DA="1", nnUNet_def_n_proc="1")
    trainer = train(seed, preprocessed=out / "preprocessed", tiny=tiny)
    tested = images(OF, "inner", data=data)
    predict(trainer, tested, out=out / "predicted")
    truth = data / OF / "labels"
    found = {
        case_of(file.name): dice(out / "predicted" / file.name, truth / file.name)
        for file in tested
    }
    write(
        result,
        {
            "set": OF,
            "arm": ARM,
            "weights": None,
            "seed": seed,
            "values": CHANGED,
            "steps": trainer.num_epochs * trainer.num_iterations_per_epoch,
            "inner": found,
            "learned": learned,
            "cpu_seconds": time.process_time() - before,
            "machine": {**machine(), "nnunetv2": version()},
        },
    )
    shutil.rmtree(raw.parent)


def write_dataset(cases: list[str], *, data: Path, raw: Path) -> Path:
    """The cases as nnU-Net's raw format has them."""
    folder = raw / DATASET
    for case in cases:
        for kind, name in (("images", f"{case}_0000"), ("labels", case)):
            target = folder / f"{kind}Tr" / f"{name}.nii.gz"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(data / OF / kind / f"{case}.nii.gz", target)
    described = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, **LABELS[OF]},
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(described), encoding="utf-8")
    return folder


def train(seed: int, *, preprocessed: Path, tiny: bool) -> Any:
    """nnU-Net's own trainer, on all cases, with a schedule that ends early."""
    import numpy as np
    import torch
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprints,
        plan_experiments,
        preprocess,
    )
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    torch.set_num_threads(1)
    random.seed(seed)
    np.random.seed(seed)  # what nnU-Net draws from
    torch.manual_seed(seed)
    number = int(DATASET[7:10])
    extract_fingerprints([number], num_processes=1)
    plan_experiments([number])
    preprocess([number], configurations=["3d_fullres"], num_processes=[1])
    folder = preprocessed / DATASET
    plans = json.loads((folder / "nnUNetPlans.json").read_text(encoding="utf-8"))
    plans["continue_training"] = False
    described = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    trainer = nnUNetTrainer(plans, "3d_fullres", "all", described, torch.device("cpu"))
    trainer.num_epochs = 1 if tiny else CHANGED["epochs"]
    trainer.num_iterations_per_epoch = 2 if tiny else CHANGED["iterations_per_epoch"]
    trainer.num_val_iterations_per_epoch = 1
    trainer.disable_checkpointing = True
    os.environ.update(nnUNet_n_proc_DA="0")  # in this process, so that its time is counted
    trainer.run_training()
    return trainer


def predict(trainer: Any, files: list[Path], *, out: Path) -> None:
    """With mirroring, as nnU-Net does; no model is chosen by what it brings."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    out.mkdir()
    trainer.set_deep_supervision_enabled(False)
    predictor = nnUNetPredictor(device=torch.device("cpu"), perform_everything_on_device=False)
    predictor.manual_initialization(
        trainer.network,
        trainer.plans_manager,
        trainer.configuration_manager,
        [trainer.network.state_dict()],
        trainer.dataset_json,
        type(trainer).__name__,
        trainer.inference_allowed_mirroring_axes,
    )
    targets = [str(out / case_of(file.name)) for file in files]
    predictor.predict_from_files_sequential([[str(file)] for file in files], targets)


def dice(predicted: Path, truth: Path) -> float:
    """Mean over the labels, on the file's own grid; every case of this set has all of them."""
    import nibabel
    import numpy as np

    one, other = (np.asanyarray(nibabel.load(file).dataobj).round() for file in (predicted, truth))
    each = []
    for label in LABELS[OF].values():
        a, b = one == label, other == label
        assert b.any()
        each.append(2 * (a & b).sum() / (a.sum() + b.sum()))
    return round(float(np.mean(each)), 5)


def version() -> str:
    """Of nnU-Net."""
    from importlib import metadata

    return metadata.version("nnunetv2")


if __name__ == "__main__":
    main()
