"""Paths of a fine-tuning spec that mean the same from everywhere. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from ssl3d.tasks.finetune.spec import FinetuneSpec
from ssl3d.tasks.paths import whole_paths

DATA_PATHS = ("images", "labels", "manifest", "points", "group_file")


def absolute(spec: FinetuneSpec, *, folder: Path) -> FinetuneSpec:
    """The same spec with whole paths; relative ones start from `folder`.

    Raises:
        RunError: a whole path is not UTF-8.
    """
    data = whole_paths(spec.data, *DATA_PATHS, folder=folder)
    cache = whole_paths(data.cache, "folder", folder=folder)
    parts = {"data": data.model_copy(update={"cache": cache})}
    return whole_paths(spec, "encoder", folder=folder).model_copy(update=parts)
