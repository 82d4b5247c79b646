"""What a fine-tuning run leaves: its files, its numbers, and the weights that were chosen."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from small_runs import (
    BACKBONE,
    CLASSIFICATION,
    EACH_ALONE,
    LABELS,
    REGRESSION,
    SEGMENTATION,
    checkpoint_of,
    different,
    rows_of,
    weights_of,
)

import ssl3d
from ssl3d import AugmentSpec, FinetuneSpec
from ssl3d.tasks.finetune.model import FinetuneModel
from ssl3d.tasks.finetune.model_file import Tuned

MakeSpec = Callable[..., FinetuneSpec]
TASKS = {
    "segmentation": SEGMENTATION,
    "classes": CLASSIFICATION,
    "labels": LABELS,
    "regression": REGRESSION,
}
BACKBONES: dict[str, Any] = {
    "waveformer": {"name": "waveformer", "widths": (8, 16), "depths": (1, 1), "heads": (1, 2)},
    "resunet": BACKBONE,
    "monai": {
        "name": "monai",
        "network": {"name": "segresnet", "init_filters": 8, "blocks_down": (1, 1)},
    },
}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def prepared(tuned: Tuned, image: str) -> torch.Tensor:
    """A volume as the model expects it, prepared by hand: z-scores over the whole volume."""
    voxels = np.transpose(nibabel.load(image).get_fdata().astype(np.float32))
    assert tuned.preparation.normalise.name == "zscore"
    return torch.from_numpy(np.ascontiguousarray((voxels - voxels.mean()) / voxels.std()))[None]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_runs_every_task(
    make_spec: MakeSpec, tmp_path: Path, backbone: str, task: str
) -> None:
    spec = make_spec(backbone=BACKBONES[backbone], task=TASKS[task], trainer={"steps": 2})
    result = ssl3d.finetune(spec, out=tmp_path / "run")
    assert result.finished
    assert result.primary in result.numbers
    losses = [row["train/loss"] for row in rows_of(tmp_path / "run") if "train/loss" in row]
    assert len(losses) == 1
    assert np.isfinite(losses).all()
    tuned = ssl3d.load_model(tmp_path / "run")
    assert not different(tuned.model.state_dict(), weights_of(tmp_path / "run"))


def test_files_of_numbers(make_spec: MakeSpec, tmp_path: Path) -> None:
    result = ssl3d.finetune(make_spec(), out=tmp_path / "run")
    test = tmp_path / "run" / "test"
    lines = table(test / "metrics.csv")
    assert {line["number"]: float(line["value"]) for line in lines} == dict(result.numbers)
    assert set(lines[0]) == {"number", "value", "low", "high"}
    cases = table(test / "cases.csv")
    # Of two persons both draws are the worse one in a quarter: that is the low end.
    persons: dict[int, list[float]] = {}
    for line in cases:
        number = int(Path(line["case"]).name.split(".")[0])
        persons.setdefault(number // 2, []).append(float(line["dice"]))
    low = {line["number"]: line["low"] for line in lines}["dice"]
    assert float(low) == pytest.approx(min(map(np.mean, persons.values())), abs=1e-6)
    dice = [float(line["dice"]) for line in cases]
    assert dice == sorted(dice)
    assert [line["case"] for line in cases] == list(result.worst)
    summary = json.loads((test / "summary.json").read_text())
    facts = {"recipe": "scratch", "fold": 0, "seed": 0, "subset_seed": 0, "select": "last"}
    assert facts.items() <= summary.items()
    assert summary["cases"] == len(cases) == 4
    assert summary["numbers"]["dice"]["value"] == result.numbers["dice"]
    whole = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert whole["numbers"] == dict(result.numbers)


def test_segmentation_numbers_are_those_of_a_naive_computation(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    """One pass over the whole volume, counted voxel by voxel."""
    spec = make_spec(
        patch=(32, 32, 32),
        data={"normalise": {"name": "zscore"}, "foreground": "none"},
        trainer={"steps": 8},
    )
    result = ssl3d.finetune(spec, out=tmp_path / "run")
    tuned = ssl3d.load_model(tmp_path / "run")
    sums = []
    for line in table(tmp_path / "run" / "test" / "cases.csv"):
        volume = prepared(tuned, line["case"])
        d, h, w = volume.shape[1:]
        # The window is larger than the volume, which lies in its middle.
        start = [(32 - edge) // 2 for edge in (d, h, w)]
        box = tuple(slice(a, a + edge) for a, edge in zip(start, (d, h, w), strict=True))
        padded, valid = torch.zeros(1, 1, 32, 32, 32), torch.zeros(1, 32, 32, 32, dtype=torch.bool)
        padded[0, :, *box], valid[0, *box] = volume, True
        found = tuned.model.predict(padded, valid=valid)[0].argmax(0)[box].numpy()
        label = nibabel.load(line["case"].replace("images", "labels"))
        truth = np.transpose(np.asarray(label.dataobj))
        dice = [
            2 * ((found == k) & (truth == k)).sum() / ((found == k).sum() + (truth == k).sum())
            for k in (1, 2)
        ]
        assert float(line["dice/front"]) == pytest.approx(dice[0], abs=1e-6)
        assert float(line["dice/back"]) == pytest.approx(dice[1], abs=1e-6)
        sums.append(np.mean(dice))
    assert result.numbers["dice"] == pytest.approx(np.mean(sums), abs=1e-6)


@pytest.mark.parametrize("task", ["classes", "regression"])
def test_numbers_of_cases_are_those_of_a_naive_computation(
    make_spec: MakeSpec, tmp_path: Path, task: str
) -> None:
    """Eight tiles of each volume, as corners put them."""
    data = {"normalise": {"name": "zscore"}, "foreground": "none"}
    spec = make_spec(task=TASKS[task], data=data, trainer={"steps": 3})
    result = ssl3d.finetune(spec, out=tmp_path / "run")
    tuned = ssl3d.load_model(tmp_path / "run")
    known = {Path(line["image"]).name: line for line in table(Path(str(spec.data.manifest)))}
    said, truth = [], []
    for line in table(tmp_path / "run" / "test" / "cases.csv"):
        volume, row = prepared(tuned, line["case"]), known[Path(line["case"]).name]
        crops = torch.stack(
            [
                volume[:, *(slice(0, 16) if low else slice(-16, None) for low in corner)]
                for corner in itertools.product((True, False), repeat=3)
            ]
        )
        found = tuned.model.predict(crops, counts=(8,))[0]
        if task == "regression":
            said.append(float(tuned.model.task.decided(found)[0]))
            truth.append(float(row["age"]))
        else:
            assert float(found.sum()) == pytest.approx(1)
            said.append(float(found[1]))
            truth.append(float(row["kind"] == "bright"))
    pairs = list(zip(said, truth, strict=True))
    if task == "regression":
        naive = np.mean([abs(one - other) for one, other in pairs])
        assert result.numbers["mae"] == pytest.approx(naive, rel=1e-4)
    else:
        ill, well = ([one for one, kind in pairs if kind == value] for value in (1, 0))
        wins = [(a > b) + 0.5 * (a == b) for a in ill for b in well]
        assert result.numbers["auroc"] == pytest.approx(np.mean(wins), abs=1e-6)


def test_tiles_are_measured_a_few_at_a_time(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of a large volume do not fit a GPU at once."""
    seen = []
    forward = FinetuneModel._crops

    def noted(self: Any, volume: Any, valid: Any, *, learn: bool) -> Any:
        if not self.training:
            seen.append(len(volume))
        return forward(self, volume, valid, learn=learn)

    monkeypatch.setattr(FinetuneModel, "_crops", noted)
    spec = make_spec(task=CLASSIFICATION, windows={"batch": 3}, trainer={"steps": 1})
    ssl3d.finetune(spec, out=tmp_path / "run")
    assert seen == [3, 3, 2] * 4


@pytest.mark.parametrize("checkpoint_every", [2, 5])
def test_the_best_weights_are_the_result(
    checkpoint_every: int, make_spec: MakeSpec, tmp_path: Path
) -> None:
    """However seldom checkpoints are written."""
    spec = make_spec(
        select="best",
        optimizer={"lr": 0.05},
        trainer={"steps": 8, "keep_checkpoints": 1, "checkpoint_every": checkpoint_every},
    )
    result = ssl3d.finetune(spec, out=tmp_path / "run")
    rows = [row for row in rows_of(tmp_path / "run") if row["step"] > 0]
    scores = {int(row["step"]): row["choosing/dice"] for row in rows if "choosing/dice" in row}
    assert sorted(scores) == [2, 4, 6, 8]
    best = max(scores, key=lambda step: (scores[step], -step))
    assert result.step_of_model == best
    kept = checkpoint_of(tmp_path / "run", step=best)["state_dict"]
    assert not different(weights_of(tmp_path / "run"), kept)
    described = json.loads((tmp_path / "run" / "model.json").read_text())
    assert (described["trained"]["steps"], described["trained"]["select"]) == (best, "best")


def test_the_smallest_error_is_the_best(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(select="best", task=REGRESSION, optimizer={"lr": 0.05})
    result = ssl3d.finetune(spec, out=tmp_path / "run")
    rows = [row for row in rows_of(tmp_path / "run") if row["step"] > 0]
    scores = {int(row["step"]): row["choosing/mae"] for row in rows}
    assert result.step_of_model == min(scores, key=lambda step: (scores[step], step))


def test_where_nothing_chooses_the_last_weights_are_taken_and_said(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    """One case alone has no AUROC."""
    data = {"choose": 0.01, **EACH_ALONE}
    spec = make_spec(select="best", task=CLASSIFICATION, data=data)
    result = ssl3d.finetune(spec, out=tmp_path / "run")
    assert result.step_of_model == 4
    assert any("had no auroc at any step" in text for text in result.warnings)


def test_a_run_ends_early_where_nothing_gets_better(make_spec: MakeSpec, tmp_path: Path) -> None:
    best = {"number": "choosing/dice", "larger": True, "patience": 1}
    spec = make_spec(
        select="best",
        optimizer={"lr": 1e-30, "weight_decay": 0.0},
        trainer={"steps": 40, "best": best},
    )
    result = ssl3d.finetune(spec, out=tmp_path / "run")
    assert (result.ended, result.finished, result.step) == ("early", True, 2)
    assert (tmp_path / "run" / "test" / "metrics.csv").exists()


def test_averaged_weights_are_the_result(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(optimizer={"ema": 0.5, "lr": 0.01})
    ssl3d.finetune(spec, out=tmp_path / "run")
    state = checkpoint_of(tmp_path / "run", step=4)
    left = weights_of(tmp_path / "run")
    assert different(left, state["state_dict"])
    assert not different(left, state["average"]["weights"])


def test_seeds_of_subset_and_training_are_apart(make_spec: MakeSpec, tmp_path: Path) -> None:
    seeds = {"a": (0, 0), "b": (1, 0), "c": (0, 1), "again": (0, 0)}
    learned, left = {}, {}
    for name, (seed, subset) in seeds.items():
        spec = make_spec(
            seed=seed,
            subset_seed=subset,
            data={"subjects": 2, **EACH_ALONE},
        )
        ssl3d.finetune(spec, out=tmp_path / name)
        listing = json.loads((tmp_path / name / "data.json").read_text())
        learned[name] = [sample["files"][0]["path"] for sample in listing["training"]]
        left[name] = weights_of(tmp_path / name)
    assert learned["a"] == learned["b"] == learned["again"]
    assert learned["a"] != learned["c"]
    assert different(left["a"], left["b"])
    assert different(left["a"], left["c"])
    assert not different(left["a"], left["again"])


@pytest.mark.slow
def test_two_cases_are_overfitted(make_spec: MakeSpec, tmp_path: Path) -> None:
    """Tested on the cases that are learned from, by copies that count as other persons."""
    images, labels = (
        Path(str(make_spec().data.manifest)).parent / name for name in ("images", "labels")
    )
    lines = ["image,label,group,fold"]
    for fold in (0, 1):
        for case in (0, 1):
            name = f"{fold}-{case}.nii.gz"
            for folder in (images, labels):
                (tmp_path / folder.name).mkdir(exist_ok=True)
                source = (folder / f"{case}.nii.gz").read_bytes()
                (tmp_path / folder.name / name).write_bytes(source)
            lines.append(f"images/{name},labels/{name},{name},{fold}")
    (tmp_path / "cases.csv").write_text("\n".join(lines))
    spec = make_spec(
        data={"manifest": str(tmp_path / "cases.csv")},
        backbone={**BACKBONE, "widths": (8, 16)},
        augment=AugmentSpec.off(),
        optimizer={"lr": 3e-3},
        trainer={"steps": 150, "log_every": 50, "validate_every": 150, "checkpoint_every": 150},
    )
    result = ssl3d.finetune(spec, out=tmp_path / "run")
    assert result.score is not None
    assert result.score > 0.95
