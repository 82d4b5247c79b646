"""A prepared volume that knows its way back to the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from nibabel.orientations import aff2axcodes, apply_orientation
from numpy.typing import NDArray
from torch import Tensor

from ssl3d.data.grid import SLAB, Box, Grid, oriented, resampled_near
from ssl3d.data.preparation import prepare
from ssl3d.data.read import target_grid
from ssl3d.data.scan import open_scan
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec


@dataclass(frozen=True, eq=False)
class PreparedVolume:
    """A volume as an encoder expects it. Axes are z, y, x: upwards, to the front, to the right.

    Attributes:
        volume: (C, D, H, W) float32, 0 where not valid.
        valid: (D, H, W) bool, False outside of the scan and where the file holds no number.
        spacing: (z, y, x) of `volume`, in mm.
        affine: (4, 4) from indices (x, y, z, 1) of `volume` to mm in RAS: x, y, z, so its axes are
            those of `volume` from the last to the first.
        source_shape: of the first file, along the file's own axes.
        source_affine: (4, 4) from indices along the file's own axes to mm in RAS.
        source_spacing: along the file's own axes, in mm.
        orientation: where the file's own axes point, such as "LPS".
    """

    volume: Tensor
    valid: Tensor
    spacing: tuple[float, float, float]
    affine: NDArray[np.float64]
    source_shape: tuple[int, int, int]
    source_affine: NDArray[np.float64]
    source_spacing: tuple[float, float, float]
    orientation: str

    def restore(
        self,
        values: Tensor | NDArray[Any],
        *,
        mode: Literal["nearest", "bilinear"] = "nearest",
        fill: float = 0.0,
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Values on the grid of the file.

        Args:
            values: (D, H, W) or (K, D, H, W), at the voxels of `volume`. Labels keep their type;
                they must be below 2^24.
            mode: "nearest" for labels, "bilinear" for what may be interpolated, such as
                probabilities: take their largest after this, not before.
            fill: for voxels of the file that lie outside of `volume`.

        Returns:
            (*source_shape) or (K, *source_shape), along the file's own axes, and `source_affine`.

        Raises:
            ValueError: `values` are not on the grid of `volume`.
        """
        if not isinstance(values, Tensor):
            values = torch.from_numpy(np.ascontiguousarray(values))
        array = values.detach().cpu()
        size = tuple(self.valid.shape)
        if array.dim() not in (3, 4) or tuple(array.shape[-3:]) != size:
            raise ValueError(
                f"values of shape {tuple(array.shape)}, but the volume has {size} voxels (z, y, "
                "x): give (D, H, W) or (K, D, H, W) of these"
            )
        channels = array if array.dim() == 4 else array[None]
        whole = np.empty((len(channels), *self.source_shape), dtype=array.numpy().dtype)
        for box, part in self.pieces(channels, mode=mode, fill=fill):
            whole[:, *box] = part
        return whole.reshape(*array.shape[:-3], *self.source_shape), self.source_affine

    def pieces(
        self, values: Tensor, *, mode: Literal["nearest", "bilinear"], fill: float
    ) -> Iterator[tuple[Box, NDArray[Any]]]:
        """What `restore` gives of values (K, D, H, W), piece by piece of the file.

        Each piece is small, whatever the file: what comes to less than the values, such as the
        likeliest of many classes, never needs them all.

        Yields:
            A box along the file's own axes, and the values (K, ...) in it, in single precision.
        """
        grid, turn = oriented(self.source_shape, self.source_affine)
        depth, height, width = values.shape[1:]
        own = Grid((width, height, depth), self.affine)
        same = own.shape == grid.shape and np.allclose(own.affine, grid.affine, atol=1e-6)
        turned = values.permute(0, 3, 2, 1)
        for part, slab in grid.slabs(max(1, SLAB // len(values))):
            if same:
                found = turned[:, part].float().numpy()
            else:
                found = resampled_near(turned, source=own, target=slab, mode=mode).numpy()
                found[~np.isfinite(found)] = fill
            every = [apply_orientation(one, _back(turn)) for one in found]
            yield _box_of(part, turn=turn, shape=self.source_shape), np.stack(every)


def prepare_on_grid(source: Source, *, spec: DataSpec) -> PreparedVolume:
    """Read, orient, resample and normalise one sample, and keep what leads back.

    Args:
        source: a file for each channel.
        spec: how it is prepared; it keeps volumes whole.

    Raises:
        BadVolume: the sample cannot be used.
    """
    assert spec.foreground.margin is None, "no encoder knows of one"
    values = torch.from_numpy(prepare(source, spec=spec).values)
    grid = target_grid(source, spacing=spec.spacing)
    scan = open_scan(source.files[0])
    valid = torch.isfinite(values).all(dim=0)
    x, y, z = map(float, grid.steps)
    i, j, k = scan.shape[:3]
    a, b, c = map(float, np.linalg.norm(scan.affine[:3, :3], axis=0))
    return PreparedVolume(
        torch.where(valid, values, 0.0),
        valid,
        spacing=(z, y, x),
        affine=grid.affine,
        source_shape=(i, j, k),
        source_affine=scan.affine,
        source_spacing=(a, b, c),
        orientation="".join(aff2axcodes(scan.affine)),
    )


def _back(turn: NDArray[np.float64]) -> NDArray[np.float64]:
    """What undoes `apply_orientation` with `turn`."""
    back = np.empty_like(turn)
    for axis, (to, flip) in enumerate(turn):
        back[int(to)] = axis, flip
    return back


def _box_of(part: slice, *, turn: NDArray[np.float64], shape: Sequence[int]) -> Box:
    """Where a part along x of the turned volume is along the file's own axes."""
    box = [slice(0, size) for size in shape]
    for axis, (to, flip) in enumerate(turn):
        if to == 0:
            size = shape[axis]
            box[axis] = part if flip > 0 else slice(size - part.stop, size - part.start)
    return tuple(box)
