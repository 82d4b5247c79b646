"""What a run decides on its machine is in its folder, and kept or decided anew when it goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import ssl3d
from ssl3d import ExperimentSpec
from ssl3d.run.slow_torch import slow_torch
from ssl3d.run.trainer_spec import TrainerSpec
from ssl3d.tasks.machine import decided, machine_remarks
from ssl3d.tasks.pretrain.batch_bytes import batch_bytes

MakeSpec = Callable[..., ExperimentSpec]


def last_start(run: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((run / "environment.json").read_text())[-1]
    return {name: found[name] for name in ("precision", "tf32", "workers")}


def test_what_was_decided_is_written_and_said(
    make_spec: MakeSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = make_spec(data={"workers": "auto"}, trainer={"steps": 1})
    ssl3d.pretrain(spec, out=tmp_path / "run")
    said = capsys.readouterr().out
    workers = last_start(tmp_path / "run")["workers"]
    assert f"On the CPU, precision 32 (auto), {workers} reading process" in said
    assert last_start(tmp_path / "run") == {"precision": "32", "tf32": False, "workers": workers}
    written = ExperimentSpec.load(tmp_path / "run" / "spec.yaml")
    assert (written.trainer.precision, written.trainer.tf32) == ("32", False)
    # What is another number on another machine is none of the experiment.
    assert written.data.workers == "auto"
    assert isinstance(workers, int)
    assert 1 <= workers <= 2


def test_a_run_goes_on_in_the_precision_that_it_was_begun_in(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    """Also where the spec leaves it open, and this machine would choose another."""
    begun = make_spec(trainer={"steps": 2, "precision": "bf16"})
    ssl3d.pretrain(begun, out=tmp_path / "run")
    ssl3d.pretrain(make_spec(trainer={"steps": 4}), out=tmp_path / "run", resume=True)
    assert last_start(tmp_path / "run")["precision"] == "bf16"
    assert ExperimentSpec.load(tmp_path / "run" / "spec.yaml").trainer.precision == "bf16"


@pytest.mark.parametrize(
    ("options", "not_static", "words"),
    [
        ({}, None, "steps are CUDA graphs (auto), "),
        ({"cuda_graph": True}, None, "steps are CUDA graphs, "),
        ({"cuda_graph": False}, None, "no CUDA graphs, "),
        ({}, "the loss draws", "no CUDA graphs (auto): the loss draws, "),
        ({"accumulate": 4}, None, "no CUDA graphs (auto): accumulate is 4, "),
    ],
)
def test_whether_steps_are_cuda_graphs_is_said(
    options: dict[str, object], not_static: str | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "a card")
    fabric: Any = SimpleNamespace(device=torch.device("cuda", 0), world_size=1)
    trainer = TrainerSpec(precision="bf16", **options)
    found = decided(trainer, asked="bf16", workers=2, batch=1, not_static=not_static, fabric=fabric)
    assert f", {words}2 reading processes" in found.words
    assert found.entry["cuda_graph"] is ("steps are" in words)


def test_a_slow_torch_is_said_where_it_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fabric:
        class device:
            type = "cuda"

    monkeypatch.setattr("ssl3d.tasks.machine.slow_torch", lambda: "slow")
    half, single = (TrainerSpec(precision=one) for one in ("bf16", "32"))
    assert list(machine_remarks(half, fabric=Fabric)) == ["slow"]  # type: ignore[arg-type]
    assert list(machine_remarks(single, fabric=Fabric)) == []  # type: ignore[arg-type]
    monkeypatch.setattr("ssl3d.tasks.machine.slow_torch", slow_torch)
    assert list(machine_remarks(half, fabric=Fabric)) == []  # type: ignore[arg-type]


def test_a_micro_batch_weighs_what_its_voxels_do(make_spec: MakeSpec) -> None:
    assert batch_bytes(make_spec()) == 2 * 16**3 * 5
    two = make_spec(data={"volumes": None, "channels": {"a": "a*", "b": "b*"}})
    assert batch_bytes(two) == 2 * 16**3 * 9
