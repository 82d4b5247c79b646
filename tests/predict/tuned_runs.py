"""Folders of fine-tuning runs that have ended, without training."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import torch

from ssl3d import FinetuneSpec
from ssl3d.tasks.finetune.model_file import write_model
from ssl3d.tasks.finetune.resolved import resolved
from ssl3d.tasks.finetune.start import starting_model

BRIGHT = {"name": "segmentation", "labels": {"bright": 7}}
KINDS = {"name": "classification", "classes": ["dark", "bright"]}
WINDOW = {"name": "ct_window", "lower": 0, "upper": 100}


def write_run(
    folder: Path,
    *,
    task: dict = BRIGHT,
    seed: int = 0,
    windows: dict | None = None,
    **data: object,
) -> Path:
    """A run of a network of two stages with untrained weights."""
    files = {"images": "-/*.nii", "labels": "-/l/*.nii", "normalise": WINDOW, "workers": 0}
    if task is KINDS:
        files |= {"manifest": "-.csv"}
    spec = FinetuneSpec(
        backbone={"name": "resunet", "widths": [4, 8], "blocks": [1, 1]},
        task=task,
        data={**files, **data},
        patch=8,
        windows=windows or {},
        augment={"flips": (True, True, False)},
        seed=seed,
    )
    made = resolved(spec)
    model, _ = starting_model(made, samples_per_step=1)
    folder.mkdir(parents=True)
    write_model(folder, resolved=made, weights=model.state_dict(), step=1)
    return folder


def threshold(self, volume, **_):  # noqa: ARG001
    """In place of `FinetuneModel.predict`: what is bright, without a doubt."""
    volume = volume[:, :1]
    return torch.cat([volume < 0.5, volume >= 0.5], 1).float()


def write_image(path: Path, seed: int = 0, *, affine: np.ndarray | None = None) -> Path:
    """A volume of 12 x 10 x 9 voxels with a bright box."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(seed).uniform(0, 40, size=(12, 10, 9)).astype(np.float32)
    image[3:8, 2:6, 4:8] = 100
    nibabel.Nifti1Image(image, np.eye(4) if affine is None else affine).to_filename(path)
    return path
