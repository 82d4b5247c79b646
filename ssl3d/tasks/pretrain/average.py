"""A moving average of the encoder's weights."""

from __future__ import annotations

from typing import Any

import lightning
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ssl3d.kinds.backbone import Backbone
from ssl3d.run.callback import RunCallback
from ssl3d.tasks.pretrain.module import PretrainModule


class EncoderAverage(RunCallback[PretrainModule]):
    """Averages the backbone's weights and buffers exponentially, a step at a time.

    The first step's weights start the average, so that it holds nothing of the random ones.

    Args:
        decay: share of the old average that each step keeps.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._average: AveragedModel | None = None
        self._loaded: dict[str, Tensor] = {}

    def encoder(self, module: PretrainModule) -> Backbone:
        """The averaged backbone, or the one that is trained where no step was taken yet."""
        if self._average is None or not bool(self._average.n_averaged):
            return module.model.backbone
        assert isinstance(self._average.module, Backbone)
        return self._average.module

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:  # noqa: ARG002
        """Copy the backbone, which is on its device now, or go on with the average of before."""
        module: PretrainModule = pl_module
        average: Any = get_ema_multi_avg_fn(self._decay)  # type: ignore[no-untyped-call]
        self._average = AveragedModel(module.model.backbone, multi_avg_fn=average, use_buffers=True)
        if self._loaded:
            self._average.load_state_dict(self._loaded)

    def after_step(self, trainer: lightning.Trainer, module: PretrainModule) -> None:  # noqa: ARG002
        """Take the new weights in."""
        assert self._average is not None
        self._average.update_parameters(module.model.backbone)

    def state_dict(self) -> dict[str, Any]:
        """The average."""
        return {"average": {} if self._average is None else self._average.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up `state_dict`'s average."""
        self._loaded = state_dict["average"]
