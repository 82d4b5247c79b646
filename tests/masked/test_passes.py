"""Views that are encoded some at a time give the gradients of all at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ssl3d import ExperimentSpec
from ssl3d.masked.inputs import given_batch
from ssl3d.masked.model import PretrainModel
from ssl3d.plugin.spec_error import SpecError
from ssl3d.sparse import CellGrid
from ssl3d.tasks.pretrain.summary import print_summary, summarise
from ssl3d.testing.asks_nothing import asks_nothing

PARTS: dict[str, Any] = {
    "backbone": {"name": "resunet", "widths": (4, 6), "blocks": (1, 1)},
    "data": {"volumes": "none", "patch": 8},
    "views": "mask_in_mask",
    "decoder": "unet",
    "losses": [
        {"name": "mse", "weight": 3.0},
        {"name": "info_nce", "between": "views", "weight": 0.2, "width": 8},
        {"name": "info_nce", "label": "of stages", "width": 8, "samples": 8},
    ],
}


def gradients(*, at_once: int | None, **parts: Any) -> tuple[dict[str, Tensor], list[Tensor]]:
    model = ExperimentSpec(**{**PARTS, **parts}, views_at_once=at_once).build().double()
    random = torch.Generator().manual_seed(0)
    volume = torch.rand(2, 1, 16, 16, 16, generator=random, dtype=torch.float64)
    valid = torch.ones(2, 16, 16, 16, dtype=torch.bool)
    valid[1, :, :, 11:] = False
    out = model(volume, valid=valid, generator=random)
    return dict(out.numbers), list(torch.autograd.grad(out.loss, list(model.parameters())))


@pytest.mark.parametrize("encoder_input", ["visible", "zeroed"])
def test_gradients_are_equal(encoder_input: str) -> None:
    """Parts of one view, and of five, which no level is a multiple of."""
    numbers, whole = gradients(at_once=None, encoder_input=encoder_input)
    assert numbers["mse/view2"] > 0
    for at_once in (1, 5):
        same, parts = gradients(at_once=at_once, encoder_input=encoder_input)
        torch.testing.assert_close(same, numbers)
        torch.testing.assert_close(parts, whole)


def test_a_part_of_a_grid_is_the_grid_of_these_rows() -> None:
    visible = torch.rand(5, 2, 3, 2, generator=torch.Generator().manual_seed(0)) < 0.4
    visible[3] = False
    whole = CellGrid(visible, cell=(2, 2, 2)).prepared()
    for first, last in ((0, 2), (2, 5), (3, 4), (1, 9)):
        part, alone = whole.part(first, last), CellGrid(visible[first:last], cell=(2, 2, 2))
        for name in ("visible", "positions", "cell_coordinates", "rows", "neighbours"):
            assert torch.equal(getattr(part, name), getattr(alone, name)), name
        assert (part.counts, part.n, part.grid) == (alone.counts, alone.n, alone.grid)


def build(**parts: Any) -> PretrainModel:
    return ExperimentSpec(**{**PARTS, **parts}).build()


def test_the_device_is_asked_nothing() -> None:
    with torch.device("meta"):
        model = build(views_at_once=3)
    batch = given_batch(
        torch.rand(2, 1, 16, 16, 16),
        valid=None,
        hidden=None,
        views=model.views,
        masker=model.masker,
        generator=torch.Generator(),
    ).to("meta")
    with asks_nothing():
        model.step(batch, generator=torch.Generator()).loss.backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    ("parts", "who"),
    [
        ({"decoder": "spark"}, "decoder"),
        ({"backbone": {**PARTS["backbone"], "norm": "batch"}}, "backbone"),
    ],
)
def test_norms_over_the_batch_are_refused(parts: dict[str, Any], who: str) -> None:
    build(**parts)
    with pytest.raises(SpecError, match=f"views_at_once: the {who} has batch norm"):
        build(**parts, views_at_once=4)


def test_a_dry_run_says_passes_cost_and_memory(capsys: pytest.CaptureFixture[str]) -> None:
    whole = summarise(ExperimentSpec(**PARTS))
    assert whole.passes == (1, 4, 16)
    assert whole.encoded == 21 * 4**3
    assert 0.3 < whole.visible / whole.encoded < 0.6
    fewer = summarise(ExperimentSpec(**PARTS, views_at_once=1))
    assert fewer.visible == whole.visible
    assert fewer.activations < 0.5 * whole.activations
    print_summary(ExperimentSpec(**PARTS))
    said = " ".join(capsys.readouterr().out.split())
    assert "21 of the encoder a crop (1 + 4 + 16)" in said
    assert f"as many as those of {whole.visible / 64:.3g} crops" in said


@pytest.mark.filterwarnings("ignore:masker.global_block")
def test_a_dry_run_says_that_nested_is_two_passes(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary(ExperimentSpec(**{**PARTS, "views": "nested", "losses": ["mse"]}, masker="mim"))
    assert "2 of the encoder a crop (1 + 1)" in " ".join(capsys.readouterr().out.split())
