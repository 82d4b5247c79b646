"""The encoder that a run leaves: its weights, with what rebuilds the module."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ssl3d.plugin.origin import origin
from ssl3d.tasks.encoder import FORMAT, write_encoder
from ssl3d.tasks.pretrain.spec import ExperimentSpec


def export_encoder(
    weights: Mapping[str, Tensor], *, spec: ExperimentSpec, out: Path, step: int
) -> Path:
    """Write `encoder.safetensors` and `encoder.json` into a folder.

    Args:
        weights: state dict of the backbone.
        spec: that it was trained by.
        out: the folder.
        step: optimiser steps that it was trained for.

    Returns:
        The file of weights.
    """
    return write_encoder(weights, about=describe(spec, step=step), out=out)


def describe(spec: ExperimentSpec, *, step: int) -> dict[str, Any]:
    """What `encoder.json` says of an encoder that was trained by a spec for so many steps."""
    return {
        "format": FORMAT,
        "backbone": spec.backbone.model_dump(mode="json"),
        "from": origin(spec.backbone),
        "in_channels": spec.data.in_channels,
        "stages": [
            {"stride": stage.stride, "channels": stage.channels} for stage in spec.backbone.stages()
        ],
        "input": {
            "orientation": "RAS, axes z, y, x",
            "channels": list(spec.data.channel_names) or None,
            "spacing": spec.data.spacing,
            "normalise": spec.data.normalise.model_dump(mode="json"),
            "normalise_by_modality": {
                name: how.model_dump(mode="json")
                for name, how in (spec.data.normalise_by_modality or {}).items()
            }
            or None,
            "foreground": {"threshold": spec.data.foreground.threshold},
            "valid_region": spec.data.valid_region.model_dump(mode="json"),
            "patch": spec.data.patch,
        },
        "trained": {
            "steps": step,
            "encoder_input": spec.encoder_input,
            "feature_encoder": spec.feature_encoder.name if spec.feature_encoder else None,
            "seed": spec.seed,
            "ema": spec.optimizer.ema,
            "init": spec.init,
        },
    }
