"""The operations and visible cells that a sparse backend is tried on."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ssl3d.geometry import Operation, OperationKind, Triple, as_triple, times

FINER = ("conv_transpose3d", "interpolate")
CONVOLUTIONS = ("conv3d", "conv_transpose3d")


@dataclass(frozen=True)
class Case:
    """An operation on cells of `edge` sites (of the input)."""

    op: Operation
    edge: Triple = (2, 4, 2)

    def __str__(self) -> str:
        op = self.op
        axes = {"k": op.kernel, "s": op.stride, "on": self.edge}
        sizes = " ".join(key + "x".join(map(str, value)) for key, value in axes.items())
        return f"{op.kind} {sizes}" + (f" g{op.groups} c{op.channels[1]}" if op.groups > 1 else "")

    @property
    def stride(self) -> Triple:
        """Voxels per site of the input: enough for the result to exist."""
        return self.op.stride if self.op.kind in FINER else (1, 1, 1)

    @property
    def cell(self) -> Triple:
        """Voxels per cell."""
        return times(self.edge, self.stride)


def make_case(
    kind: OperationKind,
    kernel: int | Triple,
    stride: int | Triple = 1,
    *,
    edge: int | Triple = (2, 4, 2),
    groups: int = 1,
    channels: tuple[int, int] = (4, 6),
) -> Case:
    """A case with the padding that this project defines for the kernel and stride."""
    k, s = as_triple(kernel), as_triple(stride)
    pad = [0 if a == b else (a - 1) // 2 for a, b in zip(k, s, strict=True)]
    if kind not in CONVOLUTIONS:
        channels = (channels[0], channels[0])
    op = Operation(kind, k, s, (pad[0], pad[1], pad[2]), groups, channels)
    return Case(op, as_triple(edge))


CASES = (
    make_case("conv3d", 1),
    make_case("conv3d", 1, 2),
    make_case("conv3d", 2, 2),
    make_case("conv3d", (1, 2, 3), (1, 2, 3), edge=(2, 4, 6)),
    make_case("conv3d", 3),
    make_case("conv3d", 3, edge=(1, 2, 1)),
    make_case("conv3d", 3, edge=(4, 8, 6), channels=(3, 2)),
    make_case("conv3d", 3, 2),
    make_case("conv3d", 3, 2, edge=2),
    make_case("conv3d", 3, (1, 2, 1)),
    make_case("conv3d", (1, 3, 3), (1, 2, 2)),
    make_case("conv3d", (3, 1, 2), (2, 1, 2)),
    make_case("conv3d", 5),
    make_case("conv3d", 5, 2, edge=(2, 4, 2)),
    make_case("conv3d", 5, edge=(1, 2, 1)),
    make_case("conv3d", 3, groups=2),
    make_case("conv3d", 2, 2, groups=2),
    make_case("conv3d", 3, groups=4, channels=(4, 4)),
    make_case("conv3d", 3, 2, groups=4, channels=(4, 8)),
    make_case("conv3d", 3, edge=1, groups=4, channels=(4, 4)),
    make_case("conv_transpose3d", 2, 2),
    make_case("conv_transpose3d", (1, 2, 2), (1, 2, 2)),
    make_case("conv_transpose3d", 4, 2),
    make_case("conv_transpose3d", 4, 2, edge=1),
    make_case("conv_transpose3d", 3, 2),
    make_case("conv_transpose3d", 3, 2, edge=1),
    make_case("conv_transpose3d", 3),
    make_case("conv_transpose3d", 5, (2, 1, 2)),
    make_case("conv_transpose3d", 2, 2, groups=2),
    make_case("conv_transpose3d", 4, 2, groups=4, channels=(4, 4)),
    make_case("max_pool3d", 2, 2),
    make_case("max_pool3d", 3, 2),
    make_case("max_pool3d", 3),
    make_case("max_pool3d", 3, edge=1),
    make_case("max_pool3d", (1, 3, 3), (1, 2, 2)),
    make_case("avg_pool3d", 2, 2),
    make_case("avg_pool3d", 3, 2),
    make_case("avg_pool3d", 3),
    make_case("avg_pool3d", (1, 3, 3), (1, 2, 2)),
    make_case("interpolate", 2, 2),
    make_case("interpolate", (1, 2, 4), (1, 2, 4)),
)

UNDEFINED = (
    Operation("conv3d", (4, 4, 4), (2, 2, 2), (1, 1, 1), 1, (4, 6)),
    Operation("conv3d", (3, 3, 3), (1, 1, 1), (0, 0, 0), 1, (4, 6)),
    Operation("conv3d", (2, 2, 2), (1, 1, 1), (0, 0, 0), 1, (4, 6)),
    Operation("conv3d", (3, 3, 3), (4, 4, 4), (1, 1, 1), 1, (4, 6)),
    Operation("conv_transpose3d", (4, 4, 4), (2, 2, 2), (0, 0, 0), 1, (4, 6)),
    Operation("max_pool3d", (3, 3, 3), (2, 2, 2), (0, 0, 0), 1, (4, 4)),
    Operation("avg_pool3d", (2, 2, 2), (1, 1, 1), (0, 0, 0), 1, (4, 4)),
)

LARGER = (
    make_case("conv3d", 3, edge=4, channels=(8, 8)),
    make_case("conv3d", 3, edge=1, channels=(8, 8)),
    make_case("conv3d", 3, 2, edge=4, channels=(8, 8)),
    make_case("conv3d", 3, edge=4, groups=8, channels=(8, 8)),
    make_case("conv_transpose3d", 2, 2, edge=2, channels=(8, 8)),
    make_case("conv_transpose3d", 4, 2, edge=2, channels=(8, 8)),
    make_case("max_pool3d", 3, 2, edge=4, channels=(8, 8)),
    make_case("avg_pool3d", 3, 2, edge=4, channels=(8, 8)),
)
"""Enough sites for several threads."""


def chain(first: Triple, *, up: Triple) -> tuple[Case, ...]:
    """Two strided convolutions down and two transposed ones back up, 4 channels throughout.

    Args:
        first: stride of the first stage; the second has stride 2.
        up: kernel of the first transposed convolution.
    """
    wide = (4, 4)
    return (
        make_case("conv3d", 3, first, edge=(4, 8, 4), channels=wide),
        make_case("conv3d", 3, 2, edge=4, channels=wide),
        make_case("conv_transpose3d", up, 2, edge=2, channels=wide),
        make_case("conv_transpose3d", first, first, edge=4, channels=wide),
    )


def layouts() -> Mapping[str, Tensor]:
    """Visible cells (B, Gd, Gh, Gw) that have gone wrong somewhere."""
    generator = torch.Generator().manual_seed(5)
    share = torch.tensor([0.7, 0.3]).view(2, 1, 1, 1)
    uneven = torch.rand(2, 3, 3, 3, generator=generator) < share
    single = torch.zeros(2, 3, 3, 3, dtype=torch.bool)
    single[1, 0, 2, 1] = True
    empty_sample = uneven.clone()
    empty_sample[1] = False
    corners = torch.zeros(2, 3, 3, 3, dtype=torch.bool)  # no two are neighbours
    corners[:, ::2, ::2, ::2] = True
    return {
        "uneven": uneven,
        "single_cell": single,
        "empty_sample": empty_sample,
        "empty_batch": torch.zeros(2, 3, 3, 3, dtype=torch.bool),
        "corners": corners,
        "everything": torch.ones(1, 2, 3, 3, dtype=torch.bool),
    }


def half_visible(*, samples: int = 2) -> Tensor:
    """About half of the cells of a 4³ grid."""
    generator = torch.Generator().manual_seed(11)
    return torch.rand(samples, 4, 4, 4, generator=generator) < 0.5


def random_case(seed: int) -> tuple[Case, Tensor]:
    """A case from `CASES` on cells and visible cells drawn from a seed."""
    draw = random.Random(seed)
    op = draw.choice(CASES).op
    edge = tuple(draw.choice([1, 2, 3, 4]) * (1 if op.kind in FINER else s) for s in op.stride)
    grid = [draw.randint(1, 4) for _ in range(3)]
    generator = torch.Generator().manual_seed(seed)
    visible = torch.rand(draw.randint(1, 3), *grid, generator=generator) < draw.uniform(0.1, 0.9)
    return Case(op, (edge[0], edge[1], edge[2])), visible


class Inputs(NamedTuple):
    """Features (N, e…, I), a weight and a bias, all float64 on the CPU."""

    features: Tensor
    weight: Tensor
    bias: Tensor


def draw_inputs(case: Case, visible: Tensor, *, seed: int = 0) -> Inputs:
    """Random inputs; below zero for a max pool, where a zero that is no input would win."""
    generator = torch.Generator().manual_seed(seed)
    op = case.op

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    features = normal(int(visible.sum()), *case.edge, op.channels[0])
    if op.kind == "max_pool3d":
        features = -features.abs() - 0.1
    first, second = op.channels if op.kind == "conv_transpose3d" else op.channels[::-1]
    return Inputs(features, normal(first, second // op.groups, *op.kernel), normal(op.channels[1]))
