"""The loss `info_nce` between views and those that they lie in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl3d.geometry import Stage
from ssl3d.kinds.loss import Loss
from ssl3d.kinds.output import StepOutput
from ssl3d.precision import at_least_single
from ssl3d_plugins.losses.contrast import contrast, head, mean_over_rows
from ssl3d_plugins.losses.gather import gather_keys
from ssl3d_plugins.losses.parts import part_features, part_numbers, parts_with_contrast

if TYPE_CHECKING:
    from ssl3d_plugins.losses.info_nce_config import InfoNCE


class InfoNCEViewsLoss(Loss):
    """InfoNCE (arXiv 1807.03748, equation 4) between a view and its place in its parent.

    After the cross-level alignment of mask-in-mask (arXiv 2404.15580). For each level of views that
    lie in others:

    - query: the decoder's features of the view, averaged, through the head of its level;
    - key: those of its parent, detached, averaged over the place where the view lies, through the
      head of the parent's level. The parent hides that place: only its decoder knows of it;
    - negatives: the other places of that parent, or of all parents of the batch. A place is as
      large as a view is in its parent: there are 8 octants, or 216 cells.

    Both are scaled to length 1, and the cosines divided by the temperature. Averages leave out
    cells without data. Places without contrast are neither positive nor negative, and a view counts
    where its own place is usable and another one is too. The cross entropy is averaged over a
    sample's views, over the samples that have any, and over the levels by their weights.

    While training with several ranks, `negatives="batch"` takes keys from all of them.

    Args:
        config: the options.
        stages: of the backbone.
        features: of the decoder.
        levels: of views.
    """

    config: InfoNCE

    def __init__(
        self, config: InfoNCE, *, stages: Sequence[Stage], features: Stage | None, levels: int
    ) -> None:
        super().__init__(config, stages=stages)
        assert features is not None, "validation asks whether the decoder's features are known"
        self.heads = nn.ModuleList(head(features.channels, config.width) for _ in range(levels))

    def forward(
        self,
        step: StepOutput,
        *,
        generator: torch.Generator,  # noqa: ARG002 (nothing is sampled)
    ) -> dict[str, Tensor]:
        """`loss`; without gradient `view1`, ... and `top1/view1`, ...: the share of views that are
        nearest to their place, by level. 0 where no view lies in another.
        """
        values: dict[str, Tensor] = {}
        weighted, total = [step.views[0].features.new_zeros(())], 0.0
        for number in _levels(step):
            weight = step.views[number].batch.level.weight
            loss, top1 = self._level(step, number)
            weighted.append(weight * loss)
            total += weight
            values |= {f"view{number}": loss.detach(), f"top1/view{number}": top1.detach()}
        return {"loss": torch.stack(weighted).sum() / (total or 1), **values}

    def measurable(self, step: StepOutput) -> Tensor:
        """(B,) bool: samples with a view that counts."""
        return torch.stack(self.measurable_views(step)).any(0)

    @torch.no_grad()
    def measurable_views(self, step: StepOutput) -> list[Tensor]:
        """(B,) bool for each level: samples with a view that counts; none in the first."""
        none = step.views[0].batch.hidden.levels[0].new_zeros(len(step.batch))
        found = [none for _ in step.views]
        for number in _levels(step):
            usable, own, inside = _places(step, number)
            used = self._used(usable, own=own, inside=inside)
            found[number] = used.view(len(step.batch), -1).any(1)
        return found

    def _level(self, step: StepOutput, number: int) -> tuple[Tensor, Tensor]:
        """Loss and top-1 of the views of one level."""
        view, parents = step.views[number], step.views[number - 1]
        assert view.batch.level.place is not None
        alone = part_features(view, part=view.batch.cells.grid)[:, 0]
        places = part_features(parents, part=view.batch.level.place).detach()
        query, keys = (
            F.normalize(at_least_single(project(features)), dim=-1)
            for project, features in (
                (self.heads[number], alone),
                (self.heads[number - 1], places.flatten(0, 1)),
            )
        )
        usable, own, inside = _places(step, number)
        allowed, start = usable.flatten(), 0
        if self.config.negatives == "batch" and self.training:
            keys, allowed, start = gather_keys(keys, used=allowed)
        used = self._used(usable, own=own, inside=inside, everywhere=allowed)
        if self.config.negatives == "batch":
            query, keys, allowed = query[None], keys[None], allowed[None]
            positive = (own + start)[:, None]
        else:  # a group for each view: the places of its parent
            count = usable.shape[1]
            query, parent = query[:, None], own // count
            keys, allowed = keys.view(*usable.shape, -1)[parent], usable[parent]
            positive = (own % count)[:, None, None]
        index = torch.arange(keys.shape[1], device=keys.device)
        loss, correct = contrast(
            query,
            candidates=keys,
            allowed=allowed,
            own=index == positive,
            temperature=self.config.temperature,
        )
        used = used.view(len(step.batch), -1)
        return (
            mean_over_rows(loss.view(used.shape), used=used),
            mean_over_rows(correct.view(used.shape), used=used),
        )

    def _used(
        self, usable: Tensor, *, own: Tensor, inside: Tensor, everywhere: Tensor | None = None
    ) -> Tensor:
        """(R,) bool: views whose own place is usable, and another among their candidates.

        Args:
            usable: (Rp, P) bool, places of the parents.
            own: (R,) each view's own, by its raster index in these.
            inside: (R,) bool, views that have a parent.
            everywhere: (M,) bool, places of all ranks; None: of this one.
        """
        count = usable.sum(1)[own // usable.shape[1]]
        if self.config.negatives == "batch":
            count = (usable if everywhere is None else everywhere).sum()
        return inside & usable.flatten()[own] & (count >= 2)


def _levels(step: StepOutput) -> list[int]:
    """Those whose views lie in views of the level before."""
    return [i for i, view in enumerate(step.views) if view.batch.level.place is not None]


def _places(step: StepOutput, number: int) -> tuple[Tensor, Tensor, Tensor]:
    """Where the views of a level lie, among the places of the level before.

    Returns:
        (Rp, P) bool: places with contrast; (R,) raster index of each view's own among all Rp·P, 0
        where it has none; (R,) bool: views that have one.
    """
    batch, parents = step.views[number].batch, step.views[number - 1].batch
    assert batch.level.place is not None
    assert batch.parent is not None
    usable = parts_with_contrast(parents, part=batch.level.place)
    row = batch.parent.clamp(min=0)
    own = row * usable.shape[1] + part_numbers(batch, grid=parents.cells.grid)
    return usable, own, batch.parent >= 0
