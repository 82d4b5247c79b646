"""From the stages of all crops of a case to one vector of outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from ssl3d.geometry import Stage

CropPool = Literal["maximum", "attention"]
SitePool = Literal["mean", "maximum", "both"]


class PooledHead(nn.Module):
    """Stages pooled over their valid sites, a layer norm, dropout and a linear map.

    Several crops of a case are joined by the maximum of each output, or by gated attention over
    their features (Ilse et al. 2018, arXiv 1802.04712, equation 9). A crop of padding alone counts
    in neither.

    Args:
        stages: of the backbone, fine to coarse.
        outputs: K.
        sites: how a stage is pooled.
        crops: how the crops of a case are joined.
        dropout: share of features dropped in training.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        *,
        outputs: int,
        sites: SitePool,
        crops: CropPool,
        dropout: float,
    ) -> None:
        super().__init__()
        width = sum(stage.channels for stage in stages) * (2 if sites == "both" else 1)
        self.strides = [stage.stride for stage in stages]
        self.sites = sites
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, outputs)
        self.attention: nn.ModuleDict | None = None
        if crops == "attention":
            hidden = max(8, width // 4)
            names = {"tanh": hidden, "gate": hidden}
            self.attention = nn.ModuleDict({n: nn.Linear(width, w) for n, w in names.items()})
            self.attention["score"] = nn.Linear(hidden, 1)

    def forward(self, stages: Sequence[Tensor], *, valid: Tensor | None) -> Tensor:
        """(R, C, d, h, w) each to (R, F + 1): features, and 1 where a crop shows anything."""
        pairs = zip(stages, self.strides, strict=True)
        pooled = [self._pool(x.float(), valid=_share(valid, stride=s)) for x, s in pairs]
        features = self.norm(torch.cat(pooled, 1))
        seen = torch.ones_like(features[:, :1])
        if valid is not None:
            seen = valid.flatten(1).any(1, keepdim=True).to(features.dtype)
        return torch.cat([features, seen], 1)

    def joined(self, crops: Tensor, *, counts: Sequence[int]) -> Tensor:
        """(R, F + 1) to (B, K)."""
        # (B, most crops, F + 1): cases with fewer get crops that show nothing.
        padded = pad_sequence(list(torch.split(crops.float(), list(counts))), batch_first=True)
        features, shown = self.dropout(padded[..., :-1]), padded[..., -1] > 0
        # A case of padding alone is joined as if all were shown: no NaN.
        shown = shown | ~shown.any(1, keepdim=True)
        if self.attention is None:
            scores: Tensor = self.linear(features)
            return scores.masked_fill(~shown[..., None], -torch.inf).amax(1)
        gated = self.attention["tanh"](features).tanh() * self.attention["gate"](features).sigmoid()
        score = self.attention["score"](gated).masked_fill(~shown[..., None], -torch.inf)
        joined: Tensor = self.linear((score.softmax(1) * features).sum(1))
        return joined

    def _pool(self, x: Tensor, *, valid: Tensor | None) -> Tensor:
        """(R, C, d, h, w) to (R, C), or twice as many for both; `valid` is a share of each site."""
        weight = torch.ones_like(x[:, :1]) if valid is None else valid
        found = []
        if self.sites in ("mean", "both"):
            total = weight.flatten(2).sum(2).clamp(min=1e-6)
            found.append((x * weight).flatten(2).sum(2) / total)
        if self.sites in ("maximum", "both"):
            lowest = torch.finfo(x.dtype).min
            highest = x.masked_fill(weight == 0, lowest).flatten(2).amax(2)
            found.append(highest.masked_fill(~weight.flatten(2).any(2), 0.0))
        return torch.cat(found, 1)


def _share(valid: Tensor | None, *, stride: tuple[int, int, int]) -> Tensor | None:
    """(R, 1, d, h, w): the share of valid voxels of each site."""
    return None if valid is None else F.avg_pool3d(valid[:, None].float(), stride)
