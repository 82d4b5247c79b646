"""The encoder's weights out of a checkpoint of pre-training."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ssl3d.tasks.encoder import CHECKPOINT_PREFIX


def backbone_weights(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """The backbone's state dict out of a checkpoint."""
    return {
        name.removeprefix(CHECKPOINT_PREFIX): value
        for name, value in checkpoint["state_dict"].items()
        if name.startswith(CHECKPOINT_PREFIX)
    }


def averaged_weights(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """The averaged backbone's state dict out of a checkpoint; empty where there is none."""
    state = checkpoint.get("callbacks", {}).get("EncoderAverage", {"average": {}})
    return {
        name.removeprefix("module."): value
        for name, value in state["average"].items()
        if name.startswith("module.")
    }
