"""Primus written naively: one sample at a time, one token at a time, sines by the library math."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ssl3d.geometry import Triple


def norm(x: Tensor, layer: nn.Module) -> Tensor:
    """Over channels."""
    centred = x - x.mean()
    return centred / (centred.square().mean() + 1e-5).sqrt() * layer.weight + layer.bias


def turned(x: Tensor, place: tuple[int, ...]) -> Tensor:
    """One head's channels at one place."""
    out, each = x.clone(), len(x) // 6
    for axis in range(3):
        for i in range(each):
            angle = place[axis] * 10000 ** (-i / each)
            a = 2 * (axis * each + i)
            out[a] = x[a] * math.cos(angle) - x[a + 1] * math.sin(angle)
            out[a + 1] = x[a + 1] * math.cos(angle) + x[a] * math.sin(angle)
    return out


def attended(rows: list[Tensor], places: list[tuple[int, ...]], layer: nn.Module) -> list[Tensor]:
    """Each token with all that are listed."""
    heads, d = layer.heads, len(rows[0]) // layer.heads
    result = [[] for _ in rows]
    for head in range(heads):
        part = slice(head * d, (head + 1) * d)
        q = [turned(layer.q_proj(x)[part], p) for x, p in zip(rows, places, strict=True)]
        k = [turned(layer.k_proj(x)[part], p) for x, p in zip(rows, places, strict=True)]
        v = [layer.v_proj(x)[part] for x in rows]
        for number, query in enumerate(q):
            share = torch.stack([query @ key / d**0.5 for key in k]).softmax(0)
            result[number].append(sum(s * value for s, value in zip(share, v, strict=True)))
    return [layer.proj(norm(torch.cat(one), layer.norm)) for one in result]


def features(backbone: nn.Module, volume: Tensor, *, visible: Tensor) -> Tensor:
    """(width, d, h, w) of one sample (C, D, H, W); zeros where `visible` (d, h, w) is False."""
    config = backbone.config
    embedding, eva = backbone.down_projection.proj, backbone.eva
    grid: Triple = tuple(visible.shape)
    assert grid == config.grid, "the table is not interpolated here"
    places = [tuple(p) for p in visible.nonzero().tolist()]
    rows = []
    for place in places:
        corner = [slice(p * e, (p + 1) * e) for p, e in zip(place, config.patch, strict=True)]
        box = volume[(slice(None), *corner)]
        row = (embedding.weight * box).flatten(1).sum(1) + embedding.bias
        z, y, x = place
        rows.append(row + eva.pos_embed[0, (z * grid[1] + y) * grid[2] + x])
    for block in eva.blocks:
        mixed = attended([norm(x, block.norm1) for x in rows], places, block.attn)
        rows = [x + block.gamma_1 * y for x, y in zip(rows, mixed, strict=True)]
        for number, x in enumerate(rows):
            y, mlp = norm(x, block.norm2), block.mlp
            gate = mlp.fc1_g(y)
            hidden = norm(gate * gate.sigmoid() * mlp.fc1_x(y), mlp.norm)
            rows[number] = x + block.gamma_2 * mlp.fc2(hidden)
    made = volume.new_zeros(config.width, *grid)
    for place, row in zip(places, rows, strict=True):
        made[(slice(None), *place)] = norm(row, eva.norm)
    return made
