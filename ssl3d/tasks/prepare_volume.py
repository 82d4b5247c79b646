"""A file as an encoder expects it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl3d.data.labelled.preparation import of_encoder
from ssl3d.data.on_grid import PreparedVolume, prepare_on_grid
from ssl3d.data.source import Source
from ssl3d.tasks.encoder import describe_encoder

PathLike = str | os.PathLike[str]


def prepare_volume(
    path: PathLike | Sequence[PathLike],
    encoder: PathLike | Mapping[str, Any],
    *,
    modality: str | None = None,
) -> PreparedVolume:
    """Read, orient, resample and normalise a file as the volumes of pre-training were.

    Args:
        path: a volume, or for several channels a file each, in the order of the encoder's.
        encoder: a run, an exported encoder, or what its `encoder.json` holds.
        modality: what the file was made by, such as CT, where the encoder's volumes were normalised
            by their modality; "" for none of those.

    Returns:
        `.volume` (C, D, H, W) and `.valid` (D, H, W), axes z, y, x; `.restore(values)` brings what
        was computed at its voxels back to the grid of the file. Edges are not padded.

    Raises:
        ValueError: there is no encoder, it has another number of channels, a file cannot be used,
            or the modality is needed and not given.
    """
    description = encoder if isinstance(encoder, Mapping) else describe_encoder(encoder)
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    needed = description["in_channels"]
    if len(paths) != needed:
        names = ", ".join(description["input"].get("channels") or ["one volume"])
        raise ValueError(
            f"{len(paths)} files given, but the encoder has {needed} channels: give a file for "
            f"each ({names})"
        )
    modalities = description["input"].get("normalise_by_modality") or {}
    if modalities and modality is None:
        raise ValueError(
            f"the encoder's volumes were normalised by their modality ({', '.join(modalities)}): "
            'give modality=, "" for another'
        )
    spec = of_encoder(description["input"], modality=modality)
    return prepare_on_grid(Source(tuple(Path(one).expanduser() for one in paths)), spec=spec)
