"""Paths of a spec that mean the same from everywhere. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from ssl3d.data.data_error import shown
from ssl3d.run.run_error import RunError
from ssl3d.tasks.pretrain.spec import ExperimentSpec

Model = TypeVar("Model", bound=BaseModel)


def absolute(spec: ExperimentSpec, *, folder: Path) -> ExperimentSpec:
    """The same spec with whole paths; relative ones start from `folder`.

    Raises:
        RunError: a whole path is not UTF-8.
    """
    data = _whole(spec.data, "volumes", "channels", "group_file", folder=folder)
    cache = _whole(data.cache, "folder", folder=folder)
    probe = spec.probe and _whole(spec.probe, "images", "labels", "group_file", folder=folder)
    parts = {"data": data.model_copy(update={"cache": cache}), "probe": probe}
    return _whole(spec, "init", folder=folder).model_copy(update=parts)


def _whole(model: Model, *fields: str, folder: Path) -> Model:
    """A copy, not validated again: that would repeat the warnings."""

    def whole(value: Any) -> Any:
        if isinstance(value, str):
            path = str(folder / Path(value).expanduser())
            if shown(path) != path:
                raise RunError(
                    f"{shown(value)}: its folder, {shown(folder)}, has a name that is not UTF-8, "
                    "which a run's spec must be: start from another folder, with a whole path or a "
                    "glob such as /data/M?ller"
                )
            return path
        if isinstance(value, tuple):
            return tuple(map(whole, value))
        if isinstance(value, dict):
            return {name: whole(one) for name, one in value.items()}
        return value

    return model.model_copy(update={name: whole(getattr(model, name)) for name in fields})
