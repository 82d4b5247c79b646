"""Both maskers keep the contract that third parties are tested against."""

from ssl3d.testing.masker import MaskerConformance
from ssl3d_plugins.maskers import MiM, Random


class TestRandom(MaskerConformance):
    config = Random()


class TestRandomRangeAuto(MaskerConformance):
    config = Random(ratio=(0.3, 0.9), block="auto")


class TestRandomFixedBlock(MaskerConformance):
    config = Random(ratio=0.75, block=2)


class TestMiM(MaskerConformance):
    config = MiM(global_ratio=0.6, local_ratio=0.5)


class TestMiMFixedBlocks(MaskerConformance):
    config = MiM(
        global_ratio=(0.5, 0.7),
        local_ratio=0.9,
        global_block=(1, 2, 2),
        local_block=(1, 1, 2),
        level_weights=(1.0, 0.5),
    )
