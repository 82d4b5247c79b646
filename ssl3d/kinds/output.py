"""What one step of pre-training gives, and losses are computed on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor

from ssl3d.kinds.batch import Batch, ViewBatch
from ssl3d.kinds.decoder import DecoderOutput
from ssl3d.kinds.patches import HiddenPatches
from ssl3d.sparse import FeatureMap

T = TypeVar("T")

Target = Literal["patch_normalised", "voxels", "features"]


@dataclass(frozen=True, eq=False)
class ViewOutput:
    """What a step makes of the views of one level.

    Attributes:
        batch: what it was given.
        stages: the backbone's feature maps, fine to coarse.
        target: what is restored.
        deepest: (R, C, d, h, w) without gradient, the backbone's deepest map, where that is
            restored; None where voxels are.
        decoded: what the decoder made of them; None where no loss needs a restoration.
        found: what it restored of the hidden patches; None likewise.
    """

    batch: ViewBatch
    stages: tuple[FeatureMap, ...]
    target: Target
    deepest: Tensor | None = None
    decoded: DecoderOutput | None = None
    found: HiddenPatches | None = None

    @property
    def prediction(self) -> Tensor:
        """(R, C, D, H, W), in units of the target; raises ValueError where nothing was restored."""
        return _restored(self.decoded).volume

    @property
    def features(self) -> Tensor:
        """(R, F, d, h, w), the decoder's finest map; ValueError where nothing was restored."""
        return _restored(self.decoded).features

    @property
    def patches(self) -> HiddenPatches:
        """What was restored of the hidden patches; raises ValueError where nothing was."""
        return _restored(self.found)


@dataclass(frozen=True, eq=False)
class StepOutput:
    """All views of a step, encoded and restored.

    Attributes:
        batch: what it was given.
        views: of each level.
    """

    batch: Batch
    views: tuple[ViewOutput, ...]

    def mean(self, per_view: Callable[[ViewOutput], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """A loss over all levels of views, by their weights.

        Args:
            per_view: named scalars of one level, `loss` among them.

        Returns:
            Those of the only level as they are. Of several the weighted mean of `loss`, and without
            gradient all of them as `view0`, `view1`, ... and `name/view0`, ...
        """
        found = [per_view(view) for view in self.views]
        if len(found) == 1:
            return dict(found[0])
        weights = [view.batch.level.weight for view in self.views]
        weighted = [weight * one["loss"] for weight, one in zip(weights, found, strict=True)]
        means = {"loss": torch.stack(weighted).sum() / sum(weights)}
        for i, one in enumerate(found):
            for name, value in one.items():
                title = f"view{i}" if name == "loss" else f"{name}/view{i}"
                means[title] = value.detach()
        return means

    def any_view(self, per_view: Callable[[ViewOutput], Tensor]) -> Tensor:
        """(B,) bool: samples of which `per_view`, (R,) bool, is true of any row."""
        rows = [per_view(view).view(len(self.batch), -1) for view in self.views]
        return torch.cat(rows, 1).any(1)


def _restored(value: T | None) -> T:
    if value is None:
        raise ValueError(
            "nothing was restored, since no loss of the spec needs it: a loss that looks at the "
            'prediction says so in its config, by "restoration" among its needs()'
        )
    return value


def label_of(name: str, *, labels: Iterable[str]) -> str | None:
    """Label of the loss that a number is of, such as `mse` for `mse/level0`; None for the total."""
    own = [label for label in labels if name == label or name.startswith(f"{label}/")]
    return max(own, key=len, default=None)
