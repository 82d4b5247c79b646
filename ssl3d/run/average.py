"""A moving average of weights and buffers, kept where they are."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class Average:
    """Averages a module's weights and buffers exponentially, a step at a time.

    The first step's weights start the average, so that it holds nothing of the random ones.

    Args:
        of: the module, on its device.
        decay: share of the old average that each step keeps.

    Attributes:
        module: the average; the untrained module where no step was taken yet.
    """

    def __init__(self, of: nn.Module, *, decay: float) -> None:
        self.module = copy.deepcopy(of).requires_grad_(False)
        self._of = of
        self._decay = decay
        self._steps = torch.zeros((), device=next(of.parameters()).device)

    @torch.no_grad()
    def update(self, finite: Tensor) -> None:
        """Take the new weights in, where the step was `finite` (a boolean on the device)."""
        self._steps += finite
        weight = torch.where(self._steps > 1, 1 - self._decay, 1.0) * finite
        now = self._of.state_dict(keep_vars=True)
        for name, mean in self.module.state_dict(keep_vars=True).items():
            if mean.is_floating_point():
                mean.lerp_(now[name], weight.to(mean.dtype))
            else:
                mean.copy_(torch.where(finite, now[name], mean))

    def state_dict(self) -> dict[str, Any]:
        """The average, and over how many steps."""
        return {"steps": self._steps, "weights": self.module.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up `state_dict`'s."""
        self._steps.copy_(state["steps"])
        self.module.load_state_dict(state["weights"])
