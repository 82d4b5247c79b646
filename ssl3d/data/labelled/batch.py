"""What a fine-tuning step is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ssl3d.data.labelled.crop import LabelledSample


class LabelledBatch:
    """Crops of some cases, case by case: R rows, B cases.

    Attributes:
        volume: (R, C, D, H, W), 0 where not valid.
        valid: (R, D, H, W) bool; None where all voxels are valid, and targets are of cases.
        labels: (R, D, H, W) int16, classes and IGNORE; None for targets.
        targets: (B, columns) float32, NaN where nobody knows; None for labels.
        counts: rows of each case.
        samples: number of each.
        sources: its name.
        spacings: (z, y, x) of its voxels, in mm.
    """

    __slots__ = ("counts", "labels", "samples", "sources", "spacings", "targets", "valid", "volume")

    def __init__(
        self,
        volume: Tensor,
        *,
        valid: Tensor | None,
        labels: Tensor | None,
        targets: Tensor | None,
        counts: tuple[int, ...],
        samples: tuple[int, ...],
        sources: tuple[str, ...],
        spacings: tuple[tuple[float, float, float], ...],
    ) -> None:
        self.volume = volume
        self.valid = valid
        self.labels = labels
        self.targets = targets
        self.counts = counts
        self.samples = samples
        self.sources = sources
        self.spacings = spacings

    def __len__(self) -> int:
        return len(self.samples)

    def pin_memory(self) -> LabelledBatch:
        """The same in pinned memory."""
        return self._moved(lambda tensor: tensor.pin_memory())

    def to(self, device: torch.device | str) -> LabelledBatch:
        """The same on another device, without waiting."""
        return self._moved(lambda tensor: tensor.to(device, non_blocking=True))

    def _moved(self, move: Callable[[Tensor], Tensor]) -> LabelledBatch:
        valid, labels, targets = (
            None if tensor is None else move(tensor)
            for tensor in (self.valid, self.labels, self.targets)
        )
        return LabelledBatch(
            move(self.volume),
            valid=valid,
            labels=labels,
            targets=targets,
            counts=self.counts,
            samples=self.samples,
            sources=self.sources,
            spacings=self.spacings,
        )


def collate(samples: Sequence[LabelledSample]) -> LabelledBatch:
    """Join the crops of some samples, sample by sample."""
    crops = [crop for sample in samples for crop in sample.crops]
    valid = torch.stack([crop.valid for crop in crops])
    labels = [crop.labels for crop in crops if crop.labels is not None]
    targets = [sample.targets for sample in samples if sample.targets is not None]
    assert len(labels) in (0, len(crops)), "some crops have labels"
    assert len(targets) in (0, len(samples)), "some samples have targets"
    return LabelledBatch(
        torch.stack([crop.volume for crop in crops]),
        # Batches of label maps are all of one kind, as a CUDA graph needs them.
        valid=None if not labels and bool(valid.all()) else valid,
        labels=torch.stack(labels) if labels else None,
        targets=torch.stack(targets) if targets else None,
        counts=tuple(len(sample.crops) for sample in samples),
        samples=tuple(sample.number for sample in samples),
        sources=tuple(sample.source for sample in samples),
        spacings=tuple(sample.spacing for sample in samples),
    )
