"""nnU-Net 2.8.1 on the hippocampus set, from scratch or from exported weights, on two CPU cores.

Run it in an environment that has nnU-Net; it needs no ssl3d. `run.sh` beside it does all in turn.

    python hippocampus.py prepare --work work [--data FOLDER] [--cases N]
    python hippocampus.py train --work work --arm scratch
    python hippocampus.py train --work work --arm pretrained --weights nnunet.pth
    python hippocampus.py compare --work work
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import tarfile
import urllib.request
from pathlib import Path

NUMBER, NAME = 4, "Dataset004_Hippocampus"
PLANS, CONFIGURATION = "nnUNetResEncUNetMPlans", "3d_fullres"
URL = "https://msd-for-monai.s3-us-west-2.amazonaws.com/Task04_Hippocampus.tar"
MD5 = "9d24dba78a72977dbd1d2e110310f31b"
FOLDS = 5


def download(work: Path) -> Path:
    """The set of the Medical Segmentation Decathlon (CC-BY-SA 4.0), 27 MB; gives its folder."""
    folder = work / "Task04_Hippocampus"
    if not folder.exists():
        archive = work / "Task04_Hippocampus.tar"
        urllib.request.urlretrieve(URL, archive)
        if hashlib.md5(archive.read_bytes()).hexdigest() != MD5:
            raise SystemExit(f"{archive} is not the file that was expected: remove it, try again")
        with tarfile.open(archive) as content:
            content.extractall(work, filter="data")
    return folder


def convert(data: Path, *, raw: Path, cases: int | None) -> None:
    """Images and labels by nnU-Net's names: `imagesTr` and `labelsTr`, or `images` and `labels`."""
    images, labels = next(
        (data / a, data / b)
        for a, b in (("imagesTr", "labelsTr"), ("images", "labels"))
        if (data / a).is_dir() and (data / b).is_dir()
    )
    files = sorted(f for f in images.glob("*.nii.gz") if not f.name.startswith("."))[:cases]
    for part in ("imagesTr", "labelsTr"):
        (raw / part).mkdir(parents=True, exist_ok=True)
    for file in files:
        case = file.name.removesuffix(".nii.gz")
        shutil.copy(file, raw / "imagesTr" / f"{case}_0000.nii.gz")
        shutil.copy(labels / file.name, raw / "labelsTr" / file.name)
    content = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "anterior": 1, "posterior": 2},
        "numTraining": len(files),
        "file_ending": ".nii.gz",
        # RAS, axes z, y, x: what encoders of ssl3d have seen. nnU-Net turns nothing by itself.
        "overwrite_image_reader_writer": "NibabelIOWithReorient",
    }
    (raw / "dataset.json").write_text(json.dumps(content, indent=2))


def split_by_subject(preprocessed: Path, *, raw: Path) -> None:
    """Five folds in which both hemispheres of a person, cases 2k - 1 and 2k, are on one side."""
    cases = sorted(f.name.removesuffix(".nii.gz") for f in (raw / "labelsTr").glob("*.nii.gz"))
    subjects = {case: (int(re.findall(r"\d+", case)[-1]) + 1) // 2 for case in cases}
    order = sorted(set(subjects.values()))
    folds = []
    for fold in range(FOLDS):
        held_out = set(order[fold::FOLDS])
        sides = [[c for c in cases if (subjects[c] in held_out) is side] for side in (False, True)]
        folds.append({"train": sides[0], "val": sides[1]})
    (preprocessed / "splits_final.json").write_text(json.dumps(folds, indent=2))


def prepare(work: Path, *, data: Path | None, cases: int | None) -> Path:
    """Convert, plan with the residual encoder planner, preprocess; gives the plans file."""
    from nnunetv2.experiment_planning.experiment_planners.residual_unets import (
        residual_encoder_unet_planners as planners,
    )
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprint_dataset,
        plan_experiment_dataset,
        preprocess_dataset,
    )

    raw, preprocessed = work / "raw" / NAME, work / "preprocessed" / NAME
    convert(data or download(work), raw=raw, cases=cases)
    extract_fingerprint_dataset(NUMBER, num_processes=1, check_dataset_integrity=True)
    plan_experiment_dataset(NUMBER, planners.nnUNetPlannerResEncM)
    preprocess_dataset(NUMBER, PLANS, configurations=[CONFIGURATION], num_processes=[1])
    split_by_subject(preprocessed, raw=raw)
    return preprocessed / f"{PLANS}.json"


def train(
    work: Path,
    *,
    arm: str,
    weights: Path | None,
    fold: int,
    epochs: int,
    iterations: int,
    batch: int,
    rate: float,
) -> dict[str, object]:
    """Train nnU-Net's own trainer; its results go to `results/ARM`. Gives losses and Dice."""
    import torch
    from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    torch.manual_seed(0)
    torch.set_num_threads(2)
    preprocessed = work / "preprocessed" / NAME
    plans = json.loads((preprocessed / f"{PLANS}.json").read_text())
    plans["configurations"][CONFIGURATION]["batch_size"] = batch  # planned for a GPU of 8 GB
    trainer = nnUNetTrainer(
        plans={**plans, "continue_training": False},
        configuration=CONFIGURATION,
        fold=fold,
        dataset_json=json.loads((preprocessed / "dataset.json").read_text()),
        device=torch.device("cpu"),
    )
    trainer.num_epochs, trainer.num_iterations_per_epoch = epochs, iterations
    trainer.num_val_iterations_per_epoch = max(1, iterations // 5)
    trainer.initial_lr = rate
    trainer.initialize()
    if weights is not None:
        load_pretrained_weights(trainer.network, str(weights))
    out = Path(trainer.output_folder)
    torch.save(trainer.network.state_dict(), out / "start.pth")
    losses: list[float] = []
    step = trainer.train_step

    def remembered(batch: dict[str, object]) -> dict[str, object]:
        result = step(batch)
        losses.append(float(result["loss"]))
        return result

    trainer.train_step = remembered
    trainer.run_training()
    dice = trainer.logger.get_value("mean_fg_dice", step=None)
    summary = {"arm": arm, "losses": losses, "pseudo_dice": [float(one) for one in dice]}
    (out / "losses.json").write_text(json.dumps(summary, indent=2))
    return summary


def compare(work: Path) -> None:
    """A line for each arm that was trained."""
    for file in sorted((work / "results").glob("*/*/*/fold_*/losses.json")):
        one = json.loads(file.read_text())
        losses, dice = one["losses"], one["pseudo_dice"]
        print(
            f"{one['arm']}, {file.parent.name}: {len(losses)} iterations, loss {losses[0]:.3f} to "
            f"{losses[-1]:.3f}, pseudo Dice {dice[-1]:.3f}"
        )


def main() -> None:
    """Read the command line; nnU-Net finds its folders by environment variables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["prepare", "train", "compare"])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="instead of a download")
    parser.add_argument("--cases", type=int, help="the first so many; default: all")
    parser.add_argument("--arm", default="scratch", help="name of the results' folder")
    parser.add_argument("--weights", type=Path, help="what ssl3d export --to nnunet wrote")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--iterations", type=int, default=50, help="of an epoch")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rate", type=float, default=1e-2, help="highest learning rate")
    given = parser.parse_args()
    work = given.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    settings = {
        "nnUNet_raw": str(work / "raw"),
        "nnUNet_preprocessed": str(work / "preprocessed"),
        "nnUNet_results": str(work / "results" / given.arm),
        "nnUNet_compile": "f",
        "nnUNet_n_proc_DA": "1",
    }
    os.environ.update(settings)
    if given.what == "prepare":
        print(prepare(work, data=given.data, cases=given.cases))
        return
    if given.what == "compare":
        compare(work)
        return
    summary = train(
        work,
        arm=given.arm,
        weights=given.weights,
        fold=given.fold,
        epochs=given.epochs,
        iterations=given.iterations,
        batch=given.batch,
        rate=given.rate,
    )
    print(json.dumps({"arm": given.arm, "pseudo_dice": summary["pseudo_dice"]}))


if __name__ == "__main__":  # nnU-Net starts processes that import this file
    main()
