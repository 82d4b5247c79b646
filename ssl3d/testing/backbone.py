"""A kit that any backbone's tests subclass.

    class TestMine(BackboneConformance):
        config = Mine(widths=(4, 8))

Keep the network small: it is built often and computes in float64.
"""

from __future__ import annotations

from typing import ClassVar

from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.testing.backbone_checks import CHECKS
from ssl3d.testing.backbone_under_test import BackboneUnderTest
from ssl3d.testing.kit import Kit


class BackboneConformance(Kit, checks=CHECKS):
    """What every backbone must do.

    Attributes:
        config: the backbone under test.
        in_channels: of the volumes; default 2.
        multiples: sizes of cells to try, in total strides; the first only where that is slow.
        tolerance: largest difference between results that must agree, in float64; default 1e-9.
        depends_on_grid_size: True where features depend on the size of the grid; default False.
        device: where it computes; default "cpu".
    """

    under_test = BackboneUnderTest
    config: ClassVar[BackboneConfig]
    in_channels: ClassVar[int]
    multiples: ClassVar[tuple[int, ...]]
    tolerance: ClassVar[float]
    depends_on_grid_size: ClassVar[bool]
    device: ClassVar[str]
