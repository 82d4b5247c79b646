"""The contract of views as tests, for ours and for anyone's.

class TestMine(ViewsConformance):
    config = MyViews(count=2)
    masker = Random(ratio=0.6)
"""

from __future__ import annotations

from ssl3d.geometry import Triple
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.kinds.views_config import ViewsConfig
from ssl3d.testing.kit import Kit
from ssl3d.testing.views_checks import CHECKS
from ssl3d.testing.views_under_test import ViewsUnderTest


class ViewsConformance(Kit, checks=CHECKS):
    """Subclass it in a test module and set `config` and `masker`.

    `patch` and `cell` too, in voxels, where the views or the masker need others.
    """

    under_test = ViewsUnderTest
    config: ViewsConfig
    masker: MaskerConfig
    patch: Triple
    cell: Triple
