"""The contract of a masker as tests, for ours and for anyone's.

class TestMine(MaskerConformance):
    config = MyMasker(ratio=0.5)
"""

from __future__ import annotations

from ssl3d.geometry import Triple
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.testing.kit import Kit
from ssl3d.testing.masker_checks import CHECKS, MaskerUnderTest


class MaskerConformance(Kit, checks=CHECKS):
    """Subclass it in a test module and set `config`; `grids` too, where none would be usable."""

    under_test = MaskerUnderTest
    config: MaskerConfig
    grids: tuple[Triple, ...]
