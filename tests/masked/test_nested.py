"""Nested views against the passes that they replaced, written down naively."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ssl3d import ExperimentSpec
from ssl3d.masked.model import PretrainModel
from ssl3d.sparse import HiddenLevels

WEIGHTS = (1.0, 3.0)
PARTS: dict[str, Any] = {
    "backbone": {"name": "resunet", "widths": (4, 6), "blocks": (1, 1)},
    "data": {"volumes": "none", "patch": 16},
    "masker": {"name": "mim", "global_block": 1, "level_weights": WEIGHTS},
    "losses": ["mse", {"name": "l1", "weight": 0.5}],
}


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def build(**parts: Any) -> PretrainModel:
    return ExperimentSpec(**{**PARTS, **parts}).build().double()


def crops() -> tuple[Tensor, Tensor]:
    """Two volumes, the second with padding."""
    valid = torch.ones(2, 16, 16, 16, dtype=torch.bool)
    valid[1, :, :, 10:] = False
    return torch.rand(2, 1, 16, 16, 16, generator=generator(), dtype=torch.float64), valid


def gradients(model: PretrainModel, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


@pytest.mark.parametrize("encoder_input", ["visible", "zeroed"])
@pytest.mark.parametrize("target", ["patch_normalised", "voxels"])
def test_the_loss_is_that_of_one_pass_for_each_level(encoder_input: str, target: str) -> None:
    """Each pass hid one level of the same draw alone; their losses had the levels' weights."""
    parts = {"encoder_input": encoder_input, "target": target}
    nested, single = build(views="nested", **parts), build(**parts)
    single.load_state_dict(nested.state_dict())
    volume, valid = crops()
    out = nested(volume, valid=valid, generator=generator())
    draw = single(volume, valid=valid, generator=generator()).levels
    assert len(draw.levels) == len(out.step.views) == 2
    total, parts_of = torch.zeros((), dtype=torch.float64), []
    for weight, level, view in zip(WEIGHTS, draw.levels, out.step.views, strict=True):
        assert torch.equal(view.batch.hidden.levels[0], level)
        one = single(volume, valid=valid, hidden=HiddenLevels((level,)))
        total = total + weight * (one.losses["mse"] + 0.5 * one.losses["l1"]) / sum(WEIGHTS)
        parts_of.append({label: value.item() for label, value in one.losses.items()})
        torch.testing.assert_close(view.prediction, one.prediction)
    torch.testing.assert_close(out.loss, total)
    assert out.loss.item() > 0
    for i, part in enumerate(parts_of):
        for label, value in part.items():
            assert float(out.metrics[f"{label}/view{i}"]) == pytest.approx(value, rel=1e-12)
    pairs = zip(gradients(nested, out.loss), gradients(single, total), strict=True)
    for mine, theirs in pairs:
        torch.testing.assert_close(mine, theirs)


def test_levels_share_their_voxels() -> None:
    volume, valid = crops()
    views = build(views="nested")(volume, valid=valid, generator=generator()).step.batch.views
    assert views[0].volume is views[1].volume
    assert views[0].valid is views[1].valid
    assert [view.level.weight for view in views] == list(WEIGHTS)
