"""The encoder that a run leaves: exported weights with what rebuilds the module."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.plugin.registry import installed

if TYPE_CHECKING:
    from ssl3d.kinds.backbone import Backbone

WEIGHTS = "encoder.safetensors"
DESCRIPTION = "encoder.json"
FORMAT = 1

CHECKPOINT_PREFIX = "model.backbone."
"""What stands before the names of the encoder's tensors in a run's checkpoint."""


def load_encoder(path: str | os.PathLike[str]) -> Backbone:
    """The encoder of a run, in evaluation mode, on the CPU.

    Args:
        path: a run's folder, or a folder or `.safetensors` file written by `export_encoder`.

    Returns:
        A module that takes a volume (B, C, D, H, W), edges multiples of its total stride, and gives
        one feature map (B, C_s, D / s, H / s, W / s) per stage, fine to coarse; `.stages` holds
        strides and channels. `encoder.json` beside the weights says how volumes were prepared.

    Raises:
        ValueError: there is no encoder at `path`, its backbone is not installed, or its weights do
            not fit the module: names every tensor that is missing or left over.
    """
    import torch

    from ssl3d.weights import read_weights

    description, weights = _files(Path(path))
    config = _backbone(description)
    with torch.random.fork_rng(devices=[]):
        module = config.build(in_channels=description["in_channels"])
    module.load_weights(read_weights(weights))
    return module.eval()


def warm_start(backbone: Backbone, *, path: str | os.PathLike[str]) -> str:
    """Fill a backbone from a run, an exported encoder, or any file of weights that it knows.

    Args:
        backbone: what is filled.
        path: a run's or an exported encoder's folder, a run's checkpoint, a `.safetensors` file, or
            a PyTorch checkpoint of another project.

    Returns:
        A line that says what fitted.

    Raises:
        ValueError: nothing can be read there, or a tensor is missing, left over or of another
            shape: names them all. Nothing was copied then.
    """
    from ssl3d.weights import read_weights

    source = Path(path)
    weights = read_weights(_files(source)[1] if source.is_dir() else source)
    own = {
        name.removeprefix(CHECKPOINT_PREFIX): value
        for name, value in weights.items()
        if name.startswith(CHECKPOINT_PREFIX)
    }
    try:
        report = backbone.load_weights(own or weights)
    except ValueError as error:
        raise ValueError(
            f"init: {source}: {error}.\ninit takes weights that fill the whole encoder. To start "
            "from others, fill one in Python and give init the file that you save: "
            "backbone = spec.build().backbone; weights = ssl3d.weights.read_weights(file); fill it "
            "by a function named above; torch.save(backbone.state_dict(), 'start.pth')"
        ) from error
    return f"Started from {source}: {report}"


def describe_encoder(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `encoder.json` says: backbone, channels, strides, and how volumes were prepared.

    Raises:
        ValueError: there is no encoder at `path`.
    """
    return _files(Path(path))[0]


def encoder_config(path: str | os.PathLike[str]) -> BackboneConfig:
    """The backbone of an encoder, as its run had it.

    Raises:
        ValueError: there is no encoder at `path`, or its backbone is not installed.
    """
    return _backbone(describe_encoder(path))


def _files(path: Path) -> tuple[dict[str, Any], Path]:
    folder = path.parent if path.suffix == ".safetensors" else path
    weights = path if path.suffix == ".safetensors" else folder / WEIGHTS
    missing = [str(file) for file in (folder / DESCRIPTION, weights) if not file.is_file()]
    if missing:
        raise ValueError(
            f"{path} holds no encoder: there is no {' and no '.join(missing)}. Give the folder of "
            "a run that has ended, or of an exported encoder"
        )
    try:
        description: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{folder / DESCRIPTION} is not readable as JSON: {error}") from None
    if description.get("format") != FORMAT:
        raise ValueError(
            f"{folder / DESCRIPTION} has format {description.get('format')!r}; this version reads "
            f"{FORMAT}"
        )
    return description, weights


def _backbone(description: Mapping[str, Any]) -> BackboneConfig:
    options = description["backbone"]
    try:
        kind = installed().config("backbone", name=options["name"])
        config = kind(**kind.without_false_names(options))
    except ValueError as error:
        raise ValueError(
            f"the encoder's backbone {options['name']!r} came from {description['from']}, and what "
            f"is installed cannot make it: {error}"
        ) from error
    assert isinstance(config, BackboneConfig)
    return config
