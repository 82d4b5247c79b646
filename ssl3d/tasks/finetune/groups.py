"""Groups of a model's parameters: encoder by stage, and the rest; with and without decay."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ssl3d.geometry import times
from ssl3d.kinds.backbone import Backbone
from ssl3d.run.optimizer import decayed_names


def first_stages(backbone: Backbone) -> dict[str, int]:
    """For each parameter the first stage, fine to coarse, that it has a part in.

    Found by gradients through a small volume, so it holds for every backbone, whatever its
    modules are called. What has a part in none counts as the deepest.
    """
    named = dict(backbone.named_parameters())
    like = next(iter(named.values()))
    channels = 1 if backbone.in_channels is None else backbone.in_channels
    shape = (1, channels, *times(backbone.divisor, (2, 2, 2)))
    asked = {name: p.requires_grad for name, p in named.items()}
    training = backbone.training
    backbone.eval().requires_grad_(True)
    try:
        with torch.enable_grad():
            maps = backbone(torch.zeros(shape, dtype=like.dtype, device=like.device))
            # What leads to this stage first: the reverse order lets the finest one have the word.
            found = dict.fromkeys(named, len(maps) - 1)
            for stage in range(len(maps) - 1, -1, -1):
                grads = torch.autograd.grad(
                    maps[stage].sum(), list(named.values()), retain_graph=True, allow_unused=True
                )
                pairs = zip(named, grads, strict=True)
                found |= {name: stage for name, grad in pairs if grad is not None}
    finally:
        backbone.train(training)
        for name, parameter in named.items():
            parameter.requires_grad_(asked[name])
    return found


def finetune_groups(module: nn.Module, *, encoder: str = "backbone") -> list[dict[str, Any]]:
    """The parameters that train, in groups for an optimiser.

    Args:
        module: the whole model.
        encoder: name of the backbone in it.

    Returns:
        Groups with `params`; `decays`, whether weight decay may shrink them; `part`, `encoder` or
        `decoder`; `depth`, of the encoder: stages between theirs and the deepest. The decoder's
        come first, and the order is the same every time.
    """
    backbone = module.get_submodule(encoder)
    assert isinstance(backbone, Backbone)
    stages, decayed = first_stages(backbone), decayed_names(module)
    groups: dict[tuple[bool, int, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        own = name.removeprefix(f"{encoder}.")
        inside = own != name
        depth = len(backbone.stages) - 1 - stages[own] if inside else 0
        groups.setdefault((inside, depth, name not in decayed), []).append(parameter)
    return [
        {
            "params": parameters,
            "decays": not free,
            "part": "encoder" if inside else "decoder",
            "depth": depth,
        }
        for (inside, depth, free), parameters in sorted(groups.items(), key=lambda g: g[0])
    ]
