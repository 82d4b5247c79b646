"""Where views lie, and what they are compared by."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ssl3d.geometry import Triple, show, times
from ssl3d.kinds.view import View
from ssl3d.kinds.views import Made
from ssl3d.sparse.hidden import described
from ssl3d.testing.check import require


def seen(made: Made) -> Iterator[tuple[str, View]]:
    """Every view, and what to call it."""
    for level, views in enumerate(made):
        for number, view in enumerate(views):
            yield f"view {number} of level {level}", view


def same(one: Made, other: Made) -> bool:
    """True where all tensors and places are equal."""
    pairs = list(zip((v for _, v in seen(one)), (v for _, v in seen(other)), strict=True))
    return all(
        _place(a) == _place(b) and all(map(torch.equal, _tensors(a), _tensors(b))) for a, b in pairs
    )


def _place(view: View) -> tuple[object, ...]:
    return (view.corner, view.extent, view.parent, view.parent_box)


def _tensors(view: View) -> tuple[Tensor, ...]:
    return (view.volume, view.valid, view.visible, *view.hidden)


def coordinates(view: View) -> Tensor:
    """(3, D, H, W): coordinates in the region of what the view's place and size say that it shows.

    Between the centres of voxels, and those of the outermost centres beyond them: what trilinear
    resampling makes of a volume of coordinates.
    """
    axes = []
    for corner, extent, size in zip(view.corner, view.extent, view.valid.shape, strict=True):
        inside = (torch.arange(size, dtype=torch.float64) + 0.5) * extent / size - 0.5
        axes.append((corner + inside.clamp(0, extent - 1)).float())
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


def require_is(tensor: Tensor, dtype: torch.dtype, shape: tuple[int, ...], *, name: str) -> None:
    """Raise AssertionError where a tensor is not of this type and shape on the CPU."""
    found = described(tensor)
    wanted = f"{dtype} of shape {tuple(shape)} on cpu"
    require(found == wanted, f"{name} is {found}, expected {wanted}")


def require_inside(child: View, parent: View, cell: Triple, *, hideable: Tensor, name: str) -> None:
    """Raise AssertionError where a child is not where its box says, or a cell there is shown.

    Args:
        child: a view.
        parent: the view that it lies in.
        cell: voxels per cell.
        hideable: (Gd, Gh, Gw) bool, cells of the parent that may be hidden.
        name: what to call the child.
    """
    assert child.parent_box is not None
    corner, extent = child.parent_box
    gd, gh, gw = parent.visible.shape
    grid = (gd, gh, gw)
    inside = all(
        c >= 0 and e >= 1 and c + e <= g for c, e, g in zip(corner, extent, grid, strict=True)
    )
    require(inside, f"{name}: {show(extent)} cells from {corner} leave the parent's {show(grid)}")
    box = tuple(slice(c, c + e) for c, e in zip(corner, extent, strict=True))
    hidden, may = parent.hidden[0][box], hideable[box]
    right = bool(hidden.any()) and bool((hidden | ~may).all())
    require(right, f"{name} lies in cells that its parent shows")
    for axis, edge in enumerate(times(grid, cell)):
        step = cell[axis] * parent.extent[axis] / edge  # voxels of the region in a parent's cell
        place = parent.corner[axis] + corner[axis] * step, extent[axis] * step
        given = child.corner[axis], child.extent[axis]
        require(place == given, f"{name} lies at {given} on axis {axis}, its box says {place}")
