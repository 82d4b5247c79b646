"""The views of a level in one pass, or some at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ssl3d.kinds.decoder import DecoderOutput
from ssl3d.sparse import CellGrid, FeatureMap, SparseVolume

Passed = tuple[tuple[FeatureMap, ...], DecoderOutput | None]
"""Stages, and what the decoder made of them; None where there is none."""


def in_parts(
    run: Callable[[Tensor, CellGrid], Passed],
    volume: Tensor,
    *,
    cells: CellGrid,
    at_once: int | None,
) -> Passed:
    """What `run` makes of all rows, some at a time; the device is asked nothing.

    Of several parts each keeps what goes in and out of it, and the rest is computed again in the
    backward pass. Gradients are those of one pass where no norm is over the batch.

    Args:
        run: of a part of the volume and its cells.
        volume: (R, C, D, H, W).
        cells: which cells are visible.
        at_once: rows of a part, at most; None: all.
    """
    rows = len(volume)
    if at_once is None or at_once >= rows:
        return run(volume, cells)
    parts: list[Passed] = []
    for first in range(0, rows, at_once):
        last = min(first + at_once, rows)
        given = volume[first:last], cells.part(first, last)
        again = torch.is_grad_enabled()
        parts.append(checkpoint(run, *given, use_reentrant=False) if again else run(*given))
    stages = zip(*(stages for stages, _ in parts), strict=True)
    return tuple(_joined(maps, cells=cells) for maps in stages), _decoded([d for _, d in parts])


def _joined(maps: Sequence[FeatureMap], *, cells: CellGrid) -> FeatureMap:
    """One stage of all rows: those of visible cells are sorted by row."""
    sparse = [one for one in maps if isinstance(one, SparseVolume)]
    if not sparse:
        return torch.cat([one for one in maps if isinstance(one, Tensor)])
    features = torch.cat([one.features for one in sparse])
    return SparseVolume(features, cells, sparse[0].stride, sparse[0].backend)


def _decoded(parts: Sequence[DecoderOutput | None]) -> DecoderOutput | None:
    found = [part for part in parts if part is not None]
    if not found:
        return None
    deep = zip(*(part.deep for part in found), strict=True)
    return DecoderOutput(
        features=torch.cat([part.features for part in found]),
        volume=torch.cat([part.volume for part in found]),
        deep=tuple(map(torch.cat, deep)),
    )
