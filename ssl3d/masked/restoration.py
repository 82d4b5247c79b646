"""The restoration loss: how far the prediction of hidden patches is from their target."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ssl3d.kinds.loss import Loss
from ssl3d.kinds.output import StepOutput, ViewOutput
from ssl3d.kinds.patches import HiddenPatches
from ssl3d.masked.target import trivial_prediction


class RestorationLoss(Loss):
    """Base of losses on hidden voxels; a subclass gives the error of one voxel.

    The error is averaged within a patch over its scored voxels and channels, then over a view's
    hidden patches that have any, then over the views that have any; where `over_patches` is True
    over the hidden patches of all views at once. With several hidden levels the
    mean of each is taken apart and weighted. What is not hidden, not valid, or without contrast
    under the normalised target counts neither in the value nor in the gradient, whatever stands
    there.
    """

    @property
    def over_patches(self) -> bool:
        """True for a mean over the hidden patches of all samples at once."""
        return False

    @abstractmethod
    def error(self, difference: Tensor) -> Tensor:
        """Error of each voxel from prediction - target, (M, V, C) to (M, V, C); 0 for 0."""

    def forward(
        self,
        step: StepOutput,
        *,
        generator: torch.Generator,  # noqa: ARG002 (nothing is sampled)
    ) -> dict[str, Tensor]:
        """`loss`, and with several hidden levels also `level0`, `level1`, ... without gradient.

        A level that hides nothing that can be scored gives 0.
        """
        return step.mean(lambda view: self._reduce(view, prediction=view.patches.prediction))

    @torch.no_grad()
    def trivial(self, step: StepOutput) -> dict[str, Tensor]:
        """The same numbers for a prediction that needs no network, on the very same patches.

        See `trivial_prediction`: a result means something only beside it.
        """
        return step.mean(lambda view: self._reduce(view, prediction=trivial_prediction(view)))

    def measurable(self, step: StepOutput) -> Tensor:
        """(B,) bool: samples with a hidden patch that can be scored."""
        return step.any_view(lambda view: self.measurable_levels(view)[0])

    @torch.no_grad()
    def measurable_levels(self, view: ViewOutput) -> list[Tensor]:
        """(R,) bool for each hidden level of a view."""
        return [level.flatten(1).any(1) for level in _counted(view)]

    def _reduce(self, view: ViewOutput, *, prediction: Tensor) -> dict[str, Tensor]:
        patches, weights = view.patches, view.batch.hidden.weights
        difference = torch.where(patches.scored, prediction - patches.target, 0)
        errors = self.error(difference).sum((1, 2)) / patches.counts.clamp(min=1)
        mean = _mean_over_cells if self.over_patches else _mean_over_rows
        means = [
            mean(_on_grid(errors, patches=patches, like=level), counted=level)
            for level in _counted(view)
        ]
        if len(means) == 1:
            return {"loss": means[0]}
        weighted = [weight * mean for weight, mean in zip(weights, means, strict=True)]
        levels = {f"level{i}": mean.detach() for i, mean in enumerate(means)}
        return {"loss": torch.stack(weighted).sum() / sum(weights), **levels}


def restoration_label(labels: Iterable[str], *, losses: Iterable[nn.Module]) -> str | None:
    """Label of the first loss that restores, by which a run is judged; None where none does."""
    pairs = zip(labels, losses, strict=True)
    return next((label for label, loss in pairs if isinstance(loss, RestorationLoss)), None)


def _counted(view: ViewOutput) -> list[Tensor]:
    """For each hidden level (R, Gd, Gh, Gw) bool: cells with something that is scored."""
    patches = view.patches
    scored = patches.counts > 0
    return [
        level & _on_grid(scored, patches=patches, like=level) for level in view.batch.hidden.levels
    ]


def _on_grid(values: Tensor, *, patches: HiddenPatches, like: Tensor) -> Tensor:
    """(M,) values put at their cells of a (R, Gd, Gh, Gw) grid, 0 or False elsewhere.

    Sums over rows are then plain sums over a dimension: no scatter with colliding indices, whose
    order of summation a GPU does not fix.
    """
    flat = torch.zeros(like.numel(), dtype=values.dtype, device=values.device)
    return flat.index_copy(0, patches.positions, values).view(like.shape)


def _mean_over_rows(errors: Tensor, *, counted: Tensor) -> Tensor:
    """Mean over each row's counted cells, then over the rows that have any; 0 where none."""
    cells = counted.flatten(1).sum(1)
    per_row = torch.where(counted, errors, 0).flatten(1).sum(1) / cells.clamp(min=1)
    return per_row.sum() / (cells > 0).sum().clamp(min=1)


def _mean_over_cells(errors: Tensor, *, counted: Tensor) -> Tensor:
    """Mean over the counted cells of all rows; 0 where there are none."""
    per_row = torch.where(counted, errors, 0).flatten(1).sum(1)
    return per_row.sum() / counted.sum().clamp(min=1)
