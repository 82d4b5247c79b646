"""The optimiser of a spec, and which parameters it decays."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from ssl3d.spec import OptimizerSpec


def decayed_names(module: nn.Module) -> frozenset[str]:
    """Names of the parameters that weight decay may shrink.

    Not norms, biases and tokens: whatever has one dimension at most, or is called a token. Taken
    from the module as it is built, since FSDP flattens its parameters later.
    """
    return frozenset(
        name
        for name, parameter in module.named_parameters()
        if parameter.dim() > 1 and "token" not in name.rsplit(".", 1)[-1]
    )


def make_optimizer(
    spec: OptimizerSpec, *, parameters: Iterable[tuple[str, Tensor]], decayed: frozenset[str]
) -> Optimizer:
    """The optimiser with two groups of parameters: with and without weight decay.

    Args:
        spec: which optimiser.
        parameters: (name, parameter) pairs, as `named_parameters` gives them.
        decayed: see `decayed_names`.
    """
    shrinking: list[Tensor] = []
    free: list[Tensor] = []
    for name, parameter in parameters:
        plain = name.replace("_fsdp_wrapped_module.", "")
        (shrinking if plain in decayed else free).append(parameter)
    groups = [
        {"params": shrinking, "weight_decay": spec.weight_decay, "decays": True},
        {"params": free, "weight_decay": 0.0, "decays": False},
    ]
    groups = [group for group in groups if group["params"]]
    if spec.name == "sgd":
        return SGD(groups, lr=spec.lr, momentum=spec.momentum, nesterov=spec.momentum > 0)
    return AdamW(groups, lr=spec.lr, betas=spec.betas)
