"""What one step of pre-training gives, and losses are computed on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from ssl3d.sparse import CellGrid, FeatureMap, HiddenLevels


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

    @property
    def numbers(self) -> dict[str, Tensor]:
        """Losses under their labels and metrics under `label/...`, without gradient."""
        return {name: value.detach() for name, value in {**self.losses, **self.metrics}.items()}


def label_of(name: str, *, labels: Iterable[str]) -> str | None:
    """Label of the loss that a number is of, such as `mse` for `mse/level0`; None for the total."""
    own = [label for label in labels if name == label or name.startswith(f"{label}/")]
    return max(own, key=len, default=None)
