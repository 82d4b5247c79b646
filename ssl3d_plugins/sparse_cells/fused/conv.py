"""Launches the fused kernels: a convolution down, back up, and the gradient of its weight."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ssl3d.geometry import Operation, Triple, product, quotient, times
from ssl3d.sparse import CellGrid
from ssl3d.sparse.tables import reach_down, reach_up
from ssl3d_plugins.sparse_cells.fused.blocks import (
    Blocks,
    ceil,
    correlate_blocks,
    gather_blocks,
    parts_of,
)

FEW = 16
"""Fewer channels than this are multiplied for several places of the kernel at once."""

DTYPES = (torch.bfloat16, torch.float16, torch.float32)


def fits(op: Operation, *, edge: Triple, dtype: torch.dtype) -> bool:
    """True where the kernels compute `op` on cells of `edge`: no groups, no site past a neighbour.

    The table of neighbouring cells alone must say where every site lies.
    """
    if op.groups != 1 or dtype not in DTYPES:
        return False
    coarse = quotient(edge, op.stride) if op.kind == "conv3d" else edge
    sides = (reach_down(op.footprint), times(coarse, op.stride)), (reach_up(op.footprint), coarse)
    return all(
        max(low, high) <= sites
        for reach, side in sides
        for low, high, sites in zip(*reach, side, strict=True)
    )


def down(
    fine: Tensor, weight: Tensor, bias: Tensor | None, *, cells: CellGrid, op: Operation
) -> Tensor:
    """(N, e…, I) and a weight (O, I, k…) to (N, O, e/s…)."""
    o, i = weight.shape[:2]
    edge, places = _edge(fine), product(op.kernel)
    coarse = quotient(edge, op.stride)
    y = _empty(fine, channels=o, edge=coarse)
    strides = {"C": i, "O": o, "WC": 1, "WT": i, "WO": places * i}
    _gather(fine, weight, bias, y, cells=cells, op=op, coarse=coarse, up=False, strides=strides)
    return y


def up(
    coarse: Tensor, weight: Tensor, bias: Tensor | None, *, cells: CellGrid, op: Operation
) -> Tensor:
    """(N, e…, O) and a weight (O, I, k…) to (N, I, e·s…)."""
    o, i = weight.shape[:2]
    edge, places = _edge(coarse), product(op.kernel)
    x = _empty(coarse, channels=i, edge=times(edge, op.stride))
    strides = {"C": o, "O": i, "WC": places * i, "WT": i, "WO": 1}
    _gather(coarse, weight, bias, x, cells=cells, op=op, coarse=edge, up=True, strides=strides)
    return x


def weight_gradient(
    fine: Tensor, coarse: Tensor, weight: Tensor, *, cells: CellGrid, op: Operation
) -> Tensor:
    """Gradient of `weight` from fine and coarse sites, one of them a gradient itself."""
    from ssl3d_plugins.sparse_cells.fused import kernels

    o, i = weight.shape[:2]
    places, edge = product(op.kernel), _edge(coarse)
    sites = cells.n * product(edge)
    columns = i if i >= FEW else places * i
    blocks = correlate_blocks(columns=columns, outputs=o, exact=_exact(fine))
    tiles = ceil(columns, blocks.k) * ceil(o, blocks.n) * (places if i >= FEW else 1)
    parts = parts_of(sites, tiles=tiles, block=blocks.m)
    share = ceil(ceil(sites, parts), blocks.m) * blocks.m
    sums = fine.new_empty(parts, o, places * i, dtype=torch.float32)
    with torch.cuda.device(fine.device if fine.is_cuda else -1):
        kernels.correlate[tiles, parts](
            fine.contiguous(), coarse.contiguous(), sums, cells.neighbours, cells.n, sites, share,
            C=i, O=o, **_geometry(op, read=_edge(fine), coarse=edge), **_launch(fine, blocks),
        )  # fmt: skip
    taps = sums.sum(0).view(o, *op.kernel, i).to(weight.dtype)
    return taps.permute(0, 4, 1, 2, 3)


def _gather(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    y: Tensor,
    *,
    cells: CellGrid,
    op: Operation,
    coarse: Triple,
    up: bool,
    strides: dict[str, int],
) -> None:
    """Write `y` (N, channels, e…), channels-last in memory; `strides` are those of the weight."""
    from ssl3d_plugins.sparse_cells.fused import kernels

    channels, outputs = strides["C"], strides["O"]
    sites = cells.n * product(coarse)
    remainders = product(op.stride) if up else 1
    columns = channels if channels >= FEW else product(op.kernel) * channels
    blocks = gather_blocks(
        sites=sites * remainders, columns=columns, outputs=outputs, exact=_exact(x)
    )
    grid = (ceil(sites, blocks.m) * ceil(outputs, blocks.n), remainders)
    taps = weight.contiguous(memory_format=torch.channels_last_3d)  # mostly as it is
    with torch.cuda.device(x.device if x.is_cuda else -1):
        kernels.gather[grid](
            x.contiguous(), taps, taps if bias is None else bias, y, cells.neighbours, cells.n,
            sites, **strides, **_geometry(op, read=_edge(x), coarse=coarse), UP=up,
            BIAS=bias is not None, **_launch(x, blocks),
        )  # fmt: skip


def _geometry(op: Operation, *, read: Triple, coarse: Triple) -> dict[str, int]:
    """Sizes per axis, by the names of the kernels."""
    sizes = {"I": read, "Q": coarse, "K": op.kernel, "S": op.stride, "P": op.padding}
    return {
        f"{name}{axis}": size
        for name, triple in sizes.items()
        for axis, size in zip("ZYX", triple, strict=True)
    }


def _launch(x: Tensor, blocks: Blocks) -> dict[str, Any]:
    """Blocks and precision, by the names of the kernels.

    Without a GPU Triton interprets them, and computes products of bfloat16 wrongly.
    """
    return {
        "PRECISION": "tf32" if x.dtype == torch.float32 and not _exact(x) else "ieee",
        "SINGLE": not x.is_cuda,
        "BM": blocks.m,
        "BN": blocks.n,
        "BK": blocks.k,
        "num_warps": blocks.warps,
        "num_stages": blocks.stages,
    }


def _exact(x: Tensor) -> bool:
    """True where products are in single precision: as torch's convolutions, TF32 where allowed."""
    return x.dtype == torch.float32 and not (x.is_cuda and torch.backends.cudnn.allow_tf32)


def _edge(features: Tensor) -> Triple:
    _, z, y, x, _ = features.shape
    return (z, y, x)


def _empty(like: Tensor, *, channels: int, edge: Triple) -> Tensor:
    """(N, channels, edge…), channels-last in memory."""
    return torch.empty(
        (len(like), channels, *edge),
        dtype=like.dtype,
        device=like.device,
        memory_format=torch.channels_last_3d,
    )
