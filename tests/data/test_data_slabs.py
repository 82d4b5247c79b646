"""Large volumes are resampled slab by slab: the same values, whatever the size of a slab."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from ssl3d.data import grid, on_grid
from ssl3d.data.grid import Grid, resample
from ssl3d.data.on_grid import PreparedVolume

SIZE = (9, 8, 7)
ORIENTATIONS = list(itertools.permutations(range(3)))


def turned(angle: float, *steps: float) -> np.ndarray:
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine[:3, :3] = affine[:3, :3] @ np.diag(steps)
    return affine


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("angle", [0.0, 0.3])
def test_slabs_give_what_one_piece_gives(
    mode, angle: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = torch.randn(2, *SIZE, generator=torch.Generator().manual_seed(0))
    values[0, 4, 4, 4] = torch.nan
    source = Grid(SIZE, turned(angle, 1.0, 1.5, 2.0))
    target = Grid((21, 17, 19), turned(-angle / 2, 0.7, 0.7, 0.7))
    target.affine[:3, 3] = (-3.01, 1.02, -2.03)  # parts of it lie outside on every side
    whole = resample(values, source=source, target=target, mode=mode)
    assert bool(whole[1].isnan().any())
    assert whole[0].isnan().sum() > whole[1].isnan().sum()
    sizes = []
    near = grid.resampled_near
    monkeypatch.setattr(
        grid,
        "resampled_near",
        lambda *a, **b: sizes.append(b["target"].shape) or near(*a, **b),
    )
    for voxels in (1, 17 * 19 * 4, 17 * 19 * 20):
        monkeypatch.setattr(grid, "SLAB", voxels)
        found = resample(values, source=source, target=target, mode=mode)
        torch.testing.assert_close(found, whole, equal_nan=True, rtol=0, atol=1e-4)
        assert max(map(np.prod, sizes)) <= max(voxels, 17 * 19)
        sizes.clear()


@pytest.mark.parametrize("order", ORIENTATIONS)
@pytest.mark.parametrize("side", [1, -1])
def test_pieces_of_a_file_lie_where_they_belong(order, side: int, monkeypatch) -> None:
    affine = turned(0.2, 1.0, 1.0, 1.0)
    axes = side * np.diag([1.0, -1.0, 1.0])[:, order]
    affine[:3, :3] = affine[:3, :3] @ axes @ np.diag([0.8, 1.0, 2.5])
    shape = (11, 12, 6)
    own, _ = grid.oriented(shape, affine)
    coarse = own.resampled((1.5, 1.5, 1.5))
    x, y, z = coarse.shape
    prepared = PreparedVolume(
        torch.zeros(1, z, y, x),
        torch.ones(z, y, x, dtype=torch.bool),
        spacing=(1.5, 1.5, 1.5),
        affine=coarse.affine,
        source_shape=shape,
        source_affine=affine,
        source_spacing=(0.8, 1.0, 2.5),
        orientation="any",
    )
    values = torch.rand(3, z, y, x, generator=torch.Generator().manual_seed(1))
    whole, _ = prepared.restore(values, mode="bilinear", fill=-1.0)
    assert whole.shape == (3, *shape)
    monkeypatch.setattr(on_grid, "SLAB", 3 * 30)
    count = np.zeros(shape, int)
    for box, part in prepared.pieces(values, mode="bilinear", fill=-1.0):
        assert part.size <= 3 * max(12 * 6, 11 * 6, 11 * 12)
        np.testing.assert_allclose(part, whole[:, *box], atol=1e-4)
        count[box] += 1
    assert (count == 1).all()
    again, _ = prepared.restore(values, mode="bilinear", fill=-1.0)
    np.testing.assert_allclose(again, whole, atol=1e-4)


def test_labels_keep_their_type() -> None:
    volume = torch.zeros(1, 4, 4, 4)
    kept = {"source_shape": (4, 4, 4), "source_affine": np.diag([-1.0, 1.0, 1.0, 1.0])}
    affine = np.eye(4)
    affine[0, 3] = -3.0
    prepared = PreparedVolume(
        volume, volume[0] == 0, (1, 1, 1), affine, source_spacing=(1, 1, 1), orientation="L", **kept
    )
    for kind in (np.uint8, np.uint16, np.int64, np.float64, np.bool_):
        values = np.arange(64).reshape(4, 4, 4)[::-1].astype(kind)
        found, _ = prepared.restore(values)
        assert found.dtype == kind
        assert np.array_equal(found, values.transpose(2, 1, 0)[::-1])
