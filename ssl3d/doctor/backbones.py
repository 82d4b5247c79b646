"""Every installed backbone computes a whole volume, and the visible part of one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from ssl3d.doctor.check import Check, Wrong
from ssl3d.doctor.components import advice_for, default_config
from ssl3d.geometry import Triple, show, times
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.plugin.registry import Registry
from ssl3d.sparse.backend_config import SparseBackendConfig

if TYPE_CHECKING:
    from torch import Tensor

    from ssl3d.kinds.backbone import Backbone
    from ssl3d.sparse import SparseBackend, SparseVolume

PART = "backbones"
GRID: Triple = (1, 1, 3)
"""Small, for backbones may have large cells; two cells stay visible, as instance norms need."""

TOLERANCE = 1e-2
"""Of the largest value, in single precision: norms over so few sites magnify rounding."""


def backbone_checks(registry: Registry) -> Iterator[Check]:
    """Each backbone with its default options, on the default sparse backend."""
    for entry in registry.entries("backbone"):
        name = entry.config.component_name()
        yield Check(PART, name, partial(forward, registry, name), advice_for(entry))


def forward(registry: Registry, name: str) -> str:
    """Dense, sparse with nothing hidden (the same), and sparse with a cell of NaN hidden."""
    import torch

    from ssl3d.sparse import CellGrid, SparseVolume

    config = default_config(registry, kind="backbone", name=name)
    assert isinstance(config, BackboneConfig)
    backbone, backend = config.build(in_channels=1).eval(), _cells(registry)
    generator = torch.Generator().manual_seed(0)
    cell = config.total_stride
    volume = torch.randn(1, 1, *times(GRID, cell), generator=generator)

    def visible(*, all_cells: bool, values: Tensor) -> tuple[SparseVolume, ...]:
        shown = torch.ones(1, *GRID, dtype=torch.bool)
        shown[..., -1] = all_cells
        cells = CellGrid(shown, cell=cell)
        return _sparse(backbone, SparseVolume.from_dense(values, cells=cells, backend=backend))

    with torch.no_grad():
        whole = backbone(volume)
        error = max(
            _difference(dense, sparse.to_dense())
            for dense, sparse in zip(whole, visible(all_cells=True, values=volume), strict=True)
            if isinstance(dense, torch.Tensor)
        )
        if not error < TOLERANCE:
            raise Wrong(f"with nothing hidden, it differs from the dense pass by {error:.1e}")
        volume[..., -cell[2] :] = torch.nan
        for number, stage in enumerate(visible(all_cells=False, values=volume)):
            if not bool(stage.features.isfinite().all()):
                raise Wrong(f"hidden voxels reach the visible features of stage {number}")
    return f"{show(times(GRID, cell))} voxels; nothing hidden: {error:.0e} off the dense pass"


def _cells(registry: Registry) -> SparseBackend:
    config = default_config(registry, kind="sparse_backend", name="cells")
    assert isinstance(config, SparseBackendConfig)
    return config.build()


def _sparse(backbone: Backbone, x: SparseVolume) -> tuple[SparseVolume, ...]:
    from ssl3d.sparse import SparseVolume

    stages = backbone(x)
    if len(stages) != len(backbone.stages):
        raise Wrong(f"{len(stages)} feature maps for {len(backbone.stages)} stages")
    for number, (stage, said) in enumerate(zip(stages, backbone.stages, strict=True)):
        if not isinstance(stage, SparseVolume):
            raise Wrong(f"stage {number} of a sparse volume is dense")
        if (stage.stride, stage.channels) != (said.stride, said.channels):
            raise Wrong(
                f"stage {number} has stride {stage.stride} and {stage.channels} channels, "
                f"announced {said.stride} and {said.channels}"
            )
    return tuple(stage for stage in stages if isinstance(stage, SparseVolume))


def _difference(a: Tensor, b: Tensor) -> float:
    """Of the larger of 1 and the largest value; infinite where it cannot be said."""
    if a.shape != b.shape or not bool((a - b).isfinite().all()):
        return float("inf")
    return float((a - b).abs().max() / a.abs().max().clamp_min(1.0))
