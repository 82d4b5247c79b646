"""The contract of a loss as tests, for ours and for anyone's.

class TestMine(LossConformance):
    config = MyLoss(weight=0.5)
"""

from __future__ import annotations

from typing import ClassVar

from ssl3d.geometry import Stage
from ssl3d.kinds.loss_config import LossConfig
from ssl3d.testing.kit import Kit
from ssl3d.testing.loss_checks import CHECKS
from ssl3d.testing.loss_under_test import LossUnderTest


class LossConformance(Kit, checks=CHECKS):
    """Subclass it in a test module and set `config`; `stages` too, for other feature maps, and
    `device`, where it computes on another than the CPU.
    """

    under_test = LossUnderTest
    config: ClassVar[LossConfig]
    stages: ClassVar[tuple[Stage, ...]]
    device: ClassVar[str]
