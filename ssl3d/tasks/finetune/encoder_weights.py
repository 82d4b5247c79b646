"""A backbone for fine-tuning, filled from what was pre-trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from ssl3d.geometry import Triple, divides, quotient
from ssl3d.kinds.backbone import Backbone
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.tasks.encoder import (
    describe_encoder,
    encoder_config,
    load_encoder,
    weights_of_encoder,
)
from ssl3d.weights import Adapted, fill_from
from ssl3d.weights.adapt import Inputs, Positions


def pretrained_backbone(
    path: str | Path,
    *,
    in_channels: int,
    patch: Triple,
    inputs: Inputs | None = None,
    positions: Positions | None = None,
) -> tuple[Backbone, Adapted]:
    """The encoder of a run, for volumes of other channels or patches where that is asked for.

    torch's global generator is left as it was.

    Args:
        path: a run's folder, or a folder or `.safetensors` file of an exported encoder.
        in_channels: of the labelled volumes.
        patch: of fine-tuning.
        inputs: what to do where the channels differ.
        positions: what to do with tables of positions where the patch differs.

    Raises:
        ValueError: there is no encoder, its backbone is not installed, or something does not fit
            and was not asked for.
    """
    description = describe_encoder(path)
    was = description["input"].get("patch")
    with torch.random.fork_rng(devices=[]):
        module = encoder_config(path).build(in_channels=in_channels)
    return module, fill_from(
        load_encoder(path),
        module,
        channels=(description["in_channels"], in_channels),
        inputs=inputs,
        grids=_grids(was, patch, stride=module.stages[-1].stride),
        positions=positions,
    )


def backbone_from_file(
    path: str | Path,
    *,
    config: BackboneConfig,
    file_channels: int,
    in_channels: int,
    inputs: Inputs | None = None,
) -> tuple[Backbone, Adapted]:
    """A backbone filled from a checkpoint, of a run or of another project, that it can read.

    Args:
        path: the file.
        config: the backbone, which must be that of the file.
        file_channels: input channels of the file's network.
        in_channels: of the labelled volumes.
        inputs: what to do where they differ.

    Raises:
        ValueError: the file cannot be read, or something does not fit and was not asked for.
    """
    with torch.random.fork_rng(devices=[]):
        source = config.build(in_channels=file_channels)
        module = config.build(in_channels=in_channels)
    weights = weights_of_encoder(Path(path))
    try:
        report = source.load_weights(weights)
    except ValueError as error:
        raise ValueError(
            f"encoder: {path}: {error}.\nIn a fine-tuning spec: the file's network was taken to "
            f"have {file_channels} input channels; where it had others, encoder_channels says how "
            "many, and inputs what those of the volumes get"
        ) from error
    channels = (file_channels, in_channels)
    filled = fill_from(source, module, channels=channels, inputs=inputs, left=report.unexpected)
    return module, replace(filled, changed={**(report.resized or {}), **filled.changed})


def _grids(
    was: int | list[int] | None, patch: Triple, *, stride: Triple
) -> tuple[Triple, Triple] | None:
    """Sites of both patches; None where one of them is not whole, or not known."""
    if was is None:
        return None
    before: Triple = (was, was, was) if isinstance(was, int) else (was[0], was[1], was[2])
    if not divides(stride, before) or not divides(stride, patch):
        return None
    return quotient(before, stride), quotient(patch, stride)
