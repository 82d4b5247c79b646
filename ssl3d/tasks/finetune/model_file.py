"""What a fine-tuning run leaves: weights, and what rebuilds the model and its volumes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ssl3d.data.spec import DataSpec
from ssl3d.files import write_json, written_whole
from ssl3d.geometry import Triple
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.kinds.decoder_config import DecoderConfig
from ssl3d.kinds.task_config import TaskConfig
from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.origin import origin
from ssl3d.plugin.registry import installed
from ssl3d.tasks.finetune.recipe import Recipe
from ssl3d.tasks.finetune.window_spec import WindowSpec

if TYPE_CHECKING:
    from torch import Tensor

    from ssl3d.tasks.finetune.model import FinetuneModel
    from ssl3d.tasks.finetune.resolved import Resolved

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
FORMAT = 1
PREPARED_BY = ("spacing", "normalise", "foreground", "valid_region", "max_non_finite")


class Tuned(NamedTuple):
    """A fine-tuned model and how volumes get to it.

    Attributes:
        model: in evaluation mode, on the CPU.
        preparation: of volumes.
        patch: size of a window.
        channels: names of the channels, in their order.
        windows: how the run took them.
        description: all that `model.json` says.
    """

    model: FinetuneModel
    preparation: DataSpec
    patch: Triple
    channels: tuple[str, ...]
    windows: WindowSpec
    description: Mapping[str, Any]


def write_model(
    folder: Path,
    *,
    resolved: Resolved,
    weights: Mapping[str, Tensor],
    step: int,
    finished: bool = True,
) -> Path:
    """Write `model.safetensors` and `model.json`; returns the file of weights.

    Args:
        folder: of the run.
        resolved: what it is made of.
        weights: of the result.
        step: that they are of.
        finished: False where the run was stopped, to go on later.
    """
    from safetensors.torch import save

    spec, decoder = resolved.spec, resolved.decoder
    write_json(
        folder / DESCRIPTION,
        {
            "format": FORMAT,
            "backbone": resolved.backbone.model_dump(mode="json"),
            "decoder": None if decoder is None else decoder.model_dump(mode="json"),
            "task": spec.task.model_dump(mode="json"),
            "from": {
                one.kind: origin(one)
                for one in (resolved.backbone, decoder, spec.task)
                if one is not None
            },
            "input": {
                "orientation": "RAS, axes z, y, x",
                "channels": list(spec.data.channels),
                "patch": resolved.patch,
                **resolved.preparation.model_dump(mode="json", include=set(PREPARED_BY)),
            },
            "windows": spec.windows.model_dump(mode="json"),
            "trained": {
                "steps": step,
                "finished": finished,
                "encoder": spec.encoder,
                "recipe": spec.how.name,
                "select": spec.select,
                "seed": spec.seed,
                "subjects": spec.data.subjects,
                "fold": spec.data.fold,
            },
        },
    )
    plain = {name: value.cpu().contiguous().clone() for name, value in weights.items()}
    with written_whole(folder / WEIGHTS) as unfinished:
        unfinished.write_bytes(save(plain))  # `save_file` has errors of its own for a full disk
    return folder / WEIGHTS


def load_model(folder: str | Path) -> Tuned:
    """The model of a fine-tuning run.

    Raises:
        ValueError: the folder is none of a fine-tuning run that has ended, a component is not
            installed, or the weights do not fit.
    """
    import torch

    from ssl3d.tasks.finetune.build import build_model
    from ssl3d.weights import read_weights, transfer

    description = describe_model(folder)
    backbone, decoder, task = (
        _config(description, kind) for kind in ("backbone", "decoder", "task")
    )
    assert isinstance(backbone, BackboneConfig)
    assert isinstance(task, TaskConfig)
    assert decoder is None or isinstance(decoder, DecoderConfig)
    inputs = description["input"]
    with torch.random.fork_rng(devices=[]):
        model = build_model(
            backbone.build(in_channels=len(inputs["channels"])),
            task=task,
            decoder=decoder,
            recipe=Recipe(name="scratch"),
            steps=1,
            samples_per_step=1,
        )
    transfer(read_weights(Path(folder) / WEIGHTS), model)
    z, y, x = inputs["patch"]
    known = {name: inputs[name] for name in PREPARED_BY if name in inputs}
    return Tuned(
        model.eval(),
        DataSpec(volumes="-", patch=(z, y, x), **known),
        (z, y, x),
        tuple(inputs["channels"]),
        WindowSpec(**description["windows"]),
        description,
    )


def describe_model(folder: str | Path) -> dict[str, Any]:
    """What `model.json` says.

    Raises:
        ValueError: the folder is none of a fine-tuning run that has ended.
    """
    root = Path(folder)
    missing = [name for name in (DESCRIPTION, WEIGHTS) if not (root / name).is_file()]
    if missing:
        raise ValueError(
            f"{root} is no fine-tuning run that has ended: there is no {' and no '.join(missing)}. "
            "Give the folder of `ssl3d finetune`"
        )
    try:
        found: dict[str, Any] = json.loads((root / DESCRIPTION).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{root / DESCRIPTION} is not readable as JSON: {error}") from None
    if found.get("format") != FORMAT:
        raise ValueError(
            f"{root / DESCRIPTION} has format {found.get('format')!r}; this version reads {FORMAT}"
        )
    lacking = {"backbone", "decoder", "task", "from", "input", "trained"} - set(found)
    if lacking:
        raise ValueError(
            f"{root / DESCRIPTION} is not whole, it lacks {', '.join(sorted(lacking))}"
        )
    return {"windows": {}, **found}  # models of before windows were written had the defaults


def _config(description: Mapping[str, Any], kind: str) -> ComponentConfig | None:
    options = description[kind]
    if options is None:
        return None
    try:
        return installed().config(kind, name=options["name"]).model_validate(options)
    except ValueError as error:
        raise ValueError(
            f"the model's {kind} {options['name']!r} came from {description['from'][kind]}, and "
            f"what is installed cannot make it: {error}"
        ) from error
