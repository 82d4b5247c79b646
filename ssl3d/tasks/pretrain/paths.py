"""Paths of a spec that mean the same from everywhere. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from ssl3d.tasks.paths import whole_paths
from ssl3d.tasks.pretrain.spec import ExperimentSpec


def absolute(spec: ExperimentSpec, *, folder: Path) -> ExperimentSpec:
    """The same spec with whole paths; relative ones start from `folder`.

    Raises:
        RunError: a whole path is not UTF-8.
    """
    files = ("volumes", "channels", "manifest", "valid", "store")
    tables = ("group_file", "visit_file", "modality_file")
    data = whole_paths(spec.data, *files, *tables, folder=folder)
    cache = whole_paths(data.cache, "folder", folder=folder)
    probe = spec.probe and whole_paths(spec.probe, "images", "labels", "group_file", folder=folder)
    parts = {"data": data.model_copy(update={"cache": cache}), "probe": probe}
    return whole_paths(spec, "init", folder=folder).model_copy(update=parts)
