"""Runs whose steps are a graph, emulated on a CPU, are the runs that they would be without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from emulated_graph import emulated

import ssl3d
from ssl3d import ExperimentSpec, FinetuneSpec
from ssl3d.run import fit, graph
from ssl3d.run.metrics_file import read_metrics

EXAMPLES = Path(__file__).parents[2] / "examples" / "data"
STEPS = 8
TRAINER = {
    "steps": STEPS,
    "accelerator": "cpu",
    "precision": "32",
    "validate_every": 3,
    "checkpoint_every": 4,
    "log_every": 1,
    "pictures": 0,
    "loggers": [],
    "cuda_graph": False,
}
DATA = {"batch_size": 2, "workers": 0}
BACKBONES = {
    "resunet": {"name": "resunet", "widths": [4, 6], "blocks": [1, 1], "norm": "batch"},
    "waveformer": {
        "name": "waveformer",
        "widths": [12, 12],
        "depths": [1, 1],
        "heads": [2, 2],
        "drop_path": 0.3,
    },
}
OTHERWISE = ("second", "wait", "memory")
"""Of metrics: what a clock or the machine says."""


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Operations of each graph that was captured."""
    found: list[int] = []
    monkeypatch.setattr(graph, "OFTEN", 2)
    monkeypatch.setattr(graph, "on_cuda", emulated(found))
    monkeypatch.setattr(fit, "graphed", lambda trainer, **_: trainer.cuda_graph is not False)
    return found


def rows_of(folder: Path) -> list[dict[str, float]]:
    return [
        {k: v for k, v in row.items() if not any(word in k for word in OTHERWISE)}
        for row in read_metrics(folder / "metrics.csv")
    ]


def compare(one: Path, other: Path) -> None:
    """Every number that is logged, to the last bit."""
    first, second = rows_of(one), rows_of(other)
    assert len(first) >= STEPS
    for row, again in zip(first, second, strict=True):
        assert row == pytest.approx(again, rel=0, abs=0, nan_ok=True)


def pre_training(backbone: dict[str, Any], *, patch: int = 24) -> ExperimentSpec:
    return ExperimentSpec(
        backbone=backbone,
        sparse_backend="dense",
        losses=["mse"],
        data={**DATA, "volumes": str(EXAMPLES / "hippocampus"), "patch": patch},
        optimizer={"ema": 0.9},
        quality={"images": False, "rank": False},
        trainer=TRAINER,
    )


@pytest.mark.parametrize("backbone", BACKBONES)
def test_pre_training(backbone: str, tmp_path: Path, captures: list[int]) -> None:
    """With statistics, dropped paths, an average, and the held-out loss between steps."""
    spec = pre_training(BACKBONES[backbone])
    ssl3d.pretrain(spec, out=tmp_path / "without")
    assert not captures
    ssl3d.pretrain(spec.with_values({"trainer.cuda_graph": "auto"}), out=tmp_path / "graph")
    assert len(captures) == 1
    compare(tmp_path / "without", tmp_path / "graph")


def test_a_run_that_goes_on(tmp_path: Path, captures: list[int]) -> None:
    """It captures anew, and draws what it would have drawn."""
    spec = pre_training(BACKBONES["waveformer"])
    ssl3d.pretrain(spec, out=tmp_path / "without")
    graphs = spec.with_values({"trainer.cuda_graph": "auto"})
    short = graphs.with_values({"trainer.max_hours": 1e-9})
    for resume in (False, True):
        assert not ssl3d.pretrain(short, out=tmp_path / "graph", resume=resume).finished
    ssl3d.pretrain(graphs, out=tmp_path / "graph", resume=True)
    assert len(captures) == 1
    compare(tmp_path / "without", tmp_path / "graph")


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
def test_fine_tuning(backbone: str, tmp_path: Path, captures: list[int]) -> None:
    """Some batches have padding."""
    images, labels = (str(EXAMPLES / name) for name in ("hippocampus", "hippocampus_labels"))
    spec = FinetuneSpec(
        backbone=BACKBONES[backbone],
        task={"name": "segmentation", "labels": {"anterior": 1, "posterior": 2}},
        patch=16,
        data={
            **DATA,
            "images": f"{images}/*_0*.nii.gz",
            "labels": f"{labels}/*_0*.nii.gz",
            "folds": 2,
            "fold": 0,
            "subjects": 2,
        },
        trainer=TRAINER,
    )
    ssl3d.finetune(spec, out=tmp_path / "without")
    assert not captures
    ssl3d.finetune(spec.with_values({"trainer.cuda_graph": "auto"}), out=tmp_path / "graph")
    assert len(captures) == 1
    compare(tmp_path / "without", tmp_path / "graph")
