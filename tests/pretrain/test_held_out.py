"""Held-out numbers: of the crop alone, of each volume, and of nothing that was not measured."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from rich.console import Console
from run_folders import rows_without_time, training_rows

import ssl3d
from ssl3d import ExperimentSpec
from ssl3d.masked.model import PretrainModel
from ssl3d.masked.output import PretrainOutput
from ssl3d.measure.losses import measured
from ssl3d.tasks.pretrain.finish import no_better_than_trivial

MakeSpec = Callable[..., ExperimentSpec]

PARTS: dict[str, Any] = {
    "backbone": {"name": "resunet", "widths": (8, 16), "blocks": (1, 1), "norm": "batch"},
    "losses": ["mse", {"name": "info_nce", "weight": 0.1, "samples": 16, "negatives": "batch"}],
}


def volume_rows(out: Path) -> list[dict[str, str]]:
    """Rows of `held_out.csv`."""
    with (out / "held_out.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_numbers_do_not_depend_on_the_batch_size(make_spec: MakeSpec, tmp_path: Path) -> None:
    """Of the untrained model, which is the same for every batch size."""
    rows, volumes = [], []
    for size in (1, 2, 5):
        out = tmp_path / str(size)
        data = {"batch_size": size, "holdout": 0.6, "holdout_crops": 3}
        ssl3d.pretrain(make_spec(**PARTS, data=data, trainer={"steps": 1}), out=out)
        rows.append(rows_without_time(out)[0])
        volumes.append([row for row in volume_rows(out) if row["step"] == "0"])
    assert {"held_out/loss", "held_out/mse", "held_out/info_nce", "held_out/rank/stage1"} < set(
        rows[0]
    )
    assert rows[0] == rows[1] == rows[2]
    assert volumes[0] == volumes[1] == volumes[2]
    assert [row["crops"] for row in volumes[0]] == ["3.0"] * 3


def test_each_volume_has_its_numbers_at_every_measurement(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    ssl3d.pretrain(make_spec(data={"holdout": 0.6}), out=tmp_path / "a")
    means = {row["step"]: row for row in rows_without_time(tmp_path / "a") if "held_out/mse" in row}
    rows = volume_rows(tmp_path / "a")
    assert list(means) == [0, 3, 6]
    assert [int(row["step"]) for row in rows] == [0] * 3 + [3] * 3 + [6] * 3
    for step, mean in means.items():
        own = [row for row in rows if int(row["step"]) == step]
        assert len({row["volume"] for row in own}) == 3
        for name in ("mse", "mse/trivial", "ssim_true_statistics"):
            found = sum(float(row[name]) for row in own) / 3
            assert found == pytest.approx(mean[f"held_out/{name}"], rel=1e-12)


def test_a_resumed_run_leaves_the_same_files(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec()
    for name in ("whole", "parts"):
        ssl3d.pretrain(spec, out=tmp_path / name)
    (tmp_path / "parts/checkpoints/step-000000006.ckpt").unlink()
    ssl3d.pretrain(spec, out=tmp_path / "parts", resume=True)
    whole, parts = ((tmp_path / name / "held_out.csv").read_bytes() for name in ("whole", "parts"))
    assert whole == parts
    # Before its first checkpoint a run starts anew, and measures step 0 once more.
    for path in (tmp_path / "parts/checkpoints").iterdir():
        path.unlink()
    ssl3d.pretrain(spec, out=tmp_path / "parts", resume=True)
    assert (tmp_path / "parts/held_out.csv").read_bytes() == whole
    assert rows_without_time(tmp_path / "parts") == rows_without_time(tmp_path / "whole")


@pytest.fixture
def with_tiny(tmp_path: Path) -> Callable[[bool], dict[str, Any]]:
    """Two groups of two volumes, and in each a third of 3³ voxels where asked."""

    def write(tiny: bool) -> dict[str, Any]:
        folder = tmp_path / f"set{tiny}"
        folder.mkdir()
        rng = np.random.default_rng(0)
        for group in "ab":
            for i, edge in enumerate((18, 20, 3)):
                values = rng.normal(size=(edge,) * 3).astype(np.float32)
                if edge > 3 or tiny:
                    image = nibabel.Nifti1Image(values, np.eye(4))
                    image.to_filename(folder / f"{group}_{i}_{'tiny' * (edge == 3)}.nii.gz")
        return {"volumes": str(folder), "group_by": "([ab])_", "holdout": 0.5}

    return write


@pytest.mark.parametrize("batch_size", [1, 2])
def test_crops_with_nothing_to_hide_count_in_no_mean(
    make_spec: MakeSpec,
    tmp_path: Path,
    with_tiny: Callable[[bool], dict[str, Any]],
    batch_size: int,
) -> None:
    rows = []
    for tiny in (False, True):
        data = {**with_tiny(tiny), "batch_size": batch_size}
        spec = make_spec(**PARTS, cell=4, data=data, trainer={"steps": 6, "log_every": 6})
        console = Console(record=True, width=2000)
        result = ssl3d.pretrain(spec, out=tmp_path / f"run{tiny}", console=console)
        rows.append(rows_without_time(tmp_path / f"run{tiny}"))
    without, tiny_too = (found[0] for found in rows)
    assert tiny_too.pop("held_out/empty_crops") == 2
    assert tiny_too == without
    assert without["held_out/mse/trivial"] == pytest.approx(1, abs=0.01)
    names = {row["volume"][-11:-7]: row for row in volume_rows(tmp_path / "runTrue")}
    assert names["tiny"]["crops"] == "0.0"
    assert names["tiny"]["empty_crops"] == "2.0"
    assert names["tiny"]["mse"] == names["tiny"]["loss"] == ""
    # In training a third of the crops are of the tiny volume.
    last = rows[1][-1]
    assert last["train/empty_crops"] == 2 * batch_size
    assert last["train/mse"] > 0.5
    said = "\n".join(result.warnings)
    assert "2 of 6 volumes fill less than 25% of data.patch" in result.warnings[0]
    assert "In 2 of 6 held-out crops nothing can be hidden" in said
    assert "tiny.nii.gz nothing can be hidden" in said
    assert f"In {2 * batch_size} of {6 * batch_size} training crops nothing could be" in said
    assert all(text in console.export_text(clear=False) for text in result.warnings)


def test_training_means_are_of_what_was_measured(
    make_spec: MakeSpec, tmp_path: Path, with_tiny: Callable[[bool], dict[str, Any]]
) -> None:
    """Rows of six steps equal the means of the rows of one step that have a loss."""
    data = {**with_tiny(True), "batch_size": 1}
    for every in (1, 6):
        trainer = {"steps": 6, "log_every": every}
        ssl3d.pretrain(make_spec(data=data, trainer=trainer), out=tmp_path / str(every))
    single = training_rows(tmp_path / "1")
    assert len(single) == 4, "two steps saw the tiny volume alone, and have no loss"
    (mean,) = training_rows(tmp_path / "6")
    for name in ("train/loss", "train/mse"):
        assert mean[name] == pytest.approx(sum(row[name] for row in single) / 4, rel=1e-12)


def test_a_run_in_which_nothing_can_be_hidden(make_spec: MakeSpec, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for i in range(4):
        values = np.random.default_rng(i).normal(size=(3, 3, 3)).astype(np.float32)
        nibabel.Nifti1Image(values, np.eye(4)).to_filename(tmp_path / f"set/{i}.nii")
    spec = make_spec(data={"volumes": str(tmp_path / "set")}, trainer={"steps": 2, "pictures": 1})
    result = ssl3d.pretrain(spec, out=tmp_path / "run")
    assert result.held_out_loss is None
    assert result.held_out.keys() == {"empty_crops"}
    assert any("In 4 of 4 training crops" in text for text in result.warnings)


@pytest.fixture
def model(make_spec: MakeSpec) -> PretrainModel:
    return make_spec(masker={"name": "mim", "level_weights": (3.0, 1.0)}).build().eval()


def restored(model: PretrainModel, hidden: list[torch.Tensor]) -> PretrainOutput:
    volume = torch.rand(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    volume[..., :8] = 0.0  # air: nothing there can be scored
    with torch.no_grad():
        output: PretrainOutput = model(volume, hidden=hidden)
    return output


def test_a_level_without_anything_to_score_is_left_out(model: PretrainModel) -> None:
    outer, inner = torch.zeros(2, 1, 4, 4, 4, dtype=torch.bool)
    outer[..., 1:] = True
    inner[..., 1] = True
    found = measured(restored(model, [outer, inner]), model=model)
    assert "mse/level1" not in found
    assert "mse/trivial/level1" not in found
    assert found["mse"] == found["loss"] == found["mse/level0"]
    inner[..., 3] = True
    both = measured(restored(model, [outer, inner]), model=model)
    assert both["mse/level0"] == found["mse/level0"]
    assert both["mse"] == pytest.approx((both["mse/level0"] + both["mse/level1"]) / 2)
    assert measured(restored(model, [inner & ~outer]), model=model) == {}


def test_a_loss_above_the_trivial_one_is_said(make_spec: MakeSpec, tmp_path: Path) -> None:
    assert no_better_than_trivial(0.99, trivial=1.0) is None
    assert no_better_than_trivial(None, trivial=None) is None
    console = Console(record=True, width=2000)
    spec = make_spec(optimizer={"lr": 1e-30}, trainer={"steps": 1})
    result = ssl3d.pretrain(spec, out=tmp_path / "a", console=console)
    assert result.held_out_loss is not None
    assert result.trivial_loss is not None
    assert result.held_out_loss > result.trivial_loss
    text = f"{result.held_out_loss:.4f}, is not below the trivial prediction's"
    assert text in result.warnings[-1]
    assert console.export_text().count(text) == 1


def test_a_held_out_volume_that_cannot_be_read(
    make_spec: MakeSpec, tmp_path: Path, with_tiny: Callable[[bool], dict[str, Any]]
) -> None:
    """It is found before the first step, and the run measures the others."""
    data = with_tiny(False)
    held = {row["volume"] for row in _measured(make_spec(data=data), tmp_path / "good")}
    bad = sorted(held)[0]
    nibabel.Nifti1Image(np.ones((20, 20, 20), np.float32), np.eye(4)).to_filename(bad)
    rows = _measured(make_spec(data=data), tmp_path / "skip")
    assert {row["volume"] for row in rows} == held - {bad}
    with pytest.raises(ValueError, match="no contrast"):
        ssl3d.pretrain(make_spec(data={**data, "on_bad_file": "stop"}), out=tmp_path / "stop")
    assert not (tmp_path / "stop/metrics.csv").exists()


def _measured(spec: ExperimentSpec, out: Path) -> list[dict[str, str]]:
    result = ssl3d.pretrain(spec, out=out)
    rows = volume_rows(out)
    assert result.held_out_loss is not None
    assert math.isfinite(result.held_out_loss)
    return rows
