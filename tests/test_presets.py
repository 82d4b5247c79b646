"""Every preset is a valid spec, and trains: ten steps of each kind on small crops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

import ssl3d
from ssl3d import ExperimentSpec

ROOT = Path(__file__).parents[1] / "examples"
PRESETS = sorted((ROOT / "presets").glob("*.py"))

# Small crops, and in two of three residual networks an eighth of the channels: what two cores can
# do ten steps of. Everything else is the preset's.
NARROW = [8, 16, 32, 40, 40, 40]
SMALL: dict[str, dict[str, Any]] = {
    "spark": {"data.patch": [32, 32, 64], "data.batch_size": 2},
    "s3d": {"data.patch": 64, "backbone.size": None, "backbone.widths": NARROW},
    "mae": {"data.patch": 64, "backbone.size": None, "backbone.widths": NARROW},
    "waveformer_mim": {"data.patch": 32, "data.normalise": "percentile"},
}


@pytest.fixture(scope="session")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three volumes that fill the crops, so that as many cells are visible as the preset says."""
    folder = tmp_path_factory.mktemp("volumes")
    rng = np.random.default_rng(0)
    for i in range(3):
        voxels = rng.normal(size=(16, 16, 16)).repeat(4, 0).repeat(4, 1).repeat(4, 2)
        image = nibabel.Nifti1Image(voxels.astype(np.float32), np.eye(4))
        nibabel.save(image, folder / f"case{i}.nii.gz")
    return folder


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_preset_round_trips(path: Path) -> None:
    spec = ExperimentSpec.load(path)
    assert ExperimentSpec.from_yaml(spec.to_yaml()) == spec


@pytest.mark.slow
@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore:.*visible sites")
def test_preset_takes_ten_steps(path: Path, volumes: Path, tmp_path: Path) -> None:
    spec = ExperimentSpec.load(path).with_values(
        {
            "data.volumes": str(volumes),
            "data.batch_size": 1,
            "data.workers": 0,
            "data.cache.folder": str(tmp_path / "cache"),
            "trainer.steps": 10,
            "trainer.accumulate": 1,
            "trainer.precision": "32",
            "trainer.accelerator": "cpu",
            "trainer.pictures": 0,
            **SMALL[path.stem],
        }
    )
    result = ssl3d.pretrain(spec, out=tmp_path / "run")
    assert result.step == 10
    assert result.held_out_loss is not None
    assert result.held_out_loss > 0
    encoder = ssl3d.load_encoder(tmp_path / "run")
    assert len(list(encoder.parameters())) > 20
