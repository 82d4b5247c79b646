"""How a spec differs from that of the encoder that it starts from. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ssl3d.run.run_error import RunError
from ssl3d.tasks.encoder import DESCRIPTION, behind, describe_encoder
from ssl3d.tasks.pretrain.export import describe
from ssl3d.tasks.pretrain.spec import ExperimentSpec


def init_remarks(spec: ExperimentSpec) -> Iterator[str]:
    """What to say where `init` is a run or an exported encoder, which say how they were made.

    Weights fit whatever volumes looked like, and many options of a network change no shape.

    Raises:
        RunError: the channels are the same in another order.
    """
    if spec.init is None or (source := _described(Path(spec.init).expanduser())) is None:
        return
    before = describe_encoder(source)
    if Path(spec.init).expanduser() == source and (later := behind(source)):
        yield f"init: {spec.init}: {later}, or give init that checkpoint"
    now: dict[str, Any] = json.loads(json.dumps(describe(spec, step=0)))
    was, are = (before.get("input") or {}).get("channels"), now["input"]["channels"]
    if was and are and was != are and sorted(was) == sorted(are):
        raise RunError(
            f"init: the encoder of {spec.init} saw the channels {', '.join(was)}, and these are "
            f"{', '.join(are)}: give them in its order"
        )
    for part, options in (("data", "input"), ("backbone", "backbone")):
        for name, value in now[options].items():
            known = (before.get(options) or {}).get(name, value)
            if known != value and name != "patch":
                yield (
                    f"init: {part}.{name} is {json.dumps(value)}, and was {json.dumps(known)} for "
                    f"the encoder of {spec.init}: its weights fit, what they mean may not"
                )


def _described(path: Path) -> Path | None:
    """The folder, or the file in it, that has a description; of a run's checkpoint its run."""
    folder = path if path.is_dir() else path.parent
    if path.suffix == ".ckpt" and folder.name == "checkpoints":
        folder = folder.parent
    return folder if (folder / DESCRIPTION).is_file() else None
