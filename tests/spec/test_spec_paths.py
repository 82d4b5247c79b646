"""Paths of a spec that mean the same from everywhere."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from ssl3d import ExperimentSpec
from ssl3d.plugin.option import parts_of
from ssl3d.tasks.pretrain.paths import absolute


def test_relative_paths_become_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    data: dict[str, Any] = {"group_file": "./g.csv", "store": "ct", "cache": {"folder": "~/cache"}}
    probe = {"images": "l/*_a.nii", "labels": "l/*_m.nii", "group_file": "p.csv"}
    spec = ExperimentSpec(
        data={"volumes": ["set", "/abs/b", "../c/**/*.nii"], **data}, init="runs/a", probe=probe
    )
    whole = absolute(spec, folder=Path("/w/x"))
    assert whole.data.volumes == ("/w/x/set", "/abs/b", "/w/x/../c/**/*.nii")
    assert whole.data.group_file == "/w/x/g.csv"
    assert whole.data.store == "/w/x/ct"
    assert whole.data.cache.folder == "/home/me/cache"
    assert whole.init == "/w/x/runs/a"
    assert whole.probe is not None
    assert whole.probe.images == "/w/x/l/*_a.nii"
    assert whole.probe.labels == "/w/x/l/*_m.nii"
    assert whole.probe.group_file == "/w/x/p.csv"
    assert absolute(whole, folder=Path("/elsewhere")) == whole
    assert ExperimentSpec.from_yaml(whole.to_yaml()) == whole


def test_channels_keep_their_order() -> None:
    channels = {"t2": ("c/b.nii",), "t1": ("c/a.nii",)}
    whole = absolute(ExperimentSpec(data={"channels": channels}), folder=Path("/w"))
    assert list((whole.data.channels or {}).items()) == [
        ("t2", ("/w/c/b.nii",)),
        ("t1", ("/w/c/a.nii",)),
    ]
    assert whole.probe is None
    assert whole.init is None


def test_visits() -> None:
    spec = ExperimentSpec(views="pair", data={"volumes": "a", "visit_file": "v.csv"})
    assert absolute(spec, folder=Path("/w")).data.visit_file == "/w/v.csv"


def test_tables_and_masks() -> None:
    tables = {"manifest": "a/m.csv", "modality_file": "k.csv"}
    whole = absolute(ExperimentSpec(data=tables), folder=Path("/w")).data
    assert (whole.manifest, whole.modality_file) == ("/w/a/m.csv", "/w/k.csv")
    masks = {"volumes": "a/*.nii", "valid": "b/*.nii"}
    assert absolute(ExperimentSpec(data=masks), folder=Path("/w")).data.valid == "/w/b/*.nii"


def test_no_path_is_forgotten() -> None:
    """Every option of the core that takes a path is one of those above.

    `data.exclude` holds patterns, which are compared with the ends of whole paths.
    """
    found = {
        f"{path}.{name}".strip(".")
        for path, model in parts_of(ExperimentSpec)
        for name, hint in get_type_hints(model, include_extras=True).items()
        if "_as_text" in repr(hint) and name != "precision"
    }
    assert found - {"data.exclude"} == {
        *("data.volumes", "data.channels", "data.group_file", "data.visit_file"),
        *("data.manifest", "data.valid", "data.modality_file", "data.store"),
        *("data.cache.folder", "init"),
        *("probe.images", "probe.labels", "probe.group_file"),
    }


def test_warnings_are_not_given_twice() -> None:
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        spec = ExperimentSpec(
            backbone={"name": "resunet", "widths": (4, 8), "blocks": (1, 1)},
            masker={"name": "random", "ratio": 0.9},
            data={"volumes": "x", "patch": (4, 4, 8)},
        )
        before = len(given)
        absolute(spec, folder=Path("/w"))
    assert before == len(given) == 1
