"""`ssl3d finetune`: what it runs, prints and refuses, with one message and nothing in the way."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from small_runs import (
    BACKBONE,
    CLASSIFICATION,
    EACH_ALONE,
    LABELS,
    REGRESSION,
    SEGMENTATION,
    weights_of,
)

import ssl3d
from ssl3d import FinetuneSpec
from ssl3d.cli import main

MakeSpec = Callable[..., FinetuneSpec]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `ssl3d ARGUMENTS` in this process; gives exit code, output and errors."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as leave:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return int(leave.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def own_set(labelled_set: Path, tmp_path: Path) -> Path:
    """A copy of the set to spoil."""
    return Path(shutil.copytree(labelled_set, tmp_path / "set"))


def written(spec: FinetuneSpec, folder: Path, *, form: str = "json") -> Path:
    path = folder / f"spec.{form}"
    path.write_text(spec.to_json() if form == "json" else spec.to_yaml(), encoding="utf-8")
    return path


@pytest.mark.parametrize("form", ["py", "yaml", "json"])
def test_specs_are_python_yaml_or_json(make_spec: MakeSpec, tmp_path: Path, form: str) -> None:
    spec = make_spec(recipe={"name": "scratch", "layer_decay": 0.5}, select="best")
    if form == "py":
        path = tmp_path / "spec.py"
        path.write_text(
            f"from ssl3d import FinetuneSpec\nspec = FinetuneSpec(**{spec.to_dict()!r})"
        )
    else:
        path = written(spec, tmp_path, form=form)
    assert FinetuneSpec.load(path) == spec


def test_copies_are_checked(make_spec: MakeSpec) -> None:
    spec = make_spec()
    assert spec.replace(seed=3).seed == 3
    assert spec.with_values({"data.subjects": 2}).data.subjects == 2
    assert spec.with_values({"task": CLASSIFICATION}).task.name == "classification"
    with pytest.raises(ssl3d.SpecError, match="folds are counted from 0"):
        spec.with_values({"data.fold": 7})
    with pytest.raises(ssl3d.SpecError, match="transfer: nothing is transferred"):
        spec.replace(transfer="encoder+decoder")


def test_the_command_is_the_function(make_spec: MakeSpec, tmp_path: Path, command: Run) -> None:
    path = written(make_spec(), tmp_path)
    code, out, err = command(
        "finetune", path, "--out", tmp_path / "run", "--fold", 1, "--set", "seed=5"
    )
    assert code == 0, err
    assert "Test cases, model of step 4" in out
    assert "Worst cases:" in out
    ssl3d.finetune(make_spec(seed=5, data={"fold": 1}), out=tmp_path / "other")
    mine, theirs = weights_of(tmp_path / "run"), weights_of(tmp_path / "other")
    assert all((mine[name] == theirs[name]).all() for name in theirs)
    code, out, err = command("resume", tmp_path / "run", "--set", "trainer.log_every=1")
    assert code == 0, err
    code, out, err = command("resume", tmp_path / "run", "--accept-changed-data")
    assert (code, "goes on with the cases that it has" in err) == (2, True)


def test_dry_run_prints_and_leaves_nothing(
    make_spec: MakeSpec, pretrained: Path, tmp_path: Path, command: Run
) -> None:
    path = written(make_spec(encoder=str(pretrained), select="best"), tmp_path)
    before = set(tmp_path.rglob("*"))
    code, out, err = command("finetune", path, "--dry-run", "--fold", "1")
    assert code == 0, err
    for words in (
        "fold: 1",
        f"Encoder from {pretrained}: 23 tensors loaded as they are",
        "encoder",
        "decoder unet",
        "segmentation: background, front, back",
        "16 × 16 × 16 voxels",
        "4 cases of 2 persons",
        "2 cases of 1 persons",
        # Windows of 16 that overlap by a half: 2 along 22 and 24 voxels, 3 along 25 and 26.
        "3 times (first, last, every 2 steps), 20 windows each: 60",
        "once, 40 windows",
        "8 a rank, in 4 steps",
    ):
        assert words in out, words
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("task", [SEGMENTATION, LABELS])
def test_a_dry_run_counts_what_is_mirrored(
    task: dict, make_spec: MakeSpec, tmp_path: Path, command: Run
) -> None:
    counts = []
    for mirror in ((), (0, 1, 2)):
        spec = make_spec(task=task, data=EACH_ALONE, windows={"mirror": mirror})
        code, out, err = command("finetune", written(spec, tmp_path), "--dry-run")
        assert code == 0, err
        counts.append(int(re.search(r"once, ([\d,]+) (windows|crops)", out)[1].replace(",", "")))
    assert counts[1] == 8 * counts[0] > 0


def test_what_is_missing_is_asked_for(make_spec: MakeSpec, tmp_path: Path, command: Run) -> None:
    path = written(make_spec(), tmp_path)
    assert command("finetune", path)[0] == 2
    code, _, err = command("finetune", path, "--out", tmp_path / "run", "--fold", "one")
    assert (code, "a number from 0, or all" in err) == (2, True)
    code, _, err = command("finetune", path, "--out", tmp_path / "run", "--resume")
    assert (code, "holds no run to resume" in err) == (2, True)
    assert not (tmp_path / "run").exists()


def no_such_backbone(folder: Path, pretrained: Path) -> dict[str, Any]:
    shutil.copytree(pretrained, folder / "run")
    path = folder / "run" / "encoder.json"
    described = json.loads(path.read_text())
    described["backbone"] = {"name": "theirs", "depth": 3}
    described["from"] = "their-backbone 2.0"
    path.write_text(json.dumps(described))
    return {"encoder": str(folder / "run")}


def fewer_channels(folder: Path, pretrained: Path) -> dict[str, Any]:
    images = f"{folder}/images/*.nii.gz"
    data = {"manifest": None, "images": {"a": images, "b": images}}
    return {"encoder": str(pretrained), "data": {**data, "labels": f"{folder}/labels/*.nii.gz"}}


def other_table(folder: Path, change: Callable[[list[dict[str, str]]], None]) -> dict[str, Any]:
    with (folder / "cases.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    change(rows)
    with (folder / "cases.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return {"data": {"manifest": str(folder / "cases.csv")}}


def spoiled_label(
    folder: Path, change: Callable[[Any], nibabel.Nifti1Image], *, case: int = 0
) -> dict[str, Any]:
    path = folder / "labels" / f"{case}.nii.gz"
    image = nibabel.load(path)
    changed = change(nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine))
    nibabel.save(changed, path)
    return {"data": {"manifest": str(folder / "cases.csv")}}


def empty_labels(folder: Path) -> dict[str, Any]:
    for case in range(8):
        spoiled = spoiled_label(
            folder,
            lambda i: nibabel.Nifti1Image(np.zeros(i.shape, np.uint8), i.affine),
            case=case,
        )
    return spoiled


def with_voxels(image: Any, value: int) -> Any:
    voxels = np.asarray(image.dataobj).copy()
    voxels[:2] = value
    return nibabel.Nifti1Image(voxels, image.affine)


BAD: dict[str, tuple[Callable[[Path, Path], dict[str, Any]], str]] = {
    "backbone that is not installed": (no_such_backbone, "came from their-backbone 2.0"),
    "no encoder": (
        lambda folder, _: {"encoder": str(folder / "images")},
        "holds no encoder: there is no",
    ),
    "encoder that is not there": (
        lambda folder, _: {"encoder": str(folder / "nowhere")},
        "is no run's folder and no exported encoder",
    ),
    "checkpoint that is not there": (
        lambda folder, _: {"encoder": str(folder / "x.pth"), "backbone": BACKBONE},
        "x.pth: no such file",
    ),
    "checkpoint that is no checkpoint": (
        lambda folder, _: {"encoder": str(folder / "cases.csv"), "backbone": BACKBONE},
        "cannot be read as weights",
    ),
    "checkpoint of another backbone": (
        lambda _, pretrained: {
            "encoder": str(next((pretrained / "checkpoints").glob("*.ckpt"))),
            "backbone": {**BACKBONE, "widths": (8, 16)},
        },
        "do not fit",
    ),
    "another backbone than the encoder's": (
        lambda _, pretrained: {
            "encoder": str(pretrained),
            "backbone": {**BACKBONE, "widths": (8, 16)},
        },
        "backbone: the encoder is",
    ),
    "another decoder than was pre-trained": (
        lambda _, pretrained: {
            "encoder": str(pretrained),
            "transfer": "encoder+decoder",
            "decoder": {"name": "unet", "blocks": 2},
        },
        "do not fit",
    ),
    "other channels": (fewer_channels, "inputs: repeat, average or new"),
    "one class only": (
        lambda folder, _: {
            **other_table(folder, lambda rows: [row.update(kind="plain") for row in rows][:0]),
            "task": CLASSIFICATION,
        },
        "give cases of both kinds",
    ),
    "one label only": (
        lambda folder, _: empty_labels(folder),
        "training cases have one class alone (background) of background, front, back",
    ),
    "empty fold": (
        lambda folder, _: {
            **other_table(folder, lambda rows: [row.update(part="0") for row in rows][:0]),
            "columns": {"group": "alone", "fold": "part"},
        },
        "no case is in fold",
    ),
    "more folds than persons": (
        lambda *_: {"data": {"folds": 9}},
        "a fold would be empty",
    ),
    "more subjects than there are": (
        lambda *_: {"data": {"subjects": 3}},
        "2 persons (groups) are outside of fold",
    ),
    "unknown file": (
        lambda folder, _: other_table(folder, lambda rows: rows[2].update(image="gone.nii.gz")),
        "in line 4, which is no file",
    ),
    "file in two rows": (
        lambda folder, _: other_table(folder, lambda rows: rows[2].update(image=rows[1]["image"])),
        "in line 3 and line 4: name it once",
    ),
    "no label map": (
        lambda folder, _: other_table(folder, lambda rows: rows[2].update(label="")),
        "no label",
    ),
    "no target": (
        lambda folder, _: {
            **other_table(folder, lambda rows: rows[2].update(age="")),
            "task": REGRESSION,
        },
        "cases have no target",
    ),
    "no such column": (
        lambda *_: {"task": {"name": "regression", "values": ("weight",)}},
        "weight",
    ),
    "target that is no number": (
        lambda folder, _: {
            **other_table(folder, lambda rows: rows[2].update(find="maybe")),
            "task": LABELS,
        },
        "'maybe'",
    ),
    "label that is neither 0 nor 1": (
        lambda folder, _: {
            **other_table(folder, lambda rows: rows[2].update(old="2")),
            "task": LABELS,
        },
        "'2' is no class: give one of 0, 1",
    ),
    "class that is not named": (
        lambda folder, _: {
            **other_table(folder, lambda rows: rows[2].update(kind="5")),
            "task": CLASSIFICATION,
        },
        "'5' is no class: give one of plain, bright (or 0 to 1)",
    ),
    "label of another shape": (
        lambda folder, _: spoiled_label(folder, lambda i: i.slicer[:-1]),
        "channels must share one grid",
    ),
    "label of another geometry": (
        lambda folder, _: spoiled_label(
            folder, lambda i: nibabel.Nifti1Image(np.asarray(i.dataobj), np.diag([1, 1, 3, 1]))
        ),
        "grid",
    ),
    "value that is no label": (
        lambda folder, _: spoiled_label(folder, lambda i: with_voxels(i, 7)),
        "holds the labels 7",
    ),
    "image that is damaged": (
        lambda folder, _: [
            (folder / "images" / "0.nii.gz").write_bytes(b"no volume"),
            {"data": {"manifest": str(folder / "cases.csv")}},
        ][1],
        "0.nii.gz",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_message_and_blocks_nothing(
    make_spec: MakeSpec,
    pretrained: Path,
    own_set: Path,
    tmp_path: Path,
    command: Run,
    name: str,
) -> None:
    spoil, message = BAD[name]
    parts = spoil(own_set, pretrained)
    columns = {"columns": parts.pop("columns")} if "columns" in parts else {}
    for fold in (0, 1):  # damaged cases are learned from in one, tested on in the other
        data = {**parts.get("data", {}), **columns, "fold": fold}
        if name == "empty fold":
            data["fold"] = 1
        path = written(make_spec(**{**parts, "data": data}), tmp_path)
        code, out, err = command("finetune", path, "--out", tmp_path / "run")
        assert code == 2, out
        assert err.count("Error: ") == 1
        assert message in err, err
        assert "Traceback" not in err
    code, _, err = command("finetune", written(make_spec(), tmp_path), "--out", tmp_path / "run")
    assert code == 0, err


def test_a_folder_that_is_no_fine_tuning_run(
    make_spec: MakeSpec, pretrained: Path, tmp_path: Path, command: Run
) -> None:
    path = written(make_spec(encoder=str(pretrained)), tmp_path)
    code, _, err = command("finetune", path, "--out", pretrained, "--resume")
    assert (code, "is no fine-tuning run" in err) == (2, True)
    code, _, err = command("finetune", path, "--out", pretrained)
    assert (code, "holds another run" in err) == (2, True)
    code, _, err = command("resume", tmp_path / "none")
    assert (code, "holds no run to resume" in err) == (2, True)
    with pytest.raises(ValueError, match="is no fine-tuning run that has ended"):
        ssl3d.load_model(pretrained)


def test_cases_that_pretraining_has_read_are_said(
    make_spec: MakeSpec, pretrained: Path, tmp_path: Path
) -> None:
    """By content: it trained on three of the first four cases, and measured on one."""
    said = {}
    for fold in (0, 1):
        spec = make_spec(encoder=str(pretrained), data={"fold": fold}, trainer={"steps": 1})
        result = ssl3d.finetune(spec, out=tmp_path / str(fold))
        said[fold] = "\n".join(result.warnings)
    first, second = sorted(said.values(), key=lambda text: "by content" in text)
    assert "by content" not in first
    assert "3 test cases that pre-training has trained on, by content" in second
    assert "1 test cases that pre-training has measured on (held out), by content" in second
    exported = tmp_path / "exported"
    exported.mkdir()
    for name in ("encoder.json", "encoder.safetensors"):
        shutil.copy(pretrained / name, exported)
    spec = make_spec(encoder=str(exported), trainer={"steps": 1})
    result = ssl3d.finetune(spec, out=tmp_path / "other")
    assert "is not known" in "\n".join(result.warnings)
    file = str(pretrained / "encoder.safetensors")
    spec = make_spec(encoder=file, data={"fold": 0 if "content" in said[0] else 1})
    result = ssl3d.finetune(spec, out=tmp_path / "file")
    assert "3 test cases that pre-training has trained on" in "\n".join(result.warnings)


def test_another_preparation_than_the_encoders_is_said(
    make_spec: MakeSpec, pretrained: Path, tmp_path: Path
) -> None:
    data = {"normalise": {"name": "zscore"}, "spacing": (1, 1, 1)}
    spec = make_spec(encoder=str(pretrained), data=data, trainer={"steps": 1})
    warnings = "\n".join(ssl3d.finetune(spec, out=tmp_path / "run").warnings)
    assert "data.normalise is zscore" in warnings
    assert "had percentile" in warnings
    assert "data.spacing is 1 × 1 × 1 mm, but the encoder's volumes had the files' own" in warnings
