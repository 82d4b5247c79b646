"""Small networks, cells and volumes, drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from ssl3d.geometry import Triple, times
from ssl3d_plugins.resunet import ResUNet


@dataclass(frozen=True)
class Problem:
    """A network and what it is shown.

    Attributes:
        config: the network; thick slices, strided first stages and kernels of 1 and 5 occur.
        cell: voxels per cell, one or two total strides an axis.
        volume: (2, 2, D, H, W), float64.
        visible: (2, Gd, Gh, Gw) bool, at least one cell of a sample hidden.
    """

    config: ResUNet
    cell: Triple
    volume: Tensor
    visible: Tensor


def random_network(random: Random) -> ResUNet:
    """Two or three stages with widths, blocks, kernels and strides of their own."""
    stages = random.choice((2, 3))
    strides = [_triple(random, (1, 1, 2))]
    while len(strides) < stages:
        stride = _triple(random, (1, 2, 2))
        strides += [stride] if max(stride) > 1 else []
    return ResUNet(
        widths=tuple(random.randint(3, 9) for _ in range(stages)),
        blocks=tuple(random.choice((1, 1, 2)) for _ in range(stages)),
        kernels=tuple(_triple(random, (1, 3, 3, 3, 5)) for _ in range(stages)),
        strides=tuple(strides),
        norm=random.choice(("instance", "batch")),
        bias=random.random() < 0.7,
    )


def random_problem(seed: int, *, config: ResUNet | None = None) -> Problem:
    """A problem for a drawn network, or for `config`.

    Every sample shows three cells at least, so that an instance norm has statistics, and the
    second sample another number than the first.
    """
    random = Random(seed)
    config = config or random_network(random)
    cell = times(config.total_stride, _triple(random, (1, 1, 2)))
    grid = _triple(random, (2, 3))
    visible = torch.zeros(2, grid[0] * grid[1] * grid[2], dtype=torch.bool)
    cells = range(visible.shape[1])
    for sample, count in enumerate(random.sample(cells[3:], 2)):
        visible[sample, random.sample(cells, count)] = True
    generator = torch.Generator().manual_seed(seed)
    size = times(grid, cell)
    volume = torch.randn(2, 2, *size, generator=generator, dtype=torch.float64)
    return Problem(config, cell, volume, visible.view(2, *grid))


def _triple(random: Random, choices: tuple[int, ...]) -> Triple:
    return (random.choice(choices), random.choice(choices), random.choice(choices))
