"""The SparK decoder: shapes for any strides, what a hidden site becomes, which modules it has."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ssl3d.geometry import Stage, Triple
from ssl3d.sparse import CellGrid, SparseVolume
from ssl3d.sparse.layers import Densify
from ssl3d_plugins.decoders import Spark
from ssl3d_plugins.sparse_dense import Dense

STEPS = st.lists(
    st.tuples(*[st.sampled_from([1, 2])] * 3).filter(lambda step: max(step) > 1),
    min_size=0,
    max_size=3,
)


def stages_from(first: Triple, steps: list[Triple]) -> tuple[Stage, ...]:
    strides = [first]
    for step in steps:
        z, y, x = (a * b for a, b in zip(strides[-1], step, strict=True))
        strides.append((z, y, x))
    return tuple(Stage(stride, 4 * 2**i) for i, stride in enumerate(strides))


def features_of(stages: tuple[Stage, ...], *, visible: Tensor, cell: Triple) -> list[SparseVolume]:
    cells = CellGrid(visible, cell=cell)
    return [
        SparseVolume(
            torch.randn(
                cells.n, *(c // s for c, s in zip(cell, stage.stride, strict=True)), stage.channels
            ),
            cells,
            stage.stride,
            Dense().build(),
        )
        for stage in stages
    ]


@settings(max_examples=25, deadline=None)
@given(
    first=st.tuples(*[st.sampled_from([1, 2, 4])] * 3),
    steps=STEPS,
    head_stride=st.sampled_from([1, 2, 4, 8]),
    channels=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_restores_a_volume_of_the_right_size(
    first: Triple, steps: list[Triple], head_stride: int, channels: int, seed: int
) -> None:
    torch.manual_seed(seed)
    stages = stages_from(first, steps)
    if len(stages) == 1 and max(first) == 1:
        return  # nothing to decode: a single stage at full resolution
    cell = stages[-1].stride
    visible = torch.rand(2, 2, 2, 3) > 0.5
    visible[:, 0, 0, 0] = True
    config = Spark(width=16, head_stride=head_stride)
    decoder = config.build(stages=stages, out_channels=channels, sparse=True)
    out = decoder(features_of(stages, visible=visible, cell=cell)).volume
    assert out.shape == (2, channels, 2 * cell[0], 2 * cell[1], 3 * cell[2])
    out.square().mean().backward()
    without = [name for name, p in decoder.named_parameters() if p.grad is None]
    assert without == [], "parameters that never get a gradient stall distributed training"


@pytest.mark.parametrize(
    ("head_stride", "expected"),
    [
        (1, [(16, 16, 16), (8, 8, 8), (4, 4, 4), (2, 2, 2), (1, 1, 1)]),
        (4, [(16, 16, 16), (8, 8, 8), (4, 4, 4)]),
        (8, [(16, 16, 16), (8, 8, 8)]),
        (32, [(16, 16, 16), (8, 8, 8)]),
    ],
)
def test_scales_end_at_the_head_stride(head_stride: int, expected: list[Triple]) -> None:
    stages = stages_from((2, 2, 2), [(2, 2, 2)] * 3)
    assert Spark(head_stride=head_stride).strides(stages) == tuple(expected)


def test_scales_of_a_thick_slice_backbone() -> None:
    stages = stages_from((1, 2, 2), [(2, 2, 2), (2, 2, 2), (1, 2, 2)])
    assert Spark(head_stride=1).strides(stages)[-2:] == ((1, 2, 2), (1, 1, 1))
    assert Spark(head_stride=4).strides(stages)[-1] == (2, 4, 4)


def test_densify_puts_the_token_where_cells_are_hidden() -> None:
    stages = (Stage((2, 2, 2), 4),)
    visible = torch.zeros(1, 1, 1, 2, dtype=torch.bool)
    visible[..., 0] = True
    (features,) = features_of(stages, visible=visible, cell=(4, 4, 4))
    densify = Densify(4, width=4, kernel=1, norm=None, token=True)
    dense = densify(features)
    assert densify.token is not None
    assert torch.equal(dense[0, :, :, :, :2], features.features[0].permute(3, 0, 1, 2))
    assert torch.equal(dense[0, :, :, :, 2:], densify.token.view(4, 1, 1, 1).expand(4, 2, 2, 2))
    without = Densify(4, width=4, kernel=1, norm=None, token=False)(features)
    assert not without[..., 2:].any()


def test_the_patch_head_keeps_the_order_of_voxels() -> None:
    """Site (z, y, x) of the last scale holds the voxels of its own box, z slowest."""
    stages = (Stage((2, 2, 2), 8),)
    decoder = Spark(width=8).build(stages=stages, out_channels=1, sparse=True)
    decoder.head_stride = (2, 1, 3)
    patches = torch.arange(6.0).view(1, 6, 1, 1, 1).repeat(1, 1, 2, 2, 2)
    patches += 10 * torch.arange(8.0).view(1, 1, 2, 2, 2)
    volume = decoder._voxels(patches)
    assert volume.shape == (1, 1, 4, 2, 6)
    for z in range(4):
        for y in range(2):
            for x in range(6):
                site = (z // 2) * 4 + y * 2 + x // 3
                assert volume[0, 0, z, y, x] == 10 * site + (z % 2) * 3 + x % 3
