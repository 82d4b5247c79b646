"""MinkowskiEngine's coordinate maps for a grid of cells; `CellGrid.table` keeps them."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from MinkowskiEngine import CoordinateManager, KernelGenerator, is_cuda_available
from MinkowskiEngineBackend._C import CoordinateMapType
from torch import Tensor

from ssl3d.geometry import Triple, quotient
from ssl3d.sparse import CellGrid


class Sites(NamedTuple):
    """The visible sites of one stage as the library knows them.

    `order` are our rows in its order and `back` its rows in ours; None where they agree.
    """

    key: Any
    order: Tensor | None
    back: Tensor | None

    def give(self, rows: Tensor) -> Tensor:
        """Our rows in the library's order."""
        return rows if self.order is None else rows.index_select(0, self.order)

    def take(self, rows: Tensor) -> Tensor:
        """The library's rows in our order."""
        return rows if self.back is None else rows.index_select(0, self.back)


def manager_of(cells: CellGrid) -> Any:
    """The coordinate manager of a grid: it keeps every kernel map, for the backward pass too."""
    return _manager(cells.visible.device)


def _manager(device: torch.device) -> Any:
    if device.type == "cuda" and not is_cuda_available():
        raise ValueError(
            "the volume is on a GPU and the installed MinkowskiEngine was built for CPUs only: run "
            "`ssl3d install minkowski --cuda`, or take the backend 'cells'"
        )
    kind = CoordinateMapType.CUDA if device.type == "cuda" else CoordinateMapType.CPU
    # 0 leaves the process's number of threads alone; any other number sets it for all of torch.
    return CoordinateManager(D=3, num_threads=0, coordinate_map_type=kind)


def sites_of(cells: CellGrid, *, stride: Triple) -> Sites:
    """The sites of a stage, entered into the manager."""
    coordinates = cells.coordinates(stride)
    # The library counts coordinates in voxels at every stage.
    step = torch.tensor((1, *stride), dtype=torch.int32, device=coordinates.device)
    voxels = (coordinates * step).contiguous()
    key, (order, back) = cells.table(manager_of).insert_and_map(voxels, list(stride), "")
    assert len(order) == len(voxels), "MinkowskiEngine drops duplicates; cells have none"
    order = order.long()
    if torch.equal(order, torch.arange(len(order), device=order.device)):
        return Sites(key, None, None)
    return Sites(key, order, back.long())


def kernel_map(
    cells: CellGrid, *, fine: Triple, coarse: Triple, kernel: Triple, pool: bool
) -> dict[int, Tensor]:
    """The map between two stages: place in the kernel to (2, n) fine and coarse rows.

    Built by one thread: several list its pairs in another order each time, and the weight's
    gradient would differ by it. The library finds it again for convolutions in both directions.
    """
    source, target = cells.table(sites_of, stride=fine), cells.table(sites_of, stride=coarse)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found: dict[int, Tensor] = cells.table(manager_of).kernel_map(
            source.key,
            target.key,
            stride=list(quotient(coarse, fine)),
            kernel_size=list(kernel),
            dilation=1,
            is_pool=pool,
        )
    finally:
        torch.set_num_threads(threads)
    return found


def kernel_generator(kernel: Triple, *, stride: Triple) -> Any:
    """The region of a kernel: centred where odd, from 0 up where even."""
    return KernelGenerator(kernel_size=list(kernel), stride=list(stride), dilation=1, dimension=3)
