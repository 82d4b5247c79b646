"""Group norm whose statistics see visible sites only."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from ssl3d.sparse import FeatureMap, SparseVolume
from ssl3d.sparse.nothing import touching


class GroupNorm(nn.GroupNorm):
    """Over the visible sites of each sample and a group of channels (Wu & He 2018)."""

    def forward(self, x: FeatureMap) -> FeatureMap:  # type: ignore[override]
        """Same shape as the input."""
        if not isinstance(x, SparseVolume):
            return super().forward(x)
        if not x.cells.n:
            return x.with_features(touching(x.features, self.weight, self.bias))
        # Rows are sorted by sample: each sample's are its channels' visible sites.
        samples = [
            F.group_norm(rows.t()[None], self.num_groups, self.weight, self.bias, self.eps)[0].t()
            for rows in torch.split(x.sites, list(x.site_counts))
            if len(rows)
        ]
        return x.with_features(torch.cat(samples))
