"""Specs whose paths hold wherever they are read. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from ssl3d.data.data_error import shown
from ssl3d.run.run_error import RunError

Model = TypeVar("Model", bound=BaseModel)


def whole_paths(model: Model, *fields: str, folder: Path) -> Model:
    """A copy in which these fields hold whole paths; relative ones start from `folder`.

    It is not validated again: that would repeat the warnings.

    Raises:
        RunError: a whole path is not UTF-8.
    """

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
