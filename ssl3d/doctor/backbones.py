"""Every installed backbone computes a whole volume, and the visible part of one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ssl3d.doctor.check import Check
from ssl3d.doctor.components import advice_for, default_config
from ssl3d.geometry import Triple, show, times
from ssl3d.plugin.declared import Registered
from ssl3d.plugin.registry import Registry

GRID: Triple = (1, 1, 3)
"""Small, for backbones may have large cells; two cells stay visible, as instance norms need."""

TOLERANCE = 1e-2
"""Of the largest value, in single precision: norms over so few sites magnify rounding."""


def backbone_checks(registry: Registry) -> Iterator[Check]:
    """Each backbone with its default options, on the sparse backend `cells`."""
    for entry in registry.entries("backbone"):
        run = partial(forward, entry)
        yield Check("backbones", entry.config.component_name(), run, advice_for(entry))


def forward(entry: Registered) -> str:
    """Dense, sparse with nothing hidden (the same), and sparse with a cell of NaN hidden."""
    import torch

    from ssl3d.testing import backbone_checks as kit
    from ssl3d.testing.backbone_under_test import BackboneUnderTest

    config = default_config(entry)
    backbone = BackboneUnderTest(
        config,
        in_channels=1,
        multiples=(1,),
        tolerance=TOLERANCE,
        dtype=torch.float32,
        grid=GRID,
        visible=((0, 1),),
        training=False,
        gradients=False,
        randomised=False,
    )
    error = kit.nothing_hidden_is_the_dense_result(backbone, backend="cells")
    kit.no_leak(backbone, training=False, finite=False, backend="cells")
    size = show(times(GRID, config.total_stride))
    return f"{size} voxels; nothing hidden: {error:.0e} off the dense pass"
