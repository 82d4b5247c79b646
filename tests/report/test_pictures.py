"""Pictures, read back as pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from ssl3d.report.curves import BASELINE, HELD_OUT, TRAIN, draw_curves
from ssl3d.report.slices import (
    HIDDEN_COLOUR,
    LEVEL_COLOURS,
    PADDING_COLOUR,
    Restoration,
    draw_restoration,
)

Count = Callable[[Path, object], int]


@pytest.fixture
def count() -> Count:
    """How many pixels of a picture have a colour."""

    def count(path: Path, colour: object) -> int:
        pixels = imread(path)[..., :3]
        return int((np.abs(pixels - np.array(to_rgb(colour))) < 0.012).all(-1).sum())

    return count


def case(*, hidden: float = 0.5, valid: float = 1.0) -> Restoration:
    """A ramp whose first slices along x are hidden and whose last along y are padding."""
    size = (8, 12, 16)
    ramp = np.linspace(0, 1, 16, dtype=np.float32) * np.ones(size, np.float32)
    covered, inside = np.zeros(size, bool), np.ones(size, bool)
    covered[..., : int(16 * hidden)] = True
    inside[:, int(12 * valid) :] = False
    return Restoration(original=ramp, restored=ramp, valid=inside, hidden=[covered])


def draw(one: Restoration, folder: Path) -> Path:
    return draw_restoration(one, title="a case", note="a note", path=folder / "deep" / "a.png")


def test_what_is_hidden_is_covered_in_one_view_alone(tmp_path: Path, count: Count) -> None:
    """The middle of x is visible, so half of two planes of one view of three is covered."""
    covered = count(draw(case(hidden=0.5), tmp_path), HIDDEN_COLOUR)
    whole = count(draw(case(hidden=1.0), tmp_path), HIDDEN_COLOUR)
    assert count(draw(case(hidden=0.0), tmp_path), HIDDEN_COLOUR) == 0
    assert 0 < covered < whole


def test_padding_and_edges_have_their_colours(tmp_path: Path, count: Count) -> None:
    padded = count(draw(case(valid=0.5), tmp_path), PADDING_COLOUR)
    assert padded > 10_000 + count(draw(case(), tmp_path), PADDING_COLOUR)
    assert count(draw(case(), tmp_path), LEVEL_COLOURS[0]) > 50
    assert count(draw(case(hidden=0.0), tmp_path), LEVEL_COLOURS[0]) == 0


def test_constant_and_empty_volumes_can_be_drawn(tmp_path: Path) -> None:
    flat = np.full((4, 4, 4), 3.0, np.float32)
    none = np.zeros((4, 4, 4), bool)
    for valid in (~none, none):
        drawn = draw(Restoration(flat, flat, valid, [none]), tmp_path)
        assert drawn.stat().st_size > 0


def test_thick_slices_are_drawn_thick(tmp_path: Path) -> None:
    thin = Restoration(*[case().original] * 2, case().valid, case().hidden)
    thick = Restoration(*[case().original] * 2, case().valid, case().hidden, (5.0, 1.0, 1.0))
    heights = [imread(draw(one, tmp_path)).shape[0] for one in (thin, thick)]
    assert heights[1] > 2 * heights[0]


def test_curves(tmp_path: Path, count: Count) -> None:
    rows = [
        {"step": float(step), "train/mse": 2 - step / 10, "held_out/mse": 1.5, "probe/dice": 0.4}
        | {"held_out/mse/trivial": 1.0}
        for step in range(10)
    ]
    path = draw_curves(rows, labels=["mse"], path=tmp_path / "losses.png")
    assert all(count(path, colour) > 100 for colour in (TRAIN, HELD_OUT, BASELINE))
    assert imread(path).shape[1] > imread(path).shape[0] * 2  # two panels


def test_curves_of_nothing(tmp_path: Path) -> None:
    assert draw_curves([], labels=["mse", "l1"], path=tmp_path / "losses.png").exists()
