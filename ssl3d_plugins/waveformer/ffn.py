"""The feed-forward half of a block: `x + FFN(norm(x))`."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from ssl3d.sparse import FeatureMap
from ssl3d.sparse.layers import Conv3d
from ssl3d_plugins.waveformer.boxes import boxes_of, like
from ssl3d_plugins.waveformer.initial import init_linear
from ssl3d_plugins.waveformer.plan import BlockPlan

FfnKind = Literal["mlp", "conv", "conv_norm"]


class FeedForward(nn.Module):
    """Pointwise MLP; `conv` and `conv_norm` have a depthwise 3 x 3 x 3 convolution inside.

    `conv_norm` is pointwise - norm - GELU - depthwise - norm - GELU - pointwise, the form of
    WaveFormer (arXiv 2503.23764, section 3). `again` adds the normed input once more, as the
    public code does.
    """

    def __init__(
        self, plan: BlockPlan, *, kind: FfnKind, eps: float = 1e-5, again: bool = False
    ) -> None:
        super().__init__()
        width, hidden = plan.width, plan.hidden
        self.again = again
        self.norm = nn.LayerNorm(width, eps=eps)
        self.wide = nn.Linear(width, hidden)
        self.depthwise = None if plan.depthwise is None else Conv3d.of(plan.depthwise)
        self.inner = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(2 * (kind == "conv_norm")))
        self.narrow = nn.Linear(hidden, width)
        self.apply(init_linear)

    def forward(self, x: FeatureMap) -> FeatureMap:
        """Same shape as the input."""
        boxes = boxes_of(x)
        # Rows: PyTorch adds a bias inside the product for two axes only.
        rows = boxes.flatten(0, -2)
        normed: Tensor = self.norm(rows)
        hidden: Tensor = self.wide(normed)
        if self.inner:
            hidden = F.gelu(self.inner[0](hidden))
        if self.depthwise is not None:
            shaped = like(x, hidden.view(*boxes.shape[:-1], hidden.shape[-1]))
            hidden = boxes_of(self.depthwise(shaped)).flatten(0, -2)
        if self.inner:
            hidden = self.inner[1](hidden)
        change: Tensor = self.narrow(F.gelu(hidden))
        # In place where that rounds nothing: the residual stream is never in half precision.
        changed = change.add_(rows) if change.dtype == rows.dtype else change + rows
        if self.again:
            changed = changed + normed
        return like(x, changed.view_as(boxes))
