"""What the forms of `info_nce` share: projection heads, and the cross entropy of a query."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl3d.precision import no_autocast


def head(channels: int, width: int) -> nn.Module:
    """A projection of two layers."""
    return nn.Sequential(nn.Linear(channels, width), nn.GELU(), nn.Linear(width, width))


def contrast(
    query: Tensor, *, candidates: Tensor, allowed: Tensor, own: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Cross entropy of each query against its candidates (arXiv 1807.03748, equation 4).

    Args:
        query: (G, Q, C), length 1.
        candidates: (G, M, C), length 1.
        allowed: (G, M) bool, candidates that count. Queries whose positive does not count get a
            value without meaning.
        own: (G, Q, M) bool or what broadcasts to it: the positive of each query.
        temperature: divides the cosines.

    Returns:
        Cross entropy (G, Q), and (G, Q) 1 where the positive is nearer than every negative, else
        0: ties count as misses, so features that are all alike score 0.
    """
    with no_autocast(query):
        logits = query @ candidates.transpose(1, 2) / temperature
    positive = torch.where(own, logits, 0).sum(-1)
    # A finite stand-in for -inf: rows without a candidate then give no NaN gradient.
    logits = torch.where(allowed[:, None], logits, torch.finfo(logits.dtype).min)
    nearer = (logits >= positive[..., None]) & ~own
    return logits.logsumexp(-1) - positive, (~nearer.any(-1)).to(logits.dtype)


def mean_over_rows(values: Tensor, *, used: Tensor) -> Tensor:
    """(R, K) to a scalar: mean over each row's used values, then over the rows that have any.

    0 where there is none.
    """
    counts = used.sum(1)
    per_row = torch.where(used, values, 0).sum(1) / counts.clamp(min=1)
    return per_row.sum() / (counts > 0).sum().clamp(min=1)
