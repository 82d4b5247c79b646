"""Lightning's callback, narrowed to the moments that a run is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import lightning
from torch import Tensor

from ssl3d.run.module import RunModule

M = TypeVar("M", bound=RunModule)


class RunCallback(lightning.Callback, Generic[M]):
    """Base of the callbacks of a run. They are called in the order of the list, after each
    micro-batch and after the one that completes an optimiser step.
    """

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, *args: Any) -> None:
        """Lightning's hook; `args` starts with what `training_step` gave."""
        module: M = pl_module
        self.after_micro_batch(module, args[0])
        if module.step_is_complete:
            self.after_step(trainer, module)

    def after_micro_batch(self, module: M, outputs: Mapping[str, Tensor]) -> None:
        """A micro-batch was fed; `outputs` holds its loss and what else is logged."""

    def after_step(self, trainer: lightning.Trainer, module: M) -> None:
        """An optimiser step was taken."""
