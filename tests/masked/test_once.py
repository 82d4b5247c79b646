"""What a step needs of the hidden patches is made once for each level of views."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch

from ssl3d import ExperimentSpec
from ssl3d.masked import target
from ssl3d.masked.model import PretrainModel
from ssl3d.measure.image_quality import image_quality
from ssl3d.measure.losses import measured
from ssl3d.tasks.pretrain.module import measurable


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often patches were gathered and their statistics taken."""
    found: Counter[str] = Counter()

    def counted(name: str) -> Callable[..., Any]:
        original = getattr(target, name)

        def count(*args: Any, **options: Any) -> Any:
            found[name] += 1
            return original(*args, **options)

        return count

    for name in ("patch_statistics", "gather_patches"):
        monkeypatch.setattr(target, name, counted(name))
    return found


def build(views: str) -> PretrainModel:
    return ExperimentSpec(
        backbone={"name": "resunet", "widths": (4, 6), "blocks": (1, 1)},
        data={"volumes": "none", "patch": 16},
        masker={"name": "mim", "global_block": 1},
        losses=["mse", "l1"],
        views=views,
    ).build()


@pytest.mark.parametrize(("views", "levels"), [("single", 1), ("nested", 2)])
@pytest.mark.parametrize("padded", [False, True])
def test_in_a_training_step(calls: Counter[str], views: str, levels: int, padded: bool) -> None:
    """Prediction, target and, where there is padding, what is valid are gathered: once each."""
    model, valid = build(views), torch.ones(2, 16, 16, 16, dtype=torch.bool)
    valid[0, 0] = not padded
    out = model(torch.rand(2, 1, 16, 16, 16), valid=valid, generator=torch.Generator())
    out.loss.backward()
    measurable(model, out.step)
    expected = {"patch_statistics": levels, "gather_patches": levels * (3 if padded else 2)}
    assert calls == expected


@pytest.mark.parametrize(("views", "levels"), [("single", 1), ("nested", 2)])
def test_in_a_held_out_measurement_with_images(
    calls: Counter[str], views: str, levels: int
) -> None:
    model = build(views).eval()
    with torch.no_grad():
        out = model(torch.rand(1, 1, 16, 16, 16), generator=torch.Generator())
    measured(out, model=model, images=True)
    list(image_quality(out.step.views[0]))
    assert calls == {"patch_statistics": levels, "gather_patches": 2 * levels}
