"""A volume that is much smaller than the patch can leave one visible site to a norm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

import ssl3d
from ssl3d import ExperimentSpec
from ssl3d.data.collate import Sample, collate
from ssl3d.kinds.level import Level
from ssl3d.kinds.view import View
from ssl3d.run.run_error import RunError
from ssl3d.tasks.pretrain.empty_crops import EmptyCrops
from ssl3d.tasks.pretrain.module import PretrainModule


def test_the_volume_is_named(make_spec: Callable[..., ExperimentSpec], tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    values = np.random.default_rng(0).normal(size=(8, 8, 24)).astype(np.float32)
    for name in ("a", "b", "c"):
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), folder / f"{name}.nii.gz")
    backbone: dict[str, Any] = {
        "name": "resunet",
        "widths": (4, 4, 4, 4),
        "blocks": (1, 1, 1, 1),
        "norm": "instance",
    }
    # Of a patch's 27 cells eleven are visible; these volumes fill three, and show one.
    spec = make_spec(
        backbone=backbone,
        masker={"name": "random", "ratio": 0.6},
        data={"volumes": str(folder), "patch": 24},
        trainer={"steps": 1},
    )
    with pytest.raises(RunError, match=r"(?s)Stopped: .*one visible.*small/[abc]\.nii"):
        ssl3d.pretrain(spec, out=tmp_path / "run")


def test_batch_norm_names_the_volume_too(make_spec: Callable[..., ExperimentSpec]) -> None:
    """The second of two crops shows the only site of the batch; the first shows none."""
    backbone = {"name": "resunet", "widths": (4, 4), "blocks": (1, 1), "norm": "batch"}
    spec = make_spec(backbone=backbone, data={"patch": (4, 4, 4)})
    module = PretrainModule(spec.build(), seed=0, empty=EmptyCrops())
    hidden = torch.ones(2, 2, 2, 2, dtype=torch.bool)
    hidden[1, 0, 0, 0] = False
    samples = [
        Sample(((_view(one),),), number=i, source=f"{'ab'[i]}.nii") for i, one in enumerate(hidden)
    ]
    batch = collate(samples, levels=(Level(1, (4, 4, 4)),), cell=(2, 2, 2))
    with pytest.raises(RunError, match=r"(?s)batch norm sees one visible site.*\n  b\.nii\n"):
        module.held_out(batch)


def _view(hidden: torch.Tensor) -> View:
    valid = torch.ones(4, 4, 4, dtype=torch.bool)
    corner, extent = (0, 0, 0), (4, 4, 4)
    return View(torch.rand(1, 4, 4, 4), valid, (hidden,), ~hidden, corner=corner, extent=extent)
