"""The loss `info_nce` between adjacent stages."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl3d.geometry import Stage, divides, product, quotient
from ssl3d.kinds.loss import Loss
from ssl3d.kinds.output import StepOutput, ViewOutput
from ssl3d.precision import at_least_single
from ssl3d.sparse import FeatureMap, SparseVolume
from ssl3d_plugins.losses.contrast import contrast, head, mean_over_rows
from ssl3d_plugins.losses.gather import gather_keys
from ssl3d_plugins.losses.sites import group_sites, sample_sites, sites_with_contrast

if TYPE_CHECKING:
    from ssl3d_plugins.losses.info_nce_config import InfoNCE


class InfoNCELoss(Loss):
    """InfoNCE (van den Oord et al., arXiv 1807.03748, equation 4) between adjacent stages.

    For each pair of stages, at sampled visible sites of the coarser one:

    - query: the finer stage's features, averaged over the site, through a projection head;
    - key: the coarser stage's features at the site, through another head;
    - positive: the key of the same site; negatives: the keys of the other sampled sites, of the
      same volume or of the batch. A query is never its own negative, and sites without contrast in
      the volume are neither queries nor keys.

    Both are scaled to length 1, so similarities are cosines, divided by the temperature. The cross
    entropy is averaged over a sample's sites, over the samples with two usable sites or more (0
    where there is none), and over the pairs of stages. Gradients flow through queries and keys.

    While training with several ranks, `negatives="batch"` takes keys from all of them, with
    gradient. In evaluation a rank keeps to the batch that it is given, and a run gives held-out
    crops one at a time: there both kinds of negatives are those of the crop, so that its number
    depends on nothing but the crop.

    Beware that this is easy: the key is a function of features around the query, so a high `top1`
    shows that the heads work, and by itself nothing about the encoder. Measured: heads alone, on
    the default WaveFormer with random frozen weights, reach a top-1 of 0.89 after 400 steps (of at
    most 256 sites; batches of two crops of 64³ from seven CT and MR volumes, 60 % hidden).

    Raises:
        ValueError: fewer than two stages, or a stride that is no multiple of the one before.
    """

    config: InfoNCE

    def __init__(self, config: InfoNCE, *, stages: Sequence[Stage]) -> None:
        super().__init__(config, stages=stages)
        if len(stages) < 2:
            raise ValueError(f"info_nce contrasts adjacent stages; the backbone has {len(stages)}")
        for fine, coarse in pairwise(stages):
            if not divides(fine.stride, coarse.stride):
                raise ValueError(
                    f"info_nce pools a stage of stride {fine.stride} to stride {coarse.stride}, "
                    "which must be a multiple of it on each axis"
                )
        self.query_heads = nn.ModuleList(head(s.channels, config.width) for s in stages[:-1])
        self.key_heads = nn.ModuleList(head(s.channels, config.width) for s in stages[1:])

    def forward(self, step: StepOutput, *, generator: torch.Generator) -> dict[str, Tensor]:
        """`loss`, and `top1`: the share of queries that are nearest to their positive."""
        return step.mean(lambda view: self._view(view, generator))

    def measurable(self, step: StepOutput) -> Tensor:
        """(B,) bool: samples that hide something, with two usable sites or more at each pair."""
        return super().measurable(step) & step.any_view(self._enough)

    @torch.no_grad()
    def _enough(self, view: ViewOutput) -> Tensor:
        """(R,) bool: rows with two usable sites or more of each coarser stage."""
        enough = []
        for coarse in self.stages[1:]:
            usable = sites_with_contrast(view.batch, stride=coarse.stride)
            by_row = torch.split(usable, _site_counts(view, coarse))
            enough.append(torch.stack([sites.sum() >= 2 for sites in by_row]))
        return torch.stack(enough).all(0)

    def _view(self, view: ViewOutput, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss and top-1 of the views of one level: means over pairs of adjacent stages."""
        pairs = [self._pair(view, i, generator) for i in range(len(self.stages) - 1)]
        loss, top1 = (torch.stack(values).mean() for values in zip(*pairs, strict=True))
        return {"loss": loss, "top1": top1.detach()}

    def _pair(self, view: ViewOutput, i: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Loss and top-1 of stages i and i + 1."""
        fine, coarse = self.stages[i], self.stages[i + 1]
        queries = group_sites(
            _visible(view, view.stages[i], stage=fine),
            factor=quotient(coarse.stride, fine.stride),
        ).mean(1)
        keys = _visible(view, view.stages[i + 1], stage=coarse).flatten(0, 3)
        rows, used = sample_sites(
            sites_with_contrast(view.batch, stride=coarse.stride),
            counts=_site_counts(view, coarse),
            # No more than a row has where all its cells are visible: alike in each draw and rank.
            samples=min(self.config.samples, _most_sites(view, coarse)),
            generator=generator,
        )
        query, key = (
            F.normalize(at_least_single(project(_or_one(sites)[rows])), dim=-1)
            for project, sites in ((self.query_heads[i], queries), (self.key_heads[i], keys))
        )
        start = 0
        candidates, allowed = key, used
        if self.config.negatives == "batch":
            # One group of all samples in place of one group for each sample.
            query, candidates, allowed = query.flatten(0, 1), key.flatten(0, 1), used.flatten()
            if self.training:
                candidates, allowed, start = gather_keys(candidates, used=allowed)
            query, candidates, allowed = query[None], candidates[None], allowed[None]
        index = torch.arange(max(query.shape[1], candidates.shape[1]), device=query.device)
        loss, correct = contrast(
            query,
            candidates=candidates,
            allowed=allowed,
            own=index[: query.shape[1], None] + start == index[: candidates.shape[1]],
            temperature=self.config.temperature,
        )
        return (
            mean_over_rows(loss.view(used.shape), used=used),
            mean_over_rows(correct.view(used.shape), used=used),
        )


def _or_one(sites: Tensor) -> Tensor:
    """(S, C) as it is; a row of zeros in place of none, for rows that are not used."""
    return sites if len(sites) else F.pad(sites, (0, 0, 0, 1))


def _site_counts(view: ViewOutput, stage: Stage) -> list[int]:
    """Visible sites of each row at a stage."""
    per_cell = product(quotient(view.batch.cells.cell, stage.stride))
    return [n * per_cell for n in view.batch.cells.counts]


def _most_sites(view: ViewOutput, stage: Stage) -> int:
    """Sites of a row at a stage, hidden ones too."""
    cells = view.batch.cells
    return product(cells.grid) * product(quotient(cells.cell, stage.stride))


def _visible(view: ViewOutput, features: FeatureMap, *, stage: Stage) -> Tensor:
    """(N, cd, ch, cw, C): the visible cells of a stage, whichever way the encoder ran."""
    if isinstance(features, SparseVolume):
        return features.features
    return view.batch.cells.gather(features, stride=stage.stride)
