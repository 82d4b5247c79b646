"""The task `segmentation`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from monai.losses.dice import DiceLoss
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Stage
from ssl3d.kinds.decoder import DecoderOutput
from ssl3d.kinds.task import IGNORE, DownstreamTask, Labelled, Row
from ssl3d.measure.overlap import overlap_row, overlap_summary
from ssl3d_plugins.tasks.segmentation_config import Segmentation


class SegmentationTask(DownstreamTask):
    """See `Segmentation` for the options. The head is the last layer of the decoder."""

    config: Segmentation

    def __init__(self, config: Segmentation, *, stages: Sequence[Stage]) -> None:
        super().__init__(config, stages=stages)
        self.overlap = DiceLoss(reduction="none")
        self.legend = {name: i for i, name in enumerate(config.labels, start=1)}

    def forward(
        self,
        stages: Sequence[Tensor],  # noqa: ARG002
        *,
        decoded: DecoderOutput | None,
        valid: Tensor | None,  # noqa: ARG002
    ) -> tuple[Tensor, ...]:
        """The decoder's volume (R, K, D, H, W), and its coarser ones."""
        assert decoded is not None, "segmentation needs a decoder"
        return (decoded.volume, *decoded.deep)

    def loss(self, outputs: Sequence[Tensor], *, batch: Labelled) -> dict[str, Tensor]:
        """`loss`, and of the finest scale `dice` and `cross_entropy`.

        Scale i of n weighs 2^-i, as in nnU-Net; the weights add up to 1. `count/absent` counts
        labels that a crop lacks.
        """
        assert batch.labels is not None, "segmentation needs label maps"
        classes = batch.labels.long()
        if batch.valid is not None:
            classes = classes.masked_fill(~batch.valid, IGNORE)
        terms = [self._terms(one, classes=_resized(classes, like=one)) for one in outputs]
        weights = [2.0**-i for i in range(len(terms))]
        total = torch.stack([w * t["loss"] for w, t in zip(weights, terms, strict=True)]).sum()
        found = {name: value.detach() for name, value in terms[0].items()}
        return {**found, "loss": total / sum(weights)}

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Softmax over the labels."""
        return outputs.float().softmax(1)

    def decided(self, probabilities: Tensor) -> Tensor:
        """(K, D, H, W) to the likeliest classes (D, H, W)."""
        return probabilities.argmax(0)

    def row(self, decided: Tensor, *, truth: Tensor, spacing: tuple[float, float, float]) -> Row:
        """Dice and HD95 of each label, see `ssl3d.measure.overlap`."""
        return overlap_row(
            decided,
            truth=truth,
            legend=self.legend,
            spacing=spacing,
            ignore=IGNORE,
        )

    def summary(self, rows: Sequence[Mapping[str, float]]) -> Row:
        """Means over cases and labels."""
        return overlap_summary(rows, legend=self.legend)

    def badness(self, row: Mapping[str, float]) -> float:
        """1 - Dice."""
        return 1 - row["dice"]

    def _terms(self, outputs: Tensor, *, classes: Tensor) -> dict[str, Tensor]:
        """Dice and cross-entropy of one scale, and how many labels the crops lack."""
        counts = (classes != IGNORE)[:, None]
        guess = outputs.float().softmax(1) * counts
        truth = F.one_hot(classes.clamp(min=0), guess.shape[1]).movedim(-1, 1) * counts
        has = truth[:, 1:].flatten(2).any(2).float()
        missed = self.overlap(guess[:, 1:], truth[:, 1:].float()).flatten(1)
        dice = (missed * has).sum() / has.sum().clamp(min=1)
        each = F.cross_entropy(outputs.float(), classes, ignore_index=IGNORE, reduction="sum")
        entropy = each / counts.sum().clamp(min=1)
        return {
            "dice": dice,
            "cross_entropy": entropy,
            "count/absent": (1 - has).sum(),
            "loss": self.config.dice * dice + self.config.cross_entropy * entropy,
        }


def _resized(classes: Tensor, *, like: Tensor) -> Tensor:
    """Classes (R, D, H, W) at the size of a coarser output, by the nearest voxel."""
    if classes.shape[1:] == like.shape[2:]:
        return classes
    coarse = F.interpolate(classes[:, None].float(), size=like.shape[2:], mode="nearest-exact")
    return coarse[:, 0].long()
