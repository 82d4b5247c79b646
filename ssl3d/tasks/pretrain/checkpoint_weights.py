"""What a checkpoint of pre-training holds: the encoder's weights, and whether a spec fits."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ssl3d.run.run_error import RunError
from ssl3d.tasks.encoder import CHECKPOINT_PREFIX
from ssl3d.tasks.pretrain.spec import ExperimentSpec


def check_decoder(checkpoint: dict[str, Any], *, spec: ExperimentSpec) -> None:
    """Raise RunError for a run that has a decoder although no loss of its spec needs one.

    Decoders used to be built in any case; such a one was never trained.
    """
    if not spec.restores and any(n.startswith("model.decoder.") for n in checkpoint["state_dict"]):
        raise RunError(
            "this run was started by an older version, with a decoder that no loss trains. Start a "
            "new run, and give `init` the folder of this one's encoder or its checkpoint"
        )


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
