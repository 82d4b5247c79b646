"""The contract of a decoder as tests, for ours and for anyone's.

class TestMine(DecoderConformance):
    config = MyDecoder(width=16)
"""

from __future__ import annotations

from typing import ClassVar

from ssl3d.geometry import Stage
from ssl3d.kinds.decoder_config import DecoderConfig
from ssl3d.testing.decoder_checks import CHECKS, DecoderUnderTest
from ssl3d.testing.kit import Kit


class DecoderConformance(Kit, checks=CHECKS):
    """Subclass it in a test module and set `config`; `stages` too, for other feature maps, and
    `device`, where it computes on another than the CPU.
    """

    under_test = DecoderUnderTest
    config: ClassVar[DecoderConfig]
    stages: ClassVar[tuple[Stage, ...]]
    device: ClassVar[str]
