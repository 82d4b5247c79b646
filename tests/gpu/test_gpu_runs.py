"""Short runs on a GPU through what a user calls: in every precision, on every backbone, resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import test_no_leak as no_leak
import torch
from gpu_device import DEVICE, MARKS, ON_GPU

import ssl3d
from ssl3d import ExperimentSpec, FinetuneSpec
from ssl3d.run.graph import OFTEN
from ssl3d.run.metrics_file import read_metrics

pytestmark = MARKS

ROOT = Path(__file__).parents[2]
BACKBONES = no_leak.variants("backbone", no_leak.SMALL)
RES = {"name": "resunet", **no_leak.SMALL["resunet"]["instance norm"]}


def spec_of(folder: Path, *, backbone: dict[str, Any] = RES, **trainer: Any) -> ExperimentSpec:
    several = backbone["name"] != "primus"  # one stage has nothing to contrast
    return ExperimentSpec(
        backbone=backbone,
        masker="mim",
        losses=["mse", {"name": "info_nce", "weight": 0.1}] if several else ["mse"],
        data={
            "volumes": str(ROOT / "examples/data/hippocampus"),
            "patch": 32,
            "batch_size": 4,
            "workers": 0,
            "cache": {"folder": str(folder / "cache")},
        },
        optimizer={"ema": 0.9},
        trainer={
            "steps": 6,
            "accelerator": "gpu" if ON_GPU else "cpu",
            "devices": 1,
            "pictures": 1,
            "loggers": [],
            "validate_every": 3,
            "checkpoint_every": 3,
            "log_every": 1,
            **trainer,
        },
    )


@pytest.mark.parametrize("precision", ["auto", "32", "bf16", "16"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_short_run(backbone: dict[str, Any], precision: str, tmp_path: Path) -> None:
    """Its encoder works on the device, and its folder says what it ran in."""
    if precision == "16" and not ON_GPU:
        pytest.skip("half precision needs a GPU")
    spec = spec_of(tmp_path, backbone=backbone, precision=precision)
    assert ssl3d.pretrain(spec, out=tmp_path / "run").finished
    encoder = ssl3d.load_encoder(tmp_path / "run").to(DEVICE)
    maps = encoder(torch.zeros(1, 1, 32, 32, 32, device=DEVICE))
    assert all(m.isfinite().all() and m.device.type == DEVICE for m in maps)
    (start,) = json.loads((tmp_path / "run" / "environment.json").read_text())
    written = ExperimentSpec.load(tmp_path / "run" / "spec.yaml").trainer
    assert (start["precision"], start["tf32"]) == (written.precision, written.tf32)
    assert written.precision == precision or precision == "auto"
    assert start["tf32"] is (written.precision in ("bf16", "16"))


@pytest.mark.parametrize("precision", ["32", "bf16", "16"])
def test_a_run_that_goes_on_is_the_run_it_was(precision: str, tmp_path: Path) -> None:
    """In single precision to rounding of the last bits; half of it scatters as its sums do."""
    if precision == "16" and not ON_GPU:
        pytest.skip("half precision needs a GPU")
    ssl3d.pretrain(spec_of(tmp_path, precision=precision), out=tmp_path / "whole")
    stopped = spec_of(tmp_path, precision=precision, max_hours=1e-9)
    assert not ssl3d.pretrain(stopped, out=tmp_path / "parts").finished
    whole = spec_of(tmp_path, precision=precision)
    assert ssl3d.pretrain(whole, out=tmp_path / "parts", resume=True).finished
    last = [read_metrics(tmp_path / name / "metrics.csv")[-1] for name in ("whole", "parts")]
    bound = 1e-4 if precision == "32" else 1e-2
    for name in ("train/loss", "held_out/mse", "gradient_norm"):
        assert last[0][name] == pytest.approx(last[1][name], rel=bound), name


# Volumes have 24 voxels and more: crops of 32 have padding in some batches.
GRAPHS = [(True, 24), ("auto", 24), ("auto", 32)] if ON_GPU else [("auto", 32)]
LENGTH = {"trainer.steps": OFTEN + 6}
"""So that `auto` captures."""

WAVE = {"name": "waveformer", **no_leak.SMALL["waveformer"]["default"], "drop_path": 0.3}
DROPPING = pytest.param(WAVE, id="waveformer-drop path")


@pytest.mark.parametrize(("graph", "patch"), GRAPHS)
@pytest.mark.parametrize("backbone", [*BACKBONES, DROPPING])
def test_a_cuda_graph_computes_what_its_operations_do(
    backbone: dict[str, Any],
    graph: Any,
    patch: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Losses of each step of pre-training, what its layers drop, and its average."""
    spec = pre_training(tmp_path, backbone=backbone, patch=patch)
    ssl3d.pretrain(spec, out=tmp_path / "without")
    ssl3d.pretrain(spec.with_values({"trainer.cuda_graph": graph}), out=tmp_path / "with")
    assert "one by one" not in capsys.readouterr().out
    compare_losses(tmp_path, names=("train/loss", "gradient_norm", "held_out/mse"))


def pre_training(folder: Path, *, backbone: dict[str, Any], patch: int) -> ExperimentSpec:
    """A run without graphs, whose batches have one shape where the patch is in all volumes."""
    spec = spec_of(folder, backbone=backbone, precision="32", cuda_graph=False)
    spec = spec.replace(masker="random", losses=["mse"])
    return spec.with_values({"data.patch": patch, "data.workers": 1, **LENGTH})


@pytest.mark.parametrize("graph", [True, "auto"] if ON_GPU else ["auto"])
def test_a_run_of_graphs_that_goes_on_is_the_run_it_was(graph: Any, tmp_path: Path) -> None:
    """It is stopped after a step, and captures anew."""
    spec = pre_training(tmp_path, backbone=WAVE, patch=24).with_values(
        {"trainer.cuda_graph": graph}
    )
    ssl3d.pretrain(spec, out=tmp_path / "without")
    stopped = spec.with_values({"trainer.max_hours": 1e-9})
    assert not ssl3d.pretrain(stopped, out=tmp_path / "with").finished
    assert ssl3d.pretrain(spec, out=tmp_path / "with", resume=True).finished
    compare_losses(tmp_path, names=("train/loss", "gradient_norm", "held_out/mse"))


@pytest.mark.parametrize("graph", [True, "auto"] if ON_GPU else ["auto"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_fine_tuning_in_a_cuda_graph(
    backbone: dict[str, Any], graph: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Crops that are turned at the border of a volume have padding, and others have none."""
    data = ROOT / "examples/data"
    spec = FinetuneSpec(
        backbone=backbone,
        task={"name": "segmentation", "labels": {"anterior": 1, "posterior": 2}},
        patch=32,
        data={
            "images": str(data / "hippocampus/*.nii.gz"),
            "labels": str(data / "hippocampus_labels/*.nii.gz"),
            "folds": 2,
            "fold": 0,
            "subjects": 2,
            "batch_size": 2,
            "workers": 1,  # a thread pins what they make while the graph is captured
        },
        trainer={**spec_of(tmp_path).trainer.model_dump(), "precision": "32", "cuda_graph": False},
    ).with_values(LENGTH)
    ssl3d.finetune(spec, out=tmp_path / "without")
    ssl3d.finetune(spec.with_values({"trainer.cuda_graph": graph}), out=tmp_path / "with")
    assert "one by one" not in capsys.readouterr().out
    compare_losses(tmp_path, names=("train/loss", "gradient_norm"))


def compare_losses(folder: Path, *, names: tuple[str, ...]) -> None:
    """Of two runs, step by step; sums of gradients scatter in the last bits."""
    without, graph = (read_metrics(folder / name / "metrics.csv") for name in ("without", "with"))
    assert [row["step"] for row in without] == [row["step"] for row in graph]
    for one, other in zip(without, graph, strict=True):
        for name in set(names) & set(one):
            assert other[name] == pytest.approx(one[name], rel=1e-3), name
