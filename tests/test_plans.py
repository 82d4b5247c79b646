"""A backbone's operations and its module come from one plan, so neither can lack what one has."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ssl3d.geometry import Operation, operations_in
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.sparse.layers import AvgPool3d, Conv3d
from ssl3d_plugins.resunet import ResUNet
from ssl3d_plugins.waveformer import WaveFormer

A = Operation.convolution((1, 2), kernel=(3, 3, 3))
B = Operation.convolution((2, 2), kernel=(2, 1, 2), stride=(2, 1, 2))


@dataclass(frozen=True)
class Inner:
    name: str
    op: Operation | None


@dataclass(frozen=True)
class Outer:
    first: Operation
    rest: tuple[Inner, ...]


def test_operations_of_a_plan_in_its_order_each_once() -> None:
    plan = Outer(B, (Inner("a", A), Inner("none", None), Inner("again", A)))
    assert operations_in((plan, plan)) == (B, A)
    assert operations_in(()) == ()


def test_a_planned_convolution_has_the_paddings_of_its_layer() -> None:
    assert (A.padding, B.padding) == ((1, 1, 1), (0, 0, 0))
    assert Conv3d.of(A).border == A.padding
    with pytest.raises(AssertionError, match="no such layer"):
        Conv3d.of(Operation("conv3d", (3, 3, 3), padding=(0, 0, 0), channels=(1, 2)))
    with pytest.raises(AssertionError, match="avg_pool3d with"):
        AvgPool3d.of(Operation("avg_pool3d", (4, 4, 4), (2, 2, 2), channels=(2, 2)))


def operations_of(module: nn.Module) -> set[Operation]:
    """What the layers of a module ask for, read off the layers themselves."""
    found = set()
    for one in module.modules():
        if isinstance(one, nn.Conv3d):
            z, y, x = one.padding
            assert not isinstance(z, str)
            channels = (one.in_channels, one.out_channels)
            kernel, stride = map(tuple, (one.kernel_size, one.stride))
            found.add(
                Operation("conv3d", kernel, stride, (int(z), int(y), int(x)), one.groups, channels)  # type: ignore[arg-type]
            )
        elif isinstance(one, AvgPool3d):
            found.add(Operation("avg_pool3d", one.kernel, one.stride, one.padding))
    return found


def without_pool_channels(operations: tuple[Operation, ...]) -> set[Operation]:
    """Up-sampling has no layer of its own, and a pool knows no channels."""
    return {
        op if op.kind == "conv3d" else Operation(op.kind, op.kernel, op.stride, op.padding)
        for op in operations
        if op.kind != "conv_transpose3d"
    }


STRIDES = st.tuples(*[st.integers(1, 2)] * 3).filter(lambda stride: max(stride) > 1)
KERNELS = st.tuples(*[st.sampled_from([1, 3, 5])] * 3)


@st.composite
def resunets(draw: st.DrawFn) -> ResUNet:
    stages = draw(st.integers(1, 4))
    one_each = {"min_size": stages, "max_size": stages}
    return ResUNet(
        widths=tuple(draw(st.lists(st.integers(1, 3), **one_each))),
        blocks=tuple(draw(st.lists(st.integers(1, 3), **one_each))),
        kernels=tuple(draw(st.lists(KERNELS, **one_each))),
        strides=tuple(draw(st.lists(STRIDES, **one_each))),
        bias=draw(st.booleans()),
    )


@st.composite
def waveformers(draw: st.DrawFn) -> WaveFormer:
    stages = draw(st.integers(1, 3))
    one_each = {"min_size": stages, "max_size": stages}
    details = draw(st.sampled_from(["identity", "mlp", "depthwise"]))
    every_level = details == "identity" and draw(st.booleans())
    return WaveFormer(
        widths=tuple(draw(st.lists(st.integers(6, 8), **one_each))),
        depths=tuple(draw(st.lists(st.integers(1, 2), **one_each))),
        patch=draw(STRIDES),
        merging=tuple(draw(st.lists(STRIDES, min_size=stages - 1, max_size=stages - 1))),
        details=details,
        attention="every_level" if every_level else "coarsest",
        ffn=draw(st.sampled_from(["mlp", "conv", "conv_norm"])),
    )


@settings(max_examples=40, deadline=None)
@given(config=st.one_of(resunets(), waveformers()))
def test_the_module_is_made_of_what_validation_sees(config: BackboneConfig) -> None:
    with torch.device("meta"):
        module = config.build(in_channels=1)
    assert operations_of(module) == without_pool_channels(config.operations())
