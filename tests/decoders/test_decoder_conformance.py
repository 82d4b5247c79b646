"""Every decoder that ships here, under the contract; and decoders that break it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ssl3d.geometry import Operation, Stage
from ssl3d.plugin.config import Problem
from ssl3d.sparse import SparseVolume
from ssl3d.sparse.layers import Conv3d
from ssl3d.testing.decoder import DecoderConformance
from ssl3d.testing.decoder_checks import CHECKS, DecoderUnderTest
from ssl3d_plugins.decoders import Patch, Spark, UNet


class TestSpark(DecoderConformance):
    config = Spark()


class TestPaper(DecoderConformance):
    config = Spark(head_stride=1, width=16, norm="batch")
    stages = (Stage((2, 2, 2), 6), Stage((4, 4, 4), 10), Stage((8, 8, 8), 12))


class TestPublicSpark(DecoderConformance):
    config = Spark(width=32, narrows="last", initial="spark", epsilon=1e-6, head_stride=2)


class TestInstanceNorm(DecoderConformance):
    config = Spark(norm="instance", head_stride=4)


class TestBare(DecoderConformance):
    config = Spark(densify=False, token=False)
    stages = (Stage((2, 2, 2), 8),)


class TestUNet(DecoderConformance):
    config = UNet()


class TestUNetWithDeepSupervision(DecoderConformance):
    config = UNet(deep_supervision=True, blocks=2, norm="batch")


class TestUNetInterpolated(DecoderConformance):
    config = UNet(below="interpolate", deep_supervision=True)
    stages = (Stage((2, 4, 4), 6), Stage((2, 4, 4), 10), Stage((2, 8, 8), 12))


class TestUNetOfOneStage(DecoderConformance):
    config = UNet()
    stages = (Stage((3, 4, 2), 8),)


class TestPatch(DecoderConformance):
    config = Patch()
    stages = (Stage((8, 8, 8), 24),)


class TestPatchOnTheLastStage(DecoderConformance):
    config = Patch()


class TestPatchLinear(DecoderConformance):
    config = Patch(head="linear")


class Spoilt(Spark):
    """Spark with something done to what it is given, or to what it gives."""

    def build(self, **context):
        decoder = super().build(**context)
        right = decoder.forward
        decoder.forward = lambda stages: self.after(right(self.before(list(stages))))
        return decoder

    def before(self, stages):
        return stages

    def after(self, out):
        return out


class AnotherSize(Spoilt):
    def after(self, out):
        return out._replace(volume=out.volume[..., 1:])


class NoOutput(Spoilt):
    def after(self, out):
        return out.volume


class AnotherValue(Spoilt):
    def before(self, stages):
        return [x.map(torch.square) if isinstance(x, SparseVolume) else x for x in stages]


class BatchMean(Spoilt):
    def after(self, out):
        return out._replace(volume=out.volume - out.volume.mean(0))


class Detached(Spoilt):
    def before(self, stages):
        last = stages[-1]
        return [
            *stages[:-1],
            last.map(torch.Tensor.detach) if isinstance(last, SparseVolume) else last,
        ]


class Unused(Spoilt):
    def build(self, **context):
        decoder = super().build(**context)
        decoder.unused = nn.Linear(1, 1)
        return decoder


class SilentConvolution(Spoilt):
    def before(self, stages):
        return [*stages[:-1], Conv3d(12, 12, kernel=3).double()(stages[-1])]


class WrongOperation(Spark):
    def operations(self, **_):
        return (Operation("interpolate"),)


class SilentInstanceNorm(Spark):
    def instance_norm_stages(self, **_):
        return ()


class SilentBatchNorm(Spark):
    def batch_norm_stages(self, **_):
        return ()


class NormThatIsNone(Spark):
    def instance_norm_stages(self, *, stages):
        return tuple(stages)


class SilentHead(Spoilt):
    def build(self, **context):
        decoder = super().build(**context)
        decoder.heads = ("else.*",)
        return decoder


class Refuses(Spark):
    def problems(self, **_):
        return [Problem("width", "never enough")]


@pytest.mark.parametrize(
    ("config", "noticed"),
    [
        (AnotherSize(), "it_restores_a_volume"),
        (NoOutput(), "it_restores_a_volume"),
        (AnotherValue(), "nothing_hidden_is_the_dense_result"),
        (BatchMean(), "samples_do_not_meet"),
        (Detached(), "the_deepest_stage_learns"),
        (Unused(), "every_parameter_has_a_gradient"),
        (SilentConvolution(), "operations_are_what_the_config_says"),
        (WrongOperation(), "operations_are_what_the_config_says"),
        (SilentInstanceNorm(norm="instance"), "norms_are_what_the_config_says"),
        (SilentBatchNorm(norm="batch"), "norms_are_what_the_config_says"),
        (SilentHead(), "its_heads_are_what_follows_from_the_channels"),
        (NormThatIsNone(), "norms_are_what_the_config_says"),
        (Refuses(), "it_accepts_the_stages"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Spark) else "",
)
def test_the_kit_notices(config: Spark, noticed: str) -> None:
    (check,) = (check for check in CHECKS if check.name == noticed)
    with pytest.raises(AssertionError):
        [check(DecoderUnderTest(config), **arguments) for _, arguments in check.cases()]
