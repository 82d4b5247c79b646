"""Every preset is a valid spec, and trains: ten steps of each kind on small crops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

import ssl3d
from ssl3d import ExperimentSpec

ROOT = Path(__file__).parents[1] / "examples"
PRESETS = sorted((ROOT / "presets").glob("*.py"))

# Small crops, in two of three residual networks an eighth of the channels, in the third an eighth
# of the decoder's, and a small Primus: what two cores can do ten steps of. Everything else is the
# preset's.
NARROW = [8, 16, 32, 40, 40, 40]
SMALL: dict[str, dict[str, Any]] = {
    "spark": {"data.patch": [32, 32, 64], "data.batch_size": 2, "decoder.width": 16},
    "s3d": {"data.patch": 64, "backbone.size": None, "backbone.widths": NARROW},
    "mae": {"data.patch": 64, "backbone.size": None, "backbone.widths": NARROW},
    "primus_mae": {
        "data.patch": 32,
        "backbone.size": None,
        "backbone.width": 72,
        "backbone.depth": 3,
        "backbone.heads": 6,
        "backbone.volume": 32,
        "decoder.heads": 6,
        "decoder.volume": 32,
    },
    "waveformer_paper": {
        "data.patch": 32,
        "data.normalise": "percentile",
        "backbone.image": 32,
        "backbone.widths": [6, 12, 24, 48],
    },
    "waveformer_mim": {"data.patch": 32, "data.normalise": "percentile"},
    "mim3": {"data.patch": 32, "data.normalise": "percentile"},  # crops of 64³, counts as published
    "pair": {"data.patch": 32},
}


@pytest.fixture(scope="session")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Volumes that fill the crops, so that as many cells are visible as the preset says."""
    folder = tmp_path_factory.mktemp("volumes")
    rng = np.random.default_rng(0)
    for i in range(4):
        voxels = rng.normal(size=(16, 16, 16)).repeat(4, 0).repeat(4, 1).repeat(4, 2)
        image = nibabel.Nifti1Image(voxels.astype(np.float32), np.eye(4))
        nibabel.save(image, folder / f"sub-{i // 2}_T{1 + i % 2}w.nii.gz")
    return folder


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_preset_round_trips(path: Path) -> None:
    spec = ExperimentSpec.load(path)
    assert ExperimentSpec.from_yaml(spec.to_yaml()) == spec


@pytest.mark.slow
@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore:.*visible sites", "ignore:.*one granularity")
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


def test_primus_mae_has_the_published_size() -> None:
    """PrimusM's encoder, and two blocks with a table of their own, token and way to voxels."""
    spec = ExperimentSpec.load(ROOT / "presets" / "primus_mae.py")
    with torch.device("meta"):
        model = spec.build()
    encoder, decoder = (
        sum(p.numel() for p in part.parameters()) for part in (model.backbone, model.decoder)
    )
    assert encoder == 150_997_536
    # EvaMAE of nnssl at commit 7044864: all that is not the encoder's, its up_projection included.
    assert decoder == 25_658_657
    assert (spec.data.patch, spec.target) == ((160, 160, 160), "voxels")
