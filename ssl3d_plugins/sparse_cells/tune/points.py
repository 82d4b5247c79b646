"""Which convolutions are measured: the stages of a network, the most telling first."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch

from ssl3d.geometry import Operation, Triple
from ssl3d_plugins.sparse_cells.across import Way
from ssl3d_plugins.sparse_cells.choice import possible, shape_of
from ssl3d_plugins.sparse_cells.ways_table import Shape

Precision = Literal["single", "bf16"]
DTYPES: dict[Precision, torch.dtype] = {"single": torch.float32, "bf16": torch.bfloat16}


class Point(NamedTuple):
    """A 3³ convolution.

    Attributes:
        edge: sites per cell edge of its input.
        channels: in and out.
        stride: 1, or 2 on each axis.
        precision: of features and weight.
    """

    edge: int
    channels: int
    stride: int
    precision: Precision

    @property
    def op(self) -> Operation:
        """What is computed."""
        return Operation.convolution(
            (self.channels, self.channels), kernel=(3, 3, 3), stride=(self.stride,) * 3
        )

    @property
    def sites(self) -> Triple:
        """Per cell edge of its input."""
        return (self.edge, self.edge, self.edge)

    def features(self, device: torch.device) -> torch.Tensor:
        """Features of no cell, to ask what is chosen."""
        dtype = DTYPES[self.precision]
        return torch.empty(0, *self.sites, self.channels, dtype=dtype, device=device)

    def ways(self, device: torch.device) -> tuple[Way, ...]:
        """That compute it on a device."""
        return possible(self.op, features=self.features(device))

    def shape(self, device: torch.device) -> Shape:
        """What a table knows it by."""
        return shape_of(self.op, features=self.features(device))

    def __str__(self) -> str:
        stride = ", stride 2" if self.stride == 2 else ""
        return f"{self.edge}³ sites, {self.channels} channels{stride}, {self.precision}"


SAME = ((8, 32), (4, 64), (2, 128), (1, 256), (8, 64), (4, 128), (2, 256), (4, 32), (2, 64))
WIDER = ((8, 128), (16, 32), (1, 64), (2, 32), (1, 128))
STRIDED = ((8, 32), (4, 64), (2, 128), (8, 64), (4, 128), (4, 32))
"""Sites per cell edge, and channels."""


def points(device: torch.device) -> tuple[Point, ...]:
    """All that are measured on a device where more than one way computes them."""
    first: Precision = "bf16" if device.type == "cuda" else "single"
    other: Precision = "single" if first == "bf16" else "bf16"
    same = [Point(*each, 1, first) for each in (*SAME, *WIDER)]
    strided = [Point(*each, 2, first) for each in STRIDED]
    rest = [Point(*each, 1, other) for each in SAME] + [Point(*each, 2, other) for each in STRIDED]
    count = len(SAME)
    order = (*same[:count], *strided, *same[count:], *rest)
    return tuple(point for point in order if len(point.ways(device)) > 1)
