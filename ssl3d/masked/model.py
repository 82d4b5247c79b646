"""The model that is pre-trained: masker, backbone, decoder and losses, and one step of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from ssl3d.geometry import Triple
from ssl3d.kinds.backbone import Backbone
from ssl3d.kinds.decoder import Decoder
from ssl3d.kinds.loss import Loss
from ssl3d.kinds.masker import Masker
from ssl3d.kinds.output import PretrainOutput
from ssl3d.masked.inputs import check_drawn, checked_valid, given_levels, valid_share
from ssl3d.sparse import (
    CellGrid,
    FeatureMap,
    HiddenLevels,
    SparseBackend,
    SparseVolume,
    grid_of,
)


class PretrainModel(nn.Module):
    """Hide cells, encode what is visible, densify, decode, restore what is hidden.

    Made by `ExperimentSpec.build`.

    Args:
        backbone: the encoder that is pre-trained.
        backend: computes on visible cells.
        masker: draws what is hidden.
        losses: label to loss.
        weights: label to its factor in the total.
        decoder: restores the volume from the stages; None where no loss needs it.
        in_channels: of the volumes.
        cell: voxels per cell, (z, y, x).
        encoder_input: `visible`, or `zeroed` for the dense baseline.
        target: `patch_normalised` or `voxels`.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        backend: SparseBackend,
        masker: Masker,
        losses: Mapping[str, Loss],
        weights: Mapping[str, float],
        decoder: Decoder | None,
        in_channels: int,
        cell: Triple,
        encoder_input: Literal["visible", "zeroed"] = "visible",
        target: Literal["patch_normalised", "voxels"] = "patch_normalised",
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.decoder = decoder
        # Labels may hold dots, which module names may not.
        self.losses = nn.ModuleList(losses.values())
        self.labels = tuple(losses)
        self.weights = dict(weights)
        self.backend = backend
        self.masker = masker
        self.in_channels = in_channels
        self.cell = cell
        self.encoder_input = encoder_input
        self.target: Literal["patch_normalised", "voxels"] = target

    def forward(
        self,
        volume: Tensor,
        *,
        valid: Tensor | None = None,
        hidden: HiddenLevels | Tensor | Sequence[Tensor] | None = None,
        generator: torch.Generator | None = None,
    ) -> PretrainOutput:
        """One step without the backward pass.

        Args:
            volume: (B, C, D, H, W), edges multiples of the cell.
            valid: (B, D, H, W) bool, voxels that are data; all by default. It comes from the
                data, never from the voxels.
            hidden: what to hide in place of the masker's draw: `HiddenLevels`, or one or several
                nested boolean levels in cells (B, Gd, Gh, Gw) or voxels (B, D, H, W).
            generator: a CPU generator for the masker and for losses that sample.

        Raises:
            ValueError: wrong shapes, or neither `hidden` nor `generator`.
        """
        grid = grid_of(volume, cell=self.cell)
        if volume.shape[1] != self.in_channels:
            raise ValueError(
                f"volume has {volume.shape[1]} channels; this model takes {self.in_channels}"
            )
        valid = checked_valid(valid, volume=volume)
        # Select: multiplying by zero would keep NaN.
        volume = torch.where(valid[:, None], volume, 0.0)
        if hidden is None:
            if generator is None:
                raise ValueError("give a torch.Generator to draw hidden cells, or `hidden` itself")
            levels = self.draw(
                grid,
                batch_size=len(volume),
                generator=generator,
                hideable=self.hideable(valid),
            )
        else:
            levels = given_levels(hidden, volume=volume, cell=self.cell)
        levels = levels.to(volume.device)
        passes = [
            self._restore(volume, valid=valid, levels=level, generator=generator)
            for level in levels.encoder_passes()
        ]
        return self._merge(passes, levels=levels)

    def draw(
        self,
        grid: Triple,
        *,
        batch_size: int,
        generator: torch.Generator,
        hideable: Tensor | None = None,
    ) -> HiddenLevels:
        """What the masker hides, on the CPU; see `Masker`.

        Raises:
            ValueError: it hides everything or nothing of a sample.
        """
        drawn = self.masker(grid, batch_size=batch_size, generator=generator, hideable=hideable)
        return check_drawn(drawn, masker=self.masker, hideable=hideable)

    def hideable(self, valid: Tensor) -> Tensor:
        """(B, Gd, Gh, Gw) bool on the CPU: cells of which at least half of the voxels are valid."""
        return (valid_share(valid, cell=self.cell) >= 0.5).cpu()

    def encode(self, volume: Tensor, *, cells: CellGrid) -> tuple[FeatureMap, ...]:
        """The backbone's feature maps of what is visible, fine to coarse.

        Args:
            volume: (B, C, D, H, W).
            cells: which cells are visible.
        """
        visible = SparseVolume.from_dense(volume, cells=cells, backend=self.backend)
        if self.encoder_input == "visible":
            stages: tuple[FeatureMap, ...] = self.backbone(visible)
        else:
            stages = self.backbone(visible.to_dense())
        return stages

    def _restore(
        self,
        volume: Tensor,
        *,
        valid: Tensor,
        levels: HiddenLevels,
        generator: torch.Generator | None,
    ) -> PretrainOutput:
        """One encoder pass and its losses."""
        # Cells without any valid voxel are neither encoded nor restored.
        visible = ~levels.levels[0] & (valid_share(valid, cell=self.cell) > 0)
        cells = CellGrid(visible, cell=self.cell)
        stages = self.encode(volume, cells=cells)
        output = PretrainOutput(
            volume=volume,
            valid=valid,
            prediction=None if self.decoder is None else self.decoder(stages).volume,
            hidden=levels.voxels(self.cell),
            stages=stages,
            levels=levels,
            cells=cells,
            target=self.target,
            weights=self.weights,
        )
        losses: dict[str, Tensor] = {}
        metrics: dict[str, Tensor] = {}
        for label, loss in zip(self.labels, self.losses, strict=True):
            for name, value in loss(output, generator=generator).items():
                if name == "loss":
                    losses[label] = value
                else:
                    metrics[f"{label}/{name}"] = value.detach()
        return replace(output, losses=losses, metrics=metrics)

    def _merge(self, passes: list[PretrainOutput], *, levels: HiddenLevels) -> PretrainOutput:
        """The first pass with the weighted mean of all passes' losses."""
        if len(passes) == 1:
            return passes[0]
        total = sum(levels.weights)
        shares = [weight / total for weight in levels.weights]
        losses = {
            label: torch.stack(
                [share * one.losses[label] for share, one in zip(shares, passes, strict=True)]
            ).sum()
            for label in self.labels
        }
        metrics = {
            f"{name}/pass{i}": value
            for i, one in enumerate(passes)
            for name, value in {**one.losses, **one.metrics}.items()
        }
        return replace(
            passes[0],
            losses=losses,
            metrics={name: value.detach() for name, value in metrics.items()},
            levels=levels,
            hidden=levels.voxels(self.cell),
            nested=tuple(passes[1:]),
        )
