"""`pair`: each of two volumes is seen in part, and both are restored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

import ssl3d
from ssl3d import ExperimentSpec
from ssl3d.masked.inputs import given_batch
from ssl3d.plugin.spec_error import SpecError
from ssl3d.testing.asks_nothing import asks_nothing

PARTS: dict[str, Any] = {
    "backbone": {"name": "waveformer", "widths": (8, 16), "depths": (1, 1), "heads": (1, 2)},
    "views": "pair",
}
DATA: dict[str, Any] = {"volumes": "none", "visit_by": r"(\d+)_", "patch": 16, "workers": 0}


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_each_is_seen_once_and_its_partner_stands_beside_it() -> None:
    model = ExperimentSpec(**PARTS, data=DATA).build()
    assert model.backbone.in_channels == 1
    volume = torch.rand(2, 2, 16, 16, 16, generator=generator())
    out = model(volume, generator=generator())
    (views,) = out.step.views
    assert views.prediction.shape == (4, 2, 16, 16, 16)
    assert torch.equal(views.batch.volume[0::2], volume)
    assert torch.equal(views.batch.volume[1::2], volume.flip(1))
    hidden = views.batch.hidden.levels[0]
    assert (hidden[0::2] != hidden[1::2]).flatten(1).any(1).all()
    assert hidden.flatten(1).sum(1).tolist() == [round(0.6 * 4**3)] * 4


def test_the_loss_is_the_mean_over_both_of_what_is_hidden() -> None:
    """Written as a loop over views, volumes and hidden cells."""
    model = ExperimentSpec(**PARTS, data=DATA, target="voxels").build()
    volume = torch.rand(2, 2, 16, 16, 16, generator=generator())
    out = model(volume, generator=generator())
    (views,) = out.step.views
    errors = []
    for row in range(4):
        cells = []
        for place in views.batch.hidden.levels[0][row].nonzero().tolist():
            box = tuple(slice(4 * p, 4 * p + 4) for p in place)
            for channel in range(2):  # itself, then its partner
                truth = volume[row // 2, channel if row % 2 == 0 else 1 - channel][box]
                cells.append((views.prediction[row, channel][box] - truth).square().mean())
        errors.append(torch.stack(cells).mean())
    torch.testing.assert_close(out.loss, torch.stack(errors).mean())


def test_a_step_asks_the_device_nothing() -> None:
    with torch.device("meta"):
        model = ExperimentSpec(**PARTS, data=DATA, losses=["mse", "info_nce"]).build()
    batch = given_batch(
        torch.rand(2, 2, 16, 16, 16),
        valid=None,
        hidden=None,
        views=model.views,
        masker=model.masker,
        generator=generator(),
    ).to("meta")
    with asks_nothing():
        model.step(batch, generator=generator()).loss.backward()


@pytest.mark.parametrize(
    ("views", "data", "path", "message"),
    [
        ("pair", {"visit_by": None}, "views", "say by data.visit_by, data.visit_file or a manif"),
        ("single", {}, "data.visit_by", "take views pair, or leave it out"),
        (
            "single",
            {"volumes": None, "visit_by": None, "manifest": "m", "columns": {"visit": "visit"}},
            "data.columns.visit",
            "take views pair, or leave it out",
        ),
    ],
)
def test_pairs_and_visits_belong_together(views, data, path: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        ExperimentSpec(**{**PARTS, "views": views}, data={**DATA, **data})
    ((where, what),) = caught.value.problems
    assert where == path
    assert message in what


def test_a_run_leaves_an_encoder_of_one_channel(tmp_path: Path) -> None:
    """With pictures, held-out numbers of both volumes, and a bitwise resume."""
    rng = np.random.default_rng(0)
    for visit in range(4):
        coarse = rng.normal(size=(5, 5, 5)).repeat(4, 0).repeat(4, 1).repeat(4, 2)
        for name, values in (("t1", coarse), ("t2", 2 - coarse)):
            image = nibabel.Nifti1Image(values.astype(np.float32), np.eye(4))
            nibabel.save(image, tmp_path / f"{visit}_{name}.nii.gz")
    data = {**DATA, "volumes": str(tmp_path), "holdout": 0.25, "cache": {"folder": str(tmp_path)}}
    trainer = {"steps": 4, "checkpoint_every": 2, "log_every": 1, "accelerator": "cpu"}
    spec = ExperimentSpec(**PARTS, data=data, trainer={**trainer, "pictures": 1, "loggers": ()})
    result = ssl3d.pretrain(spec, out=tmp_path / "run")
    assert result.step == 4
    assert result.held_out_loss is not None
    assert list((tmp_path / "run/pictures").glob("restored-*.png"))
    encoder = ssl3d.load_encoder(tmp_path / "run")
    assert encoder(torch.rand(1, 1, 16, 16, 16))[0].shape[1] == 8
    prepared = ssl3d.prepare_volume(tmp_path / "0_t1.nii.gz", tmp_path / "run")
    assert prepared.volume.shape[0] == 1
    last = tmp_path / "run/checkpoints/step-000000004.ckpt"
    before = torch.load(last, weights_only=True)["state_dict"]
    last.unlink()
    ssl3d.pretrain(spec, out=tmp_path / "run", resume=True)
    after = torch.load(last, weights_only=True)["state_dict"]
    assert all(torch.equal(value, after[name]) for name, value in before.items())
