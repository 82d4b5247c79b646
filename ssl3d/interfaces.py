"""The kinds of component as they are at run time, and what passes between them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ssl3d.geometry import Stage, Triple
from ssl3d.plugin.config import LossConfig, MaskerConfig
from ssl3d.sparse import CellGrid, FeatureMap, HiddenLevels, check_volume
from ssl3d.sparse.volume import NONE, ONE, SparseBackend
from ssl3d.weights import TransferReport, transfer

__all__ = [
    "NONE",
    "ONE",
    "Backbone",
    "Loss",
    "Masker",
    "PretrainOutput",
    "SparseBackend",
]


class Backbone(nn.Module, ABC):
    """An encoder that takes a dense volume or the visible part of one.

    Before each call the volume is compared with what the encoder can take, and what does not fit
    is a ValueError that says so.

    Attributes:
        stages: stride and channels of each feature map, fine to coarse.
        in_channels: of the volume; None, where a module does not say it: not compared.
    """

    stages: tuple[Stage, ...]
    in_channels: int | None = None

    def __init__(self) -> None:
        super().__init__()
        self.register_forward_pre_hook(_check_input, with_kwargs=True)

    @property
    def divisor(self) -> Triple:
        """What the edges of a volume, and of a cell, must be multiples of, in voxels."""
        return self.stages[-1].stride

    @abstractmethod
    def forward(self, volume: FeatureMap) -> tuple[FeatureMap, ...]:
        """One feature map per stage, fine to coarse, of the kind that was given."""

    def load_weights(self, weights: Mapping[str, Tensor]) -> TransferReport:
        """Fill every parameter and buffer from named tensors: a warm start.

        A backbone may also know the names of another project, and override this.

        Raises:
            ValueError: a tensor does not fit, is missing or left over; names them all.
        """
        return transfer(weights, self)


def _check_input(backbone: Backbone, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    """What is wrong with a backbone's argument, before it is called."""
    for volume in args[:1] or tuple(named.values())[:1]:
        check_volume(volume, channels=backbone.in_channels, multiple=backbone.divisor)


class Masker(ABC):
    """Draws which cells of each sample are hidden."""

    def __init__(self, config: MaskerConfig) -> None:
        self.config = config

    @property
    def name(self) -> str:
        """The name that specs use."""
        return self.config.name

    @abstractmethod
    def __call__(
        self,
        grid: Triple,
        *,
        batch_size: int,
        generator: torch.Generator,
        hideable: Tensor | None = None,
    ) -> HiddenLevels:
        """Draw nested levels, each (B, Gd, Gh, Gw) bool on the CPU.

        Args:
            grid: cells per axis.
            batch_size: samples, B.
            generator: a CPU generator, the only source of randomness. What is consumed does not
                depend on `hideable`, and row i of the result depends on row i of it alone: ranks
                draw for the global batch and keep their rows.
            hideable: (B, Gd, Gh, Gw) bool, cells that may be hidden; all by default.

        Raises:
            ValueError: the grid has fewer than two cells, or cannot hold the asked blocks.
        """


class DecoderOutput(NamedTuple):
    """What a decoder makes of a batch.

    Attributes:
        features: (B, F, d, h, w), the finest dense map, hidden sites included.
        volume: (B, C, D, H, W), the restored volume, in units of the target.
    """

    features: Tensor
    volume: Tensor


class Decoder(nn.Module, ABC):
    """Restores a volume from the feature maps of what is visible."""

    @abstractmethod
    def forward(self, stages: Sequence[FeatureMap]) -> DecoderOutput:
        """Feature maps of a backbone, fine to coarse, to dense features and the restored volume."""


@dataclass(frozen=True, eq=False)
class PretrainOutput:
    """Everything that one pre-training step gives.

    Attributes:
        volume: (B, C, D, H, W) as given, invalid voxels set to zero.
        valid: (B, D, H, W) bool, voxels that are data and not padding.
        prediction: (B, C, D, H, W), in units of `target`; None where no loss needs a restoration.
        hidden: for each level (B, D, H, W) bool, in voxels. Level 0 holds all the others.
        stages: the backbone's feature maps, fine to coarse.
        levels: the same levels in cells, with their weights.
        cells: what the encoder saw.
        target: `patch_normalised` or `voxels`.
        losses: label to scalar, unweighted.
        weights: label to its factor in the total.
        metrics: further scalars to log, without gradient.
        nested: the outputs of further encoder passes (`passes="nested"`).
    """

    volume: Tensor
    valid: Tensor
    prediction: Tensor | None
    hidden: tuple[Tensor, ...]
    stages: tuple[FeatureMap, ...]
    levels: HiddenLevels
    cells: CellGrid
    target: Literal["patch_normalised", "voxels"]
    losses: Mapping[str, Tensor] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, Tensor] = field(default_factory=dict)
    nested: tuple[PretrainOutput, ...] = ()

    @property
    def loss(self) -> Tensor:
        """The weighted sum of `losses`."""
        total = self.volume.new_zeros(())
        for label, value in self.losses.items():
            total = total + self.weights[label] * value
        return total


class Loss(nn.Module, ABC):
    """A term of the training loss, for a backbone of these stages."""

    def __init__(self, config: LossConfig, *, stages: Sequence[Stage]) -> None:
        super().__init__()
        self.config = config
        self.stages = tuple(stages)

    @abstractmethod
    def forward(
        self, output: PretrainOutput, *, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Named scalars: `loss` is optimised, the others are logged.

        `generator` is a CPU generator for losses that sample.
        """

    def measurable(self, output: PretrainOutput) -> Tensor:
        """(B,) bool: samples in which there is something to measure.

        By default those that hide something; never others. Where `forward` finds none it gives 0,
        which is no measurement: means over a run leave it out.
        """
        return output.levels.levels[0].flatten(1).any(1)
