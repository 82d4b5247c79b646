"""Pictures, read back as pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread

from ssl3d.report.anatomy import place_in_patient, spacing_of
from ssl3d.report.curves import BASELINE, HELD_OUT, TRAIN, Rows, draw_curves
from ssl3d.report.restored_crop import RestoredCrop
from ssl3d.report.slices import (
    HIDDEN_COLOUR,
    LEVEL_COLOURS,
    PADDING_COLOUR,
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


def case(*, hidden: float = 0.5, valid: float = 1.0) -> RestoredCrop:
    """A ramp whose first slices along x are hidden and whose last along y are padding."""
    size = (8, 12, 16)
    ramp = np.linspace(0, 1, 16, dtype=np.float32) * np.ones(size, np.float32)
    covered, inside = np.zeros(size, bool), np.ones(size, bool)
    covered[..., : int(16 * hidden)] = True
    inside[:, int(12 * valid) :] = False
    return RestoredCrop(original=ramp, restored=ramp, valid=inside, hidden=[covered])


def draw(one: RestoredCrop, folder: Path) -> Path:
    path = folder / "deep" / "a.png"
    return draw_restoration(one, title="a case", numbers="none", note="a note", path=path)


def test_what_is_hidden_is_covered_in_one_view_alone(tmp_path: Path, count: Count) -> None:
    """The middle of x is visible, so half of two planes of one view of four is covered."""
    none, covered, whole = (
        count(draw(case(hidden=share), tmp_path), HIDDEN_COLOUR) for share in (0.0, 0.5, 1.0)
    )
    assert 0 < none < 1_000, "the legend's patch alone"
    assert none + 10_000 < covered < whole


def test_padding_and_edges_have_their_colours(tmp_path: Path, count: Count) -> None:
    padded = count(draw(case(valid=0.5), tmp_path), PADDING_COLOUR)
    assert padded > 10_000 + count(draw(case(), tmp_path), PADDING_COLOUR)
    legend = count(draw(case(hidden=0.0), tmp_path), LEVEL_COLOURS[0])
    assert 0 < legend < 100
    assert count(draw(case(), tmp_path), LEVEL_COLOURS[0]) > legend + 50


def test_constant_and_empty_volumes_can_be_drawn(tmp_path: Path) -> None:
    flat = np.full((4, 4, 4), 3.0, np.float32)
    none = np.zeros((4, 4, 4), bool)
    for valid in (~none, none):
        drawn = draw(RestoredCrop(flat, flat, valid, [none]), tmp_path)
        assert drawn.stat().st_size > 0


def test_thick_slices_are_drawn_thick(tmp_path: Path) -> None:
    thin = case()
    thick = replace(case(), affine=np.diag([1.0, 1.0, 5.0, 1.0]))
    assert thick.spacing == (5.0, 1.0, 1.0)
    heights = [imread(draw(one, tmp_path)).shape[0] for one in (thin, thick)]
    assert heights[1] > 2 * heights[0]


def test_a_shrunk_crop_says_where_it_lies_in_the_volume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    affine = np.diag([1.0, 1.0, 5.0, 1.0])
    one = replace(case(), affine=affine, shrink=(1, 2, 2), corner=(3, 4, 5))
    assert one.spacing == (5.0, 2.0, 2.0)
    assert one.place((0, 0, 1)) == [3, 5, 8]
    titles: list[str] = []
    monkeypatch.setattr(Figure, "suptitle", lambda _, text, **__: titles.append(text))
    draw(one, tmp_path)
    z, y, x = one.place([one.middle(axis) for axis in range(3)])
    assert f"z y x = {z} {y} {x} of the volume as it was prepared, shrunk 1 × 2 × 2" in titles[0]
    assert "(5 × 1 × 1 mm, z y x)" in titles[0]


def test_the_patients_right_is_on_the_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last columns along x are drawn first, and the letters stand where they belong."""
    (axial, coronal, sagittal) = (row[0] for row in _panels(monkeypatch, tmp_path))
    for axes, letters in ((axial, "RLPA"), (coronal, "RLIS"), (sagittal, "APIS")):
        left, right = axes.get_xlim()
        bottom, top = axes.get_ylim()
        assert left > right, "the last column, to the right or the front, is on the left"
        assert bottom < top
        assert {text.get_text(): text.get_position() for text in axes.texts} == {
            letters[0]: (0.03, 0.5),
            letters[1]: (0.97, 0.5),
            letters[2]: (0.5, 0.03),
            letters[3]: (0.5, 0.97),
        }


def _panels(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[list[Axes]]:
    """The axes of a picture, three rows of four."""
    found: list[Axes] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: found.extend(figure.axes))
    draw(case(), folder)
    return [found[row : row + 4] for row in (0, 4, 8)]


def test_places_have_sides() -> None:
    affine = np.diag([-2.0, 1.0, 3.0, 1.0])
    affine[:3, 3] = (10.0, -4.0, 0.5)
    assert place_in_patient(affine, (1, 2, 20)) == "30.0 mm L, 2.0 mm P, 3.5 mm S"
    assert spacing_of(affine) == (3.0, 1.0, 2.0)


def axis_of(monkeypatch: pytest.MonkeyPatch, rows: Rows, path: Path) -> list[tuple[float, float]]:
    """Limits of the panels' y axes."""
    found: list[tuple[float, float]] = []
    save = Figure.savefig

    def keep(figure: Figure, *args: object, **options: object) -> None:
        found.extend(axes.get_ylim() for axes in figure.axes)
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    draw_curves(rows, labels=["mse"], path=path)
    return found


def test_axes_do_not_fit_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of a percent looks like one."""
    rows = [
        {"step": float(i), "held_out/mse": 0.99 + 0.01 * (i % 2), "probe/dice": 0.40 + 0.01 * i}
        | {"held_out/mse/trivial": 1.2}
        for i in range(4)
    ]
    (low, high), dice = axis_of(monkeypatch, rows, tmp_path / "a.png")
    assert low == 0
    assert 1.2 < high < 1.5
    assert dice == (0, 1)
    below = [{"step": 0.0, "held_out/mse": -1.0}, {"step": 1.0, "held_out/mse": 1.0}]
    assert axis_of(monkeypatch, below, tmp_path / "a.png")[0][0] < -1


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
