"""The volumes and batches of a run, made as a run makes them."""

from __future__ import annotations

from itertools import islice
from typing import Any

import torch

from ssl3d.data.batches import Batches
from ssl3d.data.spec import DataSpec
from ssl3d.data.volumes import RunVolumes
from ssl3d.geometry import Triple, quotient
from ssl3d.kinds.batch import Batch
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.kinds.views_config import ViewsConfig
from ssl3d_plugins.maskers import Random
from ssl3d_plugins.views import Single


def found(spec: DataSpec, **options: Any) -> RunVolumes:
    """The volumes of a run, found and split."""
    volumes = RunVolumes(spec, **options)
    volumes.find()
    return volumes


def batches_of(
    volumes: RunVolumes,
    *,
    seed: int = 0,
    views: ViewsConfig | None = None,
    masker: MaskerConfig | None = None,
    cell: Triple | None = None,
) -> Batches:
    """Batches of views, the patch two cells long unless `cell` says how many voxels one has."""
    views, masker = views or Single(), masker or Random(ratio=0.5)
    patch = volumes.spec.patch
    made = views.build(patch=patch, cell=cell or quotient(patch, (2, 2, 2)), masker=masker)
    return Batches(volumes, views=made, masker=masker.build(), seed=seed)


def first(volumes: RunVolumes, count: int, **options: Any) -> list[Batch]:
    """The first training batches."""
    return list(islice(batches_of(volumes, **options).training(), count))


def tensors(held: Any) -> Any:
    """All that a batch holds, level by level, for comparison with `==`-like functions."""
    if isinstance(held, Batch):
        return {
            "views": [tensors(view) for view in held.views],
            "samples": held.samples,
            "sources": held.sources,
            "extra": dict(held.extra),
        }
    cells = held.cells
    return {
        "volume": held.volume,
        "valid": held.valid,
        "present": held.present,
        "visible": cells.visible,
        "cell": cells.cell,
        "positions": cells.positions,
        "cell_coordinates": cells.cell_coordinates,
        "rows": cells.rows,
        "neighbours": cells.neighbours,
        "counts": cells.counts,
        "hidden": held.hidden.levels,
        "weights": held.hidden.weights,
        "hidden_positions": held.hidden_positions,
        "parent": held.parent,
        "parent_box": held.parent_box,
        "level": held.level,
    }


def same(one: Any, other: Any) -> bool:
    """True where two batches, or nests of what they hold, agree bit by bit."""
    if hasattr(one, "__slots__") and type(one).__name__ in ("Batch", "ViewBatch"):
        one, other = tensors(one), tensors(other)
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and (
            one.dtype == other.dtype and torch.equal(one, other)
        )
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
