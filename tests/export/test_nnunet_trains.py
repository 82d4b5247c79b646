"""nnU-Net itself, in an environment of its own, trains on from an exported encoder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from exported import encoder_of

import ssl3d

SCRIPT = Path(__file__).parents[2] / "examples" / "nnunet" / "hippocampus.py"
PYTHON = os.environ.get("SSL3D_NNUNET_PYTHON")
RESULTS = "Dataset004_Hippocampus/nnUNetTrainer__nnUNetResEncUNetMPlans__3d_fullres/fold_0"
PLANS = "preprocessed/Dataset004_Hippocampus/nnUNetResEncUNetMPlans.json"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        PYTHON is None and find_spec("nnunetv2") is None,
        reason="needs nnunetv2 2.8.1, here or in an environment whose python SSL3D_NNUNET_PYTHON "
        "names: see examples/nnunet",
    ),
    pytest.mark.skipif(
        find_spec("dynamic_network_architectures") is None,
        reason="needs nnU-Net's networks: pip install --no-deps "
        "dynamic-network-architectures==0.4.4",
    ),
]


def nnunet(*arguments: str | Path) -> None:
    command = [PYTHON or sys.executable, str(SCRIPT), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Ten small volumes, each with a bright and a dark blob that are to be found."""
    rng = np.random.default_rng(0)
    for part in ("images", "labels"):
        (tmp_path / "data" / part).mkdir(parents=True)
    for case in range(10):
        size = (26 + case % 3, 30, 26)
        labels = np.zeros(size, np.uint8)
        labels[6:14, 8 + case % 4 : 20, 8:18] = 1
        labels[16:22, 8 + case % 4 : 20, 8:18] = 2
        noise = 0.3 * rng.normal(size=size)
        image = (noise + 2.0 * (labels == 1) - 2.0 * (labels == 2)).astype(np.float32)
        name = f"case_{case:03d}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), tmp_path / "data" / "images" / name)
        nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), tmp_path / "data" / "labels" / name)
    return tmp_path / "data"


def test_a_dozen_iterations_from_our_weights(data: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    nnunet("prepare", "--work", work, "--data", data)
    folds = json.loads((work / PLANS).with_name("splits_final.json").read_text())
    assert all(not set(fold["train"]) & set(fold["val"]) for fold in folds)
    run = encoder_of({"name": "resunet", "plans": work / PLANS}, out=tmp_path / "run")
    file = ssl3d.export(run, to="nnunet", plans=work / PLANS).out / "nnunet.pth"
    nnunet(
        *("train", "--work", work, "--arm", "ours", "--weights", file),
        *("--epochs", "1", "--iterations", "14"),
    )
    results = work / "results" / "ours" / RESULTS
    start = torch.load(results / "start.pth", weights_only=True)
    for name, value in ssl3d.load_encoder(run).state_dict().items():
        assert torch.equal(start[name], value), name
    losses = json.loads((results / "losses.json").read_text())["losses"]
    assert len(losses) == 14
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.1
    trained = torch.load(results / "checkpoint_final.pth", weights_only=False)["network_weights"]
    moved = [
        n for n in ssl3d.load_encoder(run).state_dict() if not torch.equal(trained[n], start[n])
    ]
    assert moved
