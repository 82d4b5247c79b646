"""Runs that an older version began go on: presets named in any case, other sums of metrics."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ssl3d import ExperimentSpec, RunError
from ssl3d.folder import RunFolder
from ssl3d.run.metrics import Metrics
from ssl3d.tasks.pretrain.resumable import resumable

MakeSpec = Callable[..., ExperimentSpec]
WAVE = {"name": "waveformer", "widths": [8, 16], "depths": [1, 1], "heads": [1, 2]}
RES = {"name": "resunet", "widths": [4, 8], "blocks": [1, 1]}


def begun(spec: ExperimentSpec, folder: Path, **backbone: Any) -> RunFolder:
    """A folder with the spec as an older version wrote it."""
    values = spec.to_dict()
    values["backbone"] |= backbone
    (folder / "spec.json").write_text(json.dumps(values), encoding="utf-8")
    return RunFolder(folder)


@pytest.mark.parametrize(
    ("backbone", "named"),
    [
        (WAVE, {"preset": "blueprint"}),
        ({**WAVE, "attention": "every_level", "positions": "none"}, {"preset": "blueprint"}),
        ({**WAVE, "preset": "paper"}, {}),
        (RES, {"size": "M"}),
        ({"name": "resunet"}, {"size": "M"}),
    ],
)
def test_a_preset_named_in_any_case_is_no_other_experiment(
    make_spec: MakeSpec, tmp_path: Path, backbone: dict[str, Any], named: dict[str, str]
) -> None:
    spec = make_spec(backbone=backbone, data={"patch": 64})
    assert resumable(begun(spec, tmp_path, **named), spec).spec == spec


def test_another_network_is_another_experiment(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(backbone=WAVE)
    folder = begun(spec, tmp_path, preset="paper")
    with pytest.raises(RunError, match=r"(?s)another spec.*backbone\.depths"):
        resumable(folder, make_spec(backbone={**WAVE, "depths": [2, 2]}))


def test_each_micro_batch_of_before_counts_whole() -> None:
    metrics = Metrics(None)
    sums = {"loss": torch.tensor(3.0), "mse": torch.tensor(2.0)}
    metrics.load_state_dict({"sums": sums, "fed": 2, "samples_before": 8, "seconds_before": 1.0})
    state = metrics.state_dict()
    assert {name: float(share) for name, share in state["shares"].items()} == {"loss": 2, "mse": 2}
    assert int(state["empty"]) == 0
