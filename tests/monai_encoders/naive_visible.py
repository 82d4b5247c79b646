"""MONAI's own network, run densely with hidden sites set to zero after every layer.

Every layer of the untouched network is swapped for one that computes on the whole volume by the
definition; statistics are taken over the values that a boolean index finds.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Visible:
    """Which cells are visible, at any resolution."""

    def __init__(self, cells: Tensor) -> None:
        self.cells = cells

    def sites(self, x: Tensor) -> Tensor:
        """(B, d, h, w) bool for a map (B, C, d, h, w)."""
        sites = self.cells
        for axis, edge in enumerate(x.shape[2:], start=1):
            sites = sites.repeat_interleave(edge // self.cells.shape[axis], axis)
        return sites

    def keep(self, x: Tensor, *, hidden: float = 0.0) -> Tensor:
        return torch.where(self.sites(x)[:, None], x, hidden)


class Masked(nn.Module):
    """One layer in the sparse sense."""

    def __init__(self, layer: nn.Module, visible: Visible) -> None:
        super().__init__()
        self.layer, self.visible = layer, visible

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.layer, nn.BatchNorm3d | nn.InstanceNorm3d | nn.GroupNorm):
            return self.normalise(x)
        x = self.visible.keep(x, hidden=-torch.inf if isinstance(self.layer, nn.MaxPool3d) else 0)
        return self.visible.keep(self.layer(x))

    def normalise(self, x: Tensor) -> Tensor:
        samples = [slice(None)] if isinstance(self.layer, nn.BatchNorm3d) else range(len(x))
        groups = x.shape[1]
        if isinstance(self.layer, nn.GroupNorm):
            groups = self.layer.num_groups
        size = x.shape[1] // groups
        sites, out = self.visible.sites(x), torch.zeros_like(x)
        for sample in samples:
            for group in range(groups):
                channels = slice(group * size, (group + 1) * size)
                chosen = torch.zeros_like(x, dtype=torch.bool)
                chosen[sample, channels] = sites[sample].unsqueeze(-4)
                values = x[chosen]
                variance, mean = torch.var_mean(values, correction=0)
                out[chosen] = (values - mean) / (variance + self.layer.eps) ** 0.5
        scale, shift = (p.view(1, -1, 1, 1, 1) for p in (self.layer.weight, self.layer.bias))
        return self.visible.keep(out * scale + shift)


def mask_layers(network: nn.Module, visible: Visible) -> None:
    """Swap every layer of a network in place."""
    for name, child in list(network.named_children()):
        if next(child.children(), None) is None:
            setattr(network, name, Masked(child, visible))
        else:
            mask_layers(child, visible)
