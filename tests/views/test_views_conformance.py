"""Views keep the contract that third parties are tested against."""

from ssl3d.testing.views import ViewsConformance
from ssl3d_plugins.maskers import MiM, Random
from ssl3d_plugins.views import Nested, Single


class TestSingle(ViewsConformance):
    config = Single()
    masker = Random()


class TestSingleRange(ViewsConformance):
    config = Single()
    masker = Random(ratio=(0.3, 0.9), block=2)


class TestSingleOfTwoLevels(ViewsConformance):
    config = Single()
    masker = MiM(level_weights=(1.0, 0.5))


class TestNested(ViewsConformance):
    config = Nested()
    masker = MiM()


class TestNestedRange(ViewsConformance):
    config = Nested()
    masker = MiM(global_ratio=(0.5, 0.7), local_ratio=0.9, local_block=1)
    patch = (4, 4, 16)
