"""Names and shapes of WaveFormer's public network, and values for its weights by a formula.

github.com/mahfuzalhasan/WaveFormer at 3707923f063f5bbc71004ff8ef5122f2c53cbffb (MIT).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator

import torch
from torch import Tensor

from ssl3d.geometry import Triple

Shape = tuple[int, ...]
ONE: Triple = (1, 1, 1)
THREE: Triple = (3, 3, 3)


def formula(shape: Shape, *, name: str) -> Tensor:
    """Values that a layer of this name and shape could have, in double precision."""
    count = math.prod(shape)
    steps = torch.arange(1, count + 1, dtype=torch.float64)
    wave = torch.sin(0.37 * steps + zlib.crc32(name.encode()) % 1000).view(shape)
    if len(shape) > 1:
        return wave * (count / shape[0]) ** -0.5
    return 1 + 0.3 * wave if "norm" in name and name.endswith("weight") else 0.1 * wave


def input_volume(*shape: int) -> Tensor:
    """(B, C, D, H, W) in double precision."""
    return torch.sin(0.11 * torch.arange(math.prod(shape), dtype=torch.float64)).view(shape)


def weights(**options: object) -> dict[str, Tensor]:
    """The state dict without its tables of indices."""
    return {name: formula(shape, name=name) for name, shape in shapes(**options)}  # type: ignore[arg-type]


def shapes(
    *, widths: Shape, heads: Shape, window: int, channels: tuple[int, int], refine: bool
) -> Iterator[tuple[str, Shape]]:
    """Every parameter; `channels` are those of the volume and of the output."""
    yield from _encoder(widths, heads=heads, window=window, in_channels=channels[0])
    first, deepest = widths[0], widths[3]
    yield from _residual("encoder1.layer", channels[0], first)
    for i, width in enumerate(widths[:3], start=2):
        yield from _residual(f"encoder{i}.layer", width, width)
    inner = deepest // 4
    yield from _layer("encoder10.reduce", (inner, deepest, *ONE))
    yield from _layer("encoder10.conv", (inner, inner, *THREE))
    yield from _layer("encoder10.expand", (deepest, inner, *ONE))
    yield from _layer("encoder10.fc1", (inner, deepest))
    yield from _layer("encoder10.fc2", (deepest, inner))
    yield from _layer("encoder10.residual", (deepest, deepest, *ONE))
    for i, width in enumerate(widths[:3], start=2):
        for level in range(5 - i if refine else 0):
            gate = f"decoder{i}.hf_ref.{level}"
            yield from _layer(f"{gate}.conv1", (width, 1, *THREE))
            yield from _layer(f"{gate}.norm", (width,))
            yield from _layer(f"{gate}.conv2", (width, width, *ONE))
        yield f"decoder{i}.conv_lf_block.conv.weight", (width, deepest, *THREE)
        yield from _residual(f"decoder{i}.conv_block", 2 * width, width)
    for i, width in enumerate(widths[1:3], start=3):
        up = f"learnable_up{i}"
        yield from _layer(f"{up}.conv1.1", (width, 1, *THREE))
        yield from _layer(f"{up}.norm", (width,))
        yield from _layer(f"{up}.conv2", (2 * width, width, *ONE))
        if i == 4:
            yield from _layer(f"{up}.conv3.0", (width, 2 * width, *ONE))
            yield from _layer(f"{up}.conv3.2", (first, width, *ONE))
        else:
            yield from _layer(f"{up}.conv3", (first, 2 * width, *ONE))
        yield from _layer(f"{up}.res_conv.1", (first, width, *ONE))
    yield "decoder1.transp_conv.conv.weight", (3 * first, first, 2, 2, 2)
    yield from _residual("decoder1.conv_block", 2 * first, first)
    yield from _layer("out.conv.conv", (channels[1], first, *ONE))


def _encoder(
    widths: Shape, *, heads: Shape, window: int, in_channels: int
) -> Iterator[tuple[str, Shape]]:
    top = "waveformer_encoder"
    yield from _layer(f"{top}.patch_embed.proj", (widths[0], in_channels, 2, 2, 2))
    for stage, (width, count) in enumerate(zip(widths, heads, strict=True), start=1):
        hidden = 4 * width
        for block in (f"{top}.block{stage}.{j}" for j in range(2)):
            table = ((2 * window - 1) ** 3, count)
            yield f"{block}.attn.relative_position_bias_table", table
            yield from _layer(f"{block}.norm1", (width,))
            yield from _layer(f"{block}.attn.qkv", (3 * width, width))
            yield from _layer(f"{block}.attn.proj", (width, width))
            yield from _layer(f"{block}.norm2", (width,))
            yield from _layer(f"{block}.mlp.pwconv", (hidden, width, *ONE))
            yield from _layer(f"{block}.mlp.dwconv", (hidden, 1, *THREE))
            yield from _layer(f"{block}.mlp.fc", (width, hidden))
            yield from _layer(f"{block}.mlp.norm1", (hidden,))
            yield from _layer(f"{block}.mlp.norm2", (hidden,))
        if stage < 4:
            yield from _layer(f"{top}.downsample_{stage}.norm", (8 * width,))
            yield f"{top}.downsample_{stage}.reduction.weight", (2 * width, 8 * width)


def _residual(name: str, channels: int, out_channels: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.conv1.conv.weight", (out_channels, channels, *THREE)
    yield f"{name}.conv2.conv.weight", (out_channels, out_channels, *THREE)
    if channels != out_channels:
        yield f"{name}.conv3.conv.weight", (out_channels, channels, *ONE)


def _layer(name: str, shape: Shape) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]
