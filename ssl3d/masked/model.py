"""The model that is pre-trained: backbone, decoder and losses, and one step of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from ssl3d.kinds.backbone import Backbone
from ssl3d.kinds.batch import Batch, ViewBatch
from ssl3d.kinds.decoder import Decoder, encoded
from ssl3d.kinds.loss import Loss
from ssl3d.kinds.masker import Masker
from ssl3d.kinds.output import StepOutput, Target, ViewOutput
from ssl3d.kinds.views import Views
from ssl3d.masked.cast import cast_at_once
from ssl3d.masked.inputs import Hidden, given_batch
from ssl3d.masked.output import PretrainOutput
from ssl3d.masked.passes import Passed, in_parts
from ssl3d.masked.spec import NormalisationSpec
from ssl3d.masked.target import NORMALISATION, hidden_patches
from ssl3d.sparse import CellGrid, FeatureMap, SparseBackend, SparseVolume


class PretrainModel(nn.Module):
    """Encode what is visible, densify, decode, restore what is hidden.

    Made by `ExperimentSpec.build`.

    Args:
        backbone: the encoder that is pre-trained.
        backend: computes on visible cells.
        views: of a sample, as data makes them.
        masker: draws what is hidden of them.
        losses: label to loss.
        weights: label to its factor in the total.
        decoder: restores the volume from the stages; None where no loss needs it.
        in_channels: that the encoder sees, the first of the volume's.
        out_channels: of the volumes, all of which are restored; None: as many.
        encoder_input: `visible`, or `zeroed` for the dense baseline.
        target: `patch_normalised`, `voxels` or `features`.
        normalisation: of the target.
        at_once: views that are encoded together, at most; None: all of a level.
        feature_encoder: where features are hidden: the backbone sees the whole volume, and this
            network encodes what is visible of its deepest map. None: the input is hidden.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        backend: SparseBackend,
        views: Views,
        masker: Masker,
        losses: Mapping[str, Loss],
        weights: Mapping[str, float],
        decoder: Decoder | None,
        in_channels: int,
        out_channels: int | None = None,
        encoder_input: Literal["visible", "zeroed"] = "visible",
        target: Target = "patch_normalised",
        normalisation: NormalisationSpec = NORMALISATION,
        at_once: int | None = None,
        feature_encoder: Backbone | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.feature_encoder = feature_encoder
        self.decoder = decoder
        # Labels may hold dots, which module names may not.
        self.losses = nn.ModuleList(losses.values())
        self.labels = tuple(losses)
        self.weights = dict(weights)
        self.backend = backend
        self.views = views
        self.masker = masker
        self.in_channels = in_channels
        self.out_channels = in_channels if out_channels is None else out_channels
        self.cell = views.cell
        self.encoder_input = encoder_input
        self.target: Target = target
        self.normalisation = normalisation
        self.at_once = at_once

    def forward(
        self,
        volume: Tensor,
        *,
        valid: Tensor | None = None,
        present: Tensor | None = None,
        hidden: Hidden | None = None,
        generator: torch.Generator | None = None,
    ) -> PretrainOutput:
        """One step on volumes in memory, without the backward pass.

        Args:
            volume: (B, C, D, H, W), edges multiples of the cell.
            valid: (B, D, H, W) bool, voxels that are data; all by default. It comes from the
                data, never from the voxels.
            present: (B, C) bool, False for channels that a sample lacks: they are seen as 0 and
                nothing of them is restored; all are there by default.
            hidden: what to hide of one view in place of the masker's draw: `HiddenLevels`, or one
                or several nested boolean levels in cells (B, Gd, Gh, Gw) or voxels (B, D, H, W).
            generator: a CPU generator for views and for losses that sample.

        Raises:
            ValueError: wrong shapes, or neither `hidden` nor `generator`.
        """
        if generator is None:
            if hidden is None:
                raise ValueError("give a torch.Generator to draw hidden cells, or `hidden` itself")
            generator = torch.Generator().manual_seed(0)
        batch = given_batch(
            volume,
            valid=valid,
            present=present,
            hidden=hidden,
            views=self.views,
            masker=self.masker,
            generator=generator,
        )
        return self.step(batch, generator=generator)

    def step(self, batch: Batch, *, generator: torch.Generator) -> PretrainOutput:
        """All views of a batch, encoded and restored, and the losses.

        Args:
            batch: on the device of the model; nothing is asked of the device.
            generator: a CPU generator for losses that sample.

        Raises:
            ValueError: the volumes have another number of channels than the model takes.
        """
        step = StepOutput(batch, tuple(map(self._restore, batch.views)))
        losses: dict[str, Tensor] = {}
        metrics: dict[str, Tensor] = {}
        for label, loss in zip(self.labels, self.losses, strict=True):
            for name, value in loss(step, generator=generator).items():
                if name == "loss":
                    losses[label] = value
                else:
                    metrics[f"{label}/{name}"] = value.detach()
        return PretrainOutput(step, losses=losses, weights=self.weights, metrics=metrics)

    @property
    def encoder(self) -> Backbone:
        """What encodes what is visible: the backbone, or the feature encoder."""
        return self.backbone if self.feature_encoder is None else self.feature_encoder

    def encode(self, volume: Tensor, *, cells: CellGrid) -> tuple[FeatureMap, ...]:
        """The feature maps of what is visible, fine to coarse.

        Args:
            volume: (B, C, D, H, W).
            cells: which cells are visible.
        """
        stages: tuple[FeatureMap, ...]
        stages = self.encoder(self._seen(self.hideable(volume), cells=cells))
        return stages

    def hideable(self, volume: Tensor) -> Tensor:
        """What is hidden in part: the channels that the encoder sees, or the backbone's deepest map
        of all of them.
        """
        seen = volume[:, : self.in_channels]
        if self.feature_encoder is None:
            return seen
        deepest: Tensor = self.backbone(seen)[-1]
        return deepest

    def _seen(self, hideable: Tensor, *, cells: CellGrid) -> FeatureMap:
        """What the encoder is given of it."""
        whole = self.feature_encoder is None
        site = (1, 1, 1) if whole else self.backbone.stages[-1].stride
        visible = SparseVolume.from_dense(hideable, cells=cells, backend=self.backend, stride=site)
        return visible if self.encoder_input == "visible" else visible.to_dense()

    def one_pass(self, hideable: Tensor, cells: CellGrid) -> Passed:
        """One pass of the encoder, and of the decoder where there is one.

        Args:
            hideable: (R, C, d, h, w), see `hideable`.
            cells: which cells are visible.
        """
        seen = self._seen(hideable, cells=cells)
        stages, beside = encoded(partial(cast_at_once, self.encoder), seen, decoder=self.decoder)
        if self.decoder is None:
            return stages, None
        return stages, cast_at_once(self.decoder, stages, **beside)

    def _restore(self, views: ViewBatch) -> ViewOutput:
        """Encode the views of a level, and decode them where there is a decoder."""
        if views.volume.shape[1] != self.out_channels:
            raise ValueError(
                f"volume has {views.volume.shape[1]} channels; this model takes {self.out_channels}"
            )
        views = views.enlarged()
        hideable = self.hideable(views.volume)
        stages, decoded = in_parts(self.one_pass, hideable, cells=views.cells, at_once=self.at_once)
        if decoded is None:
            return ViewOutput(views, stages, self.target)
        features = hideable.detach() if self.target == "features" else None
        patches = hidden_patches(
            views,
            prediction=decoded.volume,
            target=self.target,
            normalisation=self.normalisation,
            features=features,
        )
        return ViewOutput(
            views, stages, self.target, deepest=features, decoded=decoded, found=patches
        )
