"""A step whose gradient is not finite changes nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


def take_step(optimizer: Optimizer, *, finite: Tensor, on_device: bool) -> None:
    """Take the optimiser's step, or leave weights and moments as they are.

    Args:
        optimizer: to take it.
        finite: a boolean on the device.
        on_device: True for a fused optimiser, which skips there; any other waits for the device.
    """
    # Moments are made in the first step, and torch's fused SGD leaves them unset where it skips.
    if on_device and optimizer.state:
        # What torch's gradient scaler hands to it too.
        held = {"grad_scale": None, "found_inf": (~finite).float()}
        for name, value in held.items():
            setattr(optimizer, name, value)
        optimizer.step()
        for name in held:
            delattr(optimizer, name)
    elif bool(finite):
        optimizer.step()


class Buffers:
    """Puts back what a forward pass did to statistics, where its step is skipped.

    Attributes:
        before: name to buffer, as it was before the step.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self.before: dict[str, Tensor] = {}

    @torch.no_grad()
    def keep(self) -> None:
        """Remember them: at the start of a step."""
        kept = self._module.state_dict().keys()
        self.before = {
            name: buffer.clone() for name, buffer in self._module.named_buffers() if name in kept
        }

    @torch.no_grad()
    def put_back(self, *, unless: Tensor) -> None:
        """Put them back, `unless` (a boolean on the device) is true."""
        for name, buffer in self._module.named_buffers():
            if name in self.before:
                buffer.copy_(torch.where(unless, buffer, self.before[name]))
