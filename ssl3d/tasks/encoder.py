"""The encoder that a run leaves: exported weights with what rebuilds the module."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl3d.files import write_json, written_whole
from ssl3d.folder import RunFolder
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.plugin.registry import installed
from ssl3d.tasks.loaded import Loaded

if TYPE_CHECKING:
    from torch import Tensor

    from ssl3d.kinds.backbone import Backbone

WEIGHTS = "encoder.safetensors"
DESCRIPTION = "encoder.json"
FORMAT = 1

AVERAGED = "the moving average of its weights"
"""What is said of an encoder that was trained with `optimizer.ema`."""

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
    from ssl3d.weights import read_weights

    about, weights = _files(Path(path))
    return make_encoder(about, weights=read_weights(weights))


def make_encoder(about: Mapping[str, Any], *, weights: Mapping[str, Tensor]) -> Backbone:
    """The encoder that a description is of, filled, in evaluation mode, on the CPU.

    Raises:
        ValueError: its backbone is not installed, or the weights do not fit.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        module = backbone_of(about).build(in_channels=about["in_channels"])
    module.load_weights(weights)
    return module.eval()


def write_encoder(weights: Mapping[str, Tensor], *, about: Mapping[str, Any], out: Path) -> Path:
    """Write `encoder.safetensors` and `encoder.json` into a folder; gives the file of weights."""
    from safetensors.torch import save

    out.mkdir(parents=True, exist_ok=True)
    write_json(out / DESCRIPTION, about)
    plain = {name: value.cpu().contiguous().clone() for name, value in weights.items()}
    with written_whole(out / WEIGHTS) as unfinished:
        unfinished.write_bytes(save(plain))  # `save_file` has errors of its own for a full disk
    return out / WEIGHTS


def warm_start(backbone: Backbone, *, path: str | os.PathLike[str]) -> Loaded:
    """Fill a backbone from a run, an exported encoder, or any file of weights that it knows.

    Args:
        backbone: what is filled.
        path: a run's or an exported encoder's folder, a run's checkpoint, a `.safetensors` file, or
            a PyTorch checkpoint of another project.

    Returns:
        What became of each tensor.

    Raises:
        ValueError: nothing can be read there, or a tensor is missing, left over or of another
            shape: names them all. Nothing was copied then.
    """
    source = Path(path)
    file = _files(source)[1] if source.is_dir() else source
    weights, averaged = _read(file)
    if file.suffix == ".safetensors" and (file.parent / DESCRIPTION).is_file():
        averaged = describe_encoder(file)["trained"].get("ema") is not None
    try:
        report = backbone.load_weights(weights)
    except ValueError as error:
        raise ValueError(
            f"init: {source}: {error}.\ninit takes weights that fill the whole encoder. To start "
            "from others, fill one in Python and give init the file that you save: "
            "backbone = spec.build().backbone; weights = ssl3d.weights.read_weights(file); fill it "
            "by a function named above; torch.save(backbone.state_dict(), 'start.pth')"
        ) from error
    return Loaded("encoder", str(source), report, note=AVERAGED if averaged else "")


def weights_of_encoder(file: Path) -> dict[str, Tensor]:
    """The tensors of any file of weights; of a run's checkpoint those of the encoder alone.

    Of a run with `optimizer.ema` their moving average, as in what it exports.

    Raises:
        ValueError: it cannot be read, or holds no tensors.
    """
    return _read(file)[0]


def encoder_in(checkpoint: Mapping[str, Any]) -> tuple[dict[str, Tensor], bool]:
    """The encoder's tensors in a run's checkpoint, and whether they are a moving average.

    They are wherever the run has one, so that all who take its encoder take the same.
    """
    own = {
        name.removeprefix(CHECKPOINT_PREFIX): value
        for name, value in checkpoint.get("state_dict", {}).items()
        if name.startswith(CHECKPOINT_PREFIX)
    }
    average = checkpoint.get("average")
    return (dict(average["weights"]), True) if own and average else (own, False)


def _read(file: Path) -> tuple[dict[str, Tensor], bool]:
    """The tensors of any file of weights, and whether they are a run's moving average."""
    from ssl3d.run.training import KEY
    from ssl3d.weights.read import named_tensors, read_content

    content = read_content(file)
    if isinstance(content, Mapping) and KEY in content:
        own, averaged = encoder_in(content)
        if own:
            return own, averaged
    return named_tensors(content, path=file), False


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
    return backbone_of(describe_encoder(path))


def behind(path: str | os.PathLike[str]) -> str | None:
    """What must be said of an encoder whose run has a later checkpoint; None where it has none."""
    steps, newest = describe_encoder(path)["trained"]["steps"], RunFolder(path).newest_step()
    if newest <= steps:
        return None
    return (
        f"This is the encoder of step {steps}; the run has a checkpoint of step {newest}: go on "
        f"with it to its end, or move {WEIGHTS} away and export the checkpoint's"
    )


def _files(path: Path) -> tuple[dict[str, Any], Path]:
    folder = path.parent if path.suffix == ".safetensors" else path
    weights = path if path.suffix == ".safetensors" else folder / WEIGHTS
    missing = [str(file) for file in (folder / DESCRIPTION, weights) if not file.is_file()]
    if missing:
        raise ValueError(
            f"{path} holds no encoder: there is no {' and no '.join(missing)}. Give the folder of "
            "a run of pre-training that has ended, or of an exported encoder"
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


def backbone_of(description: Mapping[str, Any]) -> BackboneConfig:
    """The backbone that a description names; raises ValueError where it is not installed."""
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
