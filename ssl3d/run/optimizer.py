"""The optimiser of a spec, and which parameters it decays."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from ssl3d.run.optimizer_spec import OptimizerSpec
from ssl3d.run.run_error import RunError


def decayed_names(module: nn.Module) -> frozenset[str]:
    """Names of the parameters that weight decay may shrink.

    Not norms, biases and tokens: whatever has one dimension at most, or is called a bias or a
    token. Taken from the module as it is built, since FSDP flattens its parameters later.
    """
    return frozenset(
        name
        for name, parameter in module.named_parameters()
        if parameter.dim() > 1 and not {"bias", "token"} & set(name.rsplit(".", 1)[-1].split("_"))
    )


def make_optimizer(
    spec: OptimizerSpec, *, parameters: Iterable[tuple[str, Tensor]], decayed: frozenset[str]
) -> Optimizer:
    """The optimiser with two groups of parameters: with and without weight decay.

    Args:
        spec: which optimiser.
        parameters: (name, parameter) pairs, as `named_parameters` gives them.
        decayed: see `decayed_names`.

    Raises:
        RunError: the optimiser's library is not installed.
    """
    shrinking: list[Tensor] = []
    free: list[Tensor] = []
    for name, parameter in parameters:
        plain = name.replace("_fsdp_wrapped_module.", "")
        (shrinking if plain in decayed else free).append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": shrinking, "weight_decay": spec.weight_decay, "decays": True},
        {"params": free, "weight_decay": 0.0, "decays": False},
    ]
    groups = [group for group in groups if group["params"]]
    if spec.name == "sgd":
        return SGD(groups, lr=spec.lr, momentum=spec.momentum, nesterov=spec.momentum > 0)
    if spec.name == "lamb":
        return _lamb(groups, spec=spec)
    return AdamW(groups, lr=spec.lr, betas=spec.betas)


def _lamb(groups: list[dict[str, Any]], *, spec: OptimizerSpec) -> Optimizer:
    """LAMB (arXiv 1904.00962, algorithm 2) without the correction of the moments' bias.

    Weight decay is part of the update that the trust ratio scales, so what the correction changes
    in the first steps is the direction only. What is not decayed takes Adam's step as it is.
    Not timm's LAMB, which needs fewer patches: importing timm loads torchvision.
    """
    try:
        from pytorch_optimizer import Lamb
    except ImportError as error:
        raise RunError(
            "optimizer.name: 'lamb' needs a package that is not installed: pip install "
            "pytorch-optimizer, or use adamw"
        ) from error
    # `adam_debias` keeps the step as it is: the package would divide it by 1 - beta1^t.
    extra = {"adam_debias": True}
    groups = [{**group, **extra, "adam": not group["decays"]} for group in groups]
    made = Lamb(groups, lr=spec.lr, betas=spec.betas, weight_decouple=False)
    made.clamp = math.inf  # the package cuts weight norms at 10, the paper does not
    return made
