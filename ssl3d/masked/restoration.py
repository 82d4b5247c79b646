"""The restoration loss: how far the prediction of hidden patches is from their target."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ssl3d.kinds.loss import Loss
from ssl3d.kinds.output import PretrainOutput
from ssl3d.masked.target import HiddenPatches, hidden_patches, trivial_prediction


class RestorationLoss(Loss):
    """Base of losses on hidden voxels; a subclass gives the error of one voxel.

    The error is averaged within a patch over its scored voxels and channels, then over a sample's
    hidden patches that have any, then over the samples that have any. With several levels the mean
    of each is taken apart and weighted. What is not hidden, not valid, or without contrast under
    the normalised target counts neither in the value nor in the gradient, whatever stands there.
    """

    @abstractmethod
    def error(self, difference: Tensor) -> Tensor:
        """Error of each voxel from prediction - target, (M, V, C) to (M, V, C); 0 for 0."""

    def forward(
        self,
        output: PretrainOutput,
        *,
        generator: torch.Generator | None = None,  # noqa: ARG002 (nothing is sampled)
    ) -> dict[str, Tensor]:
        """`loss`, and with several levels also `level0`, `level1`, ... without gradient.

        A level that hides nothing that can be scored gives 0.
        """
        patches = hidden_patches(output)
        return self._reduce(output, patches=patches, prediction=patches.prediction)

    @torch.no_grad()
    def trivial(self, output: PretrainOutput) -> dict[str, Tensor]:
        """The same numbers for a prediction that needs no network, on the very same patches.

        See `trivial_prediction`: a result means something only beside it.
        """
        patches = hidden_patches(output)
        prediction = trivial_prediction(output, patches=patches)
        return self._reduce(output, patches=patches, prediction=prediction)

    def measurable(self, output: PretrainOutput) -> Tensor:
        """(B,) bool: samples with a hidden patch that can be scored."""
        return self.measurable_levels(output)[0]

    @torch.no_grad()
    def measurable_levels(self, output: PretrainOutput) -> list[Tensor]:
        """The same for each level."""
        counted = _counted(output, patches=hidden_patches(output))
        return [level.flatten(1).any(1) for level in counted]

    def _reduce(
        self, output: PretrainOutput, *, patches: HiddenPatches, prediction: Tensor
    ) -> dict[str, Tensor]:
        difference = torch.where(patches.scored, prediction - patches.target, 0)
        count = patches.scored.sum((1, 2))
        errors = self.error(difference).sum((1, 2)) / count.clamp(min=1)
        means = [
            _mean_over_samples(
                _on_grid(errors, positions=patches.positions, like=level), counted=level
            )
            for level in _counted(output, patches=patches)
        ]
        weights = output.levels.weights
        weighted = [weight * mean for weight, mean in zip(weights, means, strict=True)]
        losses = {"loss": torch.stack(weighted).sum() / sum(weights)}
        if len(means) > 1:
            losses |= {f"level{i}": mean.detach() for i, mean in enumerate(means)}
        return losses


def restoration_label(labels: Iterable[str], *, losses: Iterable[nn.Module]) -> str | None:
    """Label of the first loss that restores, by which a run is judged; None where none does."""
    pairs = zip(labels, losses, strict=True)
    return next((label for label, loss in pairs if isinstance(loss, RestorationLoss)), None)


def _counted(output: PretrainOutput, *, patches: HiddenPatches) -> list[Tensor]:
    """For each level (B, Gd, Gh, Gw) bool: hidden cells with something that is scored."""
    scored = patches.scored.flatten(1).any(1)
    return [
        level & _on_grid(scored, positions=patches.positions, like=level)
        for level in output.levels.levels
    ]


def _on_grid(values: Tensor, *, positions: Tensor, like: Tensor) -> Tensor:
    """(M,) values put at their cells of a (B, Gd, Gh, Gw) grid, 0 or False elsewhere.

    Sums over samples are then plain sums over a dimension: no scatter with colliding indices,
    whose order of summation a GPU does not fix.
    """
    flat = torch.zeros(like.numel(), dtype=values.dtype, device=values.device)
    return flat.index_copy(0, positions, values).view(like.shape)


def _mean_over_samples(errors: Tensor, *, counted: Tensor) -> Tensor:
    """Mean over each sample's counted cells, then over the samples that have any; 0 where none."""
    cells = counted.flatten(1).sum(1)
    per_sample = torch.where(counted, errors, 0).flatten(1).sum(1) / cells.clamp(min=1)
    return per_sample.sum() / (cells > 0).sum().clamp(min=1)
