"""SparK in 3D the slow and obvious way, to compare the product with.

Everything is dense: hidden sites are set to zero before and after every operation, and statistics
are taken over the values that a boolean index finds. Parameters come in by name; none of the
product's code computes here.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d_plugins.resunet.plan import StageOptions

Weights = dict[str, Tensor]


def visible_sites(visible: Tensor, size: tuple[int, ...]) -> Tensor:
    """(B, Gd, Gh, Gw) bool repeated to (B, d, h, w)."""
    for axis, edge in enumerate(size):
        visible = visible.repeat_interleave(edge // visible.shape[axis + 1], axis + 1)
    return visible


class NaiveEncoder:
    """nnU-Net's residual encoder on visible cells; `norm` is instance or batch."""

    def __init__(self, weights: Weights, plans: tuple[StageOptions, ...], *, norm: str) -> None:
        self.weights = weights
        self.plans = plans
        self.norm_kind = norm

    def __call__(self, volume: Tensor, visible: Tensor) -> list[Tensor]:
        """One (B, C, d, h, w) map for each stage, zero at hidden sites."""
        self.visible = visible
        x = F.leaky_relu(self.conv_norm(self.zero(volume), "encoder.stem.convs.0"), 0.01)
        maps = []
        for i, plan in enumerate(self.plans):
            for j in range(plan.blocks):
                stride = plan.stride if j == 0 else (1, 1, 1)
                x = self.block(x, f"encoder.stages.{i}.blocks.{j}", stride)
            maps.append(x)
        return maps

    def zero(self, x: Tensor) -> Tensor:
        return x * visible_sites(self.visible, x.shape[2:])[:, None]

    def block(self, x: Tensor, name: str, stride: tuple[int, int, int]) -> Tensor:
        skip = x
        projection = f"{name}.skip.0"
        if max(stride) > 1:
            skip = self.zero(F.avg_pool3d(skip, stride, stride))
            projection = f"{name}.skip.1"
        if f"{projection}.conv.weight" in self.weights:
            skip = self.conv_norm(skip, projection)
        x = F.leaky_relu(self.conv_norm(x, f"{name}.conv1", stride), 0.01)
        return F.leaky_relu(self.conv_norm(x, f"{name}.conv2") + skip, 0.01)

    def conv_norm(self, x: Tensor, name: str, stride: tuple[int, int, int] = (1, 1, 1)) -> Tensor:
        weight, bias = self.weights[f"{name}.conv.weight"], self.weights.get(f"{name}.conv.bias")
        padding = [k // 2 for k in weight.shape[2:]]
        x = self.zero(F.conv3d(self.zero(x), weight, bias, stride, padding))
        scale, shift = self.weights[f"{name}.norm.weight"], self.weights[f"{name}.norm.bias"]
        return norm(x, visible_sites(self.visible, x.shape[2:]), scale, shift, self.norm_kind)


def norm(x: Tensor, visible: Tensor, scale: Tensor, shift: Tensor, kind: str) -> Tensor:
    """Batch, instance or layer norm of the visible sites; zero at the others."""
    x = x.permute(0, 2, 3, 4, 1)
    groups = [visible]
    if kind == "instance":
        own = torch.eye(len(x), dtype=torch.bool)
        groups = [visible & mine[:, None, None, None] for mine in own]
    out = torch.zeros_like(x)
    for group in groups:
        values = x[group]
        axis = 1 if kind == "layer" else 0
        variance, mean = torch.var_mean(values, axis, correction=0, keepdim=True)
        out[group] = (values - mean) / torch.sqrt(variance + 1e-5) * scale + shift
    return out.permute(0, 4, 1, 2, 3)


def densified(
    features: Tensor, visible: Tensor, weights: Weights, name: str, *, kind: str | None
) -> Tensor:
    """One stage as the decoder takes it; `kind` is the norm of densify, None without densify."""
    sites = visible_sites(visible, features.shape[2:])
    if kind is not None:
        scale, shift = weights[f"{name}.norm.weight"], weights[f"{name}.norm.bias"]
        features = norm(features, sites, scale, shift, kind)
    token = weights.get(f"{name}.token", torch.zeros_like(features[0, :, 0, 0, 0]))
    return torch.where(sites[:, None], features, token.view(1, -1, 1, 1, 1))


def naive_decoder(
    maps: list[Tensor], visible: Tensor, weights: Weights, *, kind: str | None = "layer"
) -> Tensor:
    """The light decoder at the scale where its head is, batch norm in training mode.

    `kind` is the norm of densify: layer, batch or instance, and None for densify left out.
    """

    def conv(x: Tensor, name: str) -> Tensor:
        weight = weights[f"{name}.weight"]
        return F.conv3d(x, weight, weights.get(f"{name}.bias"), padding=weight.shape[2] // 2)

    def batch_norm(x: Tensor, name: str) -> Tensor:
        everything = torch.ones_like(x[:, 0], dtype=torch.bool)
        return norm(x, everything, weights[f"{name}.weight"], weights[f"{name}.bias"], "batch")

    def skip(i: int) -> Tensor:
        name = f"decoder.densify.{i}"
        dense = densified(maps[-1 - i], visible, weights, name, kind=kind)
        # A projection is there unless it would change nothing.
        there = f"{name}.projection.weight" in weights
        return conv(dense, f"{name}.projection") if there else dense

    x = skip(0)
    for i in range(1, len(maps) + 10):
        up = f"decoder.ups.{i - 1}"
        if f"{up}.up.weight" not in weights:
            break
        kernel = weights[f"{up}.up.weight"].shape[2:]
        stride = tuple({3: 1, 4: 2}[k] for k in kernel)
        x = F.conv_transpose3d(
            x, weights[f"{up}.up.weight"], weights[f"{up}.up.bias"], stride, padding=1
        )
        x = F.relu6(batch_norm(conv(x, f"{up}.block.0"), f"{up}.block.1"))
        x = batch_norm(conv(x, f"{up}.block.3"), f"{up}.block.4")
        x = x + skip(i) if i < len(maps) else x
    head = weights["decoder.head.weight"]
    return F.conv3d(x, head[..., None, None, None], weights["decoder.head.bias"])


def unfolded(patches: Tensor, size: tuple[int, ...], *, channels: int) -> Tensor:
    """(B, hz·hy·hx·C, d, h, w) to (B, C, D, H, W): each site's box of voxels, in raster order."""
    volume = patches.new_zeros(len(patches), channels, *size)
    hz, hy, hx = (s // p for s, p in zip(size, patches.shape[2:], strict=True))
    for i in range(patches.shape[1]):
        voxel, channel = divmod(i, channels)
        z, y, x = voxel // (hy * hx), voxel // hx % hy, voxel % hx
        volume[:, channel, z::hz, y::hy, x::hx] = patches[:, i]
    return volume


def naive_loss(
    prediction: Tensor, volume: Tensor, visible: Tensor, cell: tuple[int, int, int]
) -> Tensor:
    """Per-patch normalised squared error of hidden patches: mean of patch, sample, batch."""
    samples = []
    for predicted, true, shown in zip(prediction, volume, visible, strict=True):
        errors = []
        for z, y, x in (~shown).nonzero().tolist():
            box = [slice(i * c, (i + 1) * c) for i, c in zip((z, y, x), cell, strict=True)]
            for channel in range(len(true)):
                patch = true[channel][box[0], box[1], box[2]]
                mean, variance = patch.mean(), patch.var(correction=0)
                target = (patch - mean) / (variance + 1e-6) ** 0.5
                errors.append((predicted[channel][box[0], box[1], box[2]] - target).pow(2).mean())
        samples.append(torch.stack(errors).mean())
    return torch.stack(samples).mean()
