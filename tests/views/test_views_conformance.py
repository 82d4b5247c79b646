"""Views keep the contract that third parties are tested against."""

from ssl3d.testing.views import ViewsConformance
from ssl3d_plugins.maskers import MiM, Random
from ssl3d_plugins.views import MaskInMask, Nested, Pair, Single


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


class TestMaskInMask(ViewsConformance):
    config = MaskInMask()
    masker = Random()


class TestMaskInMaskOfThickSlices(ViewsConformance):
    """No slice is shrunk, and more places are asked for than are hidden."""

    config = MaskInMask(shrink=(1, 2, 3), crops=6, cells=2, level_weights=(1.0, 0.5, 0.25))
    masker = MiM(global_ratio=(0.2, 0.8))
    patch = (4, 8, 24)


class TestMaskInMaskOfTwoLevels(ViewsConformance):
    config = MaskInMask(cells=0, crops=2, outer_share=0.2)
    masker = Random(ratio=0.75)


class TestPair(ViewsConformance):
    config = Pair()
    masker = Random()


class TestPairOfTwoHiddenLevels(ViewsConformance):
    config = Pair()
    masker = MiM(level_weights=(1.0, 0.5))
