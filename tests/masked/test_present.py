"""Channels that a sample lacks: neither seen nor restored, whatever the target."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ssl3d import ExperimentSpec
from ssl3d.masked.model import PretrainModel
from ssl3d.masked.output import PretrainOutput
from ssl3d.measure.image_quality import image_quality
from ssl3d.measure.losses import measured
from ssl3d.sparse import split_cells

PRESENT = torch.tensor([[True, True, True], [True, False, True], [False, False, True]])
TARGETS = [
    {"target": "patch_normalised"},
    {"target": "patch_normalised", "normalisation": {"channels": "joint", "unbiased": True}},
    {"target": "voxels"},
]


def model_of(**parts: Any) -> PretrainModel:
    spec = ExperimentSpec(
        backbone={"name": "waveformer", "widths": (8, 16), "depths": (1, 1), "heads": (1, 2)},
        data={"channels": {name: f"*{name}" for name in "abc"}, "patch": 16},
        **{"losses": ["mse", "l1"], **parts},
    )
    return spec.build().eval()


def given() -> tuple[Tensor, Tensor]:
    """Volumes with values everywhere, and what is valid of them."""
    random = torch.Generator().manual_seed(0)
    volume = torch.rand(3, 3, 16, 16, 16, generator=random)
    valid = torch.ones(3, 16, 16, 16, dtype=torch.bool)
    valid[0, 13:] = False
    return volume, valid


def run(model: PretrainModel, volume: Tensor, **options: Any) -> PretrainOutput:
    generator = torch.Generator().manual_seed(1)
    return model(volume, generator=generator, **options)


@pytest.mark.parametrize("parts", TARGETS)
def test_the_loss_is_that_over_the_channels_that_are_there(parts: dict[str, Any]) -> None:
    """Against one that is computed voxel by voxel, patch by patch."""
    model, (volume, valid) = model_of(**parts), given()
    output = run(model, volume, valid=valid, present=PRESENT)
    cell = model.cell
    predicted = split_cells(output.prediction.detach(), cell=cell).flatten(1, 3).double()
    truth = split_cells(volume, cell=cell).flatten(1, 3).double()
    shown = split_cells(valid[:, None], cell=cell).flatten(1)
    hidden = output.levels.levels[0].flatten(1)
    rows = []
    for row, present in enumerate(PRESENT):
        errors = []
        for number in hidden[row].nonzero().flatten().tolist():
            at = row * hidden.shape[1] + number
            own = truth[at][shown[at]][:, present]
            guess = predicted[at][shown[at]][:, present]
            if parts["target"] == "patch_normalised":
                joint = "normalisation" in parts
                axes = (0, 1) if joint else (0,)
                mean = own.mean(axes, keepdim=True)
                variance = own.var(axes, keepdim=True, correction=int(joint))
                own = (own - mean) / (variance + 1e-6).sqrt()
            errors.append((guess - own).square().mean())
        rows.append(torch.stack(errors).mean())
    assert output.losses["mse"].item() == pytest.approx(torch.stack(rows).mean().item(), rel=1e-4)


@pytest.mark.parametrize("parts", TARGETS)
@pytest.mark.parametrize("by", ["noise", "NaN"])
def test_nothing_of_an_absent_channel_is_seen_or_restored(parts: dict[str, Any], by: str) -> None:
    model, (volume, valid) = model_of(**parts), given()
    one = run(model, volume, valid=valid, present=PRESENT)
    other = volume.masked_fill(~PRESENT[:, :, None, None, None], torch.nan if by == "NaN" else 5)
    again = run(model, other, valid=valid, present=PRESENT)
    assert torch.equal(one.prediction, again.prediction)
    assert all(torch.equal(one.numbers[name], again.numbers[name]) for name in one.numbers)
    one.loss.backward()
    assert measured(one, model=model) == measured(again, model=model)
    patches = one.step.views[0].patches
    absent = ~PRESENT[patches.positions // one.levels.levels[0][0].numel()]
    assert not patches.scored.any(1)[absent].any()
    assert patches.scored.any(1)[~absent].all()


def test_the_prediction_of_an_absent_channel_has_no_gradient() -> None:
    model, (volume, valid) = model_of(target="voxels"), given()
    output = run(model, volume, valid=valid, present=PRESENT)
    (gradient,) = torch.autograd.grad(output.loss, output.prediction)
    assert not gradient[~PRESENT].any()
    assert gradient[PRESENT].flatten(1).any(1).all()


def test_no_number_of_image_quality_is_of_an_absent_channel() -> None:
    model, (volume, valid) = model_of(target="voxels"), given()
    view = run(model, volume, valid=valid, present=PRESENT).step.views[0]
    found = [bool(numbers) for numbers in image_quality(view)]
    assert found == PRESENT.flatten().tolist()


def test_all_present_is_as_if_nothing_was_said() -> None:
    model, (volume, valid) = model_of(), given()
    one = run(model, volume, valid=valid)
    other = run(model, volume, valid=valid, present=torch.ones_like(PRESENT))
    assert other.step.views[0].batch.present is None
    assert torch.equal(one.loss, other.loss)


def test_what_present_must_be() -> None:
    model, (volume, _) = model_of(), given()
    with pytest.raises(ValueError, match=r"present must be boolean of shape \(3, 3\)"):
        run(model, volume, present=PRESENT[:, :2])
    with pytest.raises(ValueError, match="a sample has no channel at all"):
        run(model, volume, present=torch.zeros_like(PRESENT))
