"""Sizes and paths as options take them. Imports no torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from ssl3d.geometry import as_triple
from ssl3d.plugin.shown import shown

Voxels = Annotated[int, Field(ge=1, le=2048)]
Millimetres = Annotated[float, Field(gt=0)]
Patch = Annotated[
    tuple[Voxels, Voxels, Voxels],
    BeforeValidator(as_triple, json_schema_input_type=Voxels | tuple[Voxels, Voxels, Voxels]),
]
Spacing = Annotated[
    tuple[Millimetres, Millimetres, Millimetres],
    BeforeValidator(
        as_triple,
        json_schema_input_type=Millimetres | tuple[Millimetres, Millimetres, Millimetres],
    ),
]


def _as_text(value: Any) -> Any:
    """Accept `pathlib.Path`; leave everything else for pydantic to judge."""
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if isinstance(text, str) and not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{text!a} is not UTF-8, which a spec must be: give its folder or a glob"
            ) from error
        try:
            os.fsencode(text)
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{text!a} cannot be a file's name here, where Python takes names as "
                f"{error.encoding}: set PYTHONUTF8=1, or a locale such as LC_ALL=C.UTF-8"
            ) from error
    if isinstance(text, str) and text.startswith("~"):
        try:
            Path(text).expanduser()
        except RuntimeError as error:
            raise ValueError(
                f"{shown(text)} begins with the home of a user that is not known: give "
                "the whole path of a file of this name"
            ) from error
    return text


PathText = Annotated[str, BeforeValidator(_as_text), Field(min_length=1)]
