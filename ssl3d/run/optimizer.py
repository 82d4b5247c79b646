"""The optimiser of a spec, and which parameters it decays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from ssl3d.run.optimizer_spec import OptimizerSpec
from ssl3d.run.run_error import RunError
from ssl3d.run.schedule import weight_decay


def decayed_names(module: nn.Module) -> frozenset[str]:
    """Names of the parameters that weight decay may shrink.

    Not norms, biases and tokens: whatever has one dimension at most, or is called a bias or a
    token.
    """
    return frozenset(
        name
        for name, parameter in module.named_parameters()
        if parameter.dim() > 1 and not {"bias", "token"} & set(name.rsplit(".", 1)[-1].split("_"))
    )


def parameter_groups(module: nn.Module) -> list[dict[str, Any]]:
    """Two groups of a module's parameters: `decays` says whether weight decay may shrink them."""
    decayed = decayed_names(module)
    shrinking = [one for name, one in module.named_parameters() if name in decayed]
    free = [one for name, one in module.named_parameters() if name not in decayed]
    return [{"params": shrinking, "decays": True}, {"params": free, "decays": False}]


def optimizer_of(
    spec: OptimizerSpec, *, groups: list[dict[str, Any]], fused: bool = False
) -> Optimizer:
    """The optimiser of groups of parameters.

    Args:
        spec: which optimiser.
        groups: with `decays`, as `parameter_groups` gives them.
        fused: all in one kernel, where torch has one; it can skip a step on the device.

    Raises:
        RunError: the optimiser's library is not installed.
    """
    groups = [
        {**group, "weight_decay": spec.weight_decay if group["decays"] else 0.0}
        for group in groups
        if group["params"]
    ]
    one_kernel = True if fused else None
    if spec.name == "sgd":
        nesterov = spec.momentum > 0
        return SGD(groups, lr=spec.lr, momentum=spec.momentum, nesterov=nesterov, fused=one_kernel)
    if spec.name == "lamb":
        return _lamb(groups, spec=spec)
    return AdamW(groups, lr=spec.lr, betas=spec.betas, fused=one_kernel)


class Rate(Protocol):
    """The learning rate of a group of parameters in a step; see `Task.rate`."""

    def __call__(
        self, group: Mapping[str, Any], *, optimizer: OptimizerSpec, step: int, steps: int
    ) -> float: ...


def set_rates(
    optimizer: Optimizer, *, spec: OptimizerSpec, step: int, steps: int, rate: Rate
) -> float:
    """Set learning rates and weight decay of step `step` (from 0); returns the largest rate."""
    decay = weight_decay(spec, step=step, steps=steps)
    for group in optimizer.param_groups:
        group["lr"] = rate(group, optimizer=spec, step=step, steps=steps)
        group["weight_decay"] = decay if group["decays"] else 0.0
        if spec.bias_correction:  # steps that were taken: one that is skipped changes no moment
            group["betas"] = corrected(spec.betas, step=group.get("step", 0))
    return max(float(group["lr"]) for group in optimizer.param_groups)


def corrected(betas: tuple[float, float], *, step: int) -> tuple[float, float]:
    """Decay rates by which running means start as if corrected: m_t / (1 - β^t) is such a mean.

    Its rate in step t = `step` + 1 is β (1 - β^(t-1)) / (1 - β^t).
    """
    first, second = (beta * (1 - beta**step) / (1 - beta ** (step + 1)) for beta in betas)
    return first, second


def load_optimizer(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Take up the state of one that may have run on another device, with other kernels."""
    kernels = ("fused", "foreach", "capturable")
    pairs = zip(state["param_groups"], optimizer.param_groups, strict=True)
    groups = [{**was, **{k: now[k] for k in kernels if k in now}} for was, now in pairs]
    optimizer.load_state_dict({**state, "param_groups": groups})


def _lamb(groups: list[dict[str, Any]], *, spec: OptimizerSpec) -> Optimizer:
    """LAMB (arXiv 1904.00962, algorithm 2); `set_rates` corrects the moments' bias where wanted.

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
