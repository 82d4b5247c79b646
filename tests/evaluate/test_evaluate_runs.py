"""A run on labelled volumes, and predicted cases against a table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from evaluated_runs import SEGMENTATION, labelled_set, spec_of
from safetensors.torch import load_file, save_file

import ssl3d
from ssl3d.tasks.evaluate.maps import evaluate_maps
from ssl3d.tasks.evaluate.outputs import evaluate_outputs
from ssl3d.tasks.evaluate.run import evaluate_run
from ssl3d.tasks.finetune.model import FinetuneModel
from ssl3d.tasks.finetune.window_spec import WindowSpec


def numbers(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())["numbers"]


@pytest.mark.parametrize("kind", ["voxels", "cases"])
def test_a_run_is_measured_as_it_measured_itself(kind: str, runs: Path, command, tmp_path) -> None:
    code, out, err = command("evaluate", runs / kind, "--out", "scores")
    assert code == 0, err
    assert "4 cases" in out
    for name, own in numbers(runs / kind / "test").items():
        found = numbers(tmp_path / "scores")[name]
        assert found == {end: pytest.approx(value, nan_ok=True) for end, value in own.items()}


def test_a_run_and_what_it_predicts_have_the_same_numbers(runs: Path, tmp_path, quiet) -> None:
    """Windows, labels and spacing are those of the run on the whole way through files."""
    own = evaluate_run(runs / "voxels", console=quiet)
    images = [next((runs / "images").glob(Path(name).name)) for name in own.rows]
    predicted = ssl3d.predict(runs / "voxels", images, out=tmp_path / "out", console=quiet)
    found = evaluate_maps(predicted.out, runs / "labels", allow_missing=True, console=quiet)
    by_case = {Path(name).name.partition(".")[0]: row for name, row in found.rows.items()}
    assert len(by_case) == len(own.rows) == 4
    # Predicting keeps half precision: a voxel of two classes that are equal in it may be either.
    for name, row in own.rows.items():
        assert by_case[Path(name).stem] == pytest.approx(row, rel=5e-3, nan_ok=True)
    assert any(0 < row["dice"] < 1 for row in own.rows.values())
    assert found.numbers == pytest.approx(own.numbers, rel=5e-3, nan_ok=True)


def test_a_run_is_measured_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet
) -> None:
    """Persons by a part of a relative path, which is seen from where the run was begun."""
    labelled_set(tmp_path, cases=6)
    for kind in ("images", "labels"):
        for case in range(6):
            (tmp_path / f"{case // 2}/{kind}").mkdir(parents=True, exist_ok=True)
            (tmp_path / f"{kind}/{case}.nii").rename(tmp_path / f"{case // 2}/{kind}/{case}.nii")
    monkeypatch.chdir(tmp_path)
    spec = spec_of(tmp_path, task=SEGMENTATION).with_values(
        {
            "data.manifest": None,
            "data.images": "*/images/*.nii",
            "data.labels": "*/labels/*.nii",
            "data.group_by": "^([^/]+)/",
        }
    )
    result = ssl3d.finetune(spec, out=tmp_path / "run", console=quiet)
    monkeypatch.chdir(tmp_path / "0")
    assert evaluate_run(tmp_path / "run", console=quiet).numbers == pytest.approx(result.numbers)


def test_other_sides_and_other_volumes(runs: Path, command, tmp_path: Path, quiet) -> None:
    sides = {
        side: evaluate_run(runs / "voxels", side=side, console=quiet).rows
        for side in ("testing", "choosing", "training")
    }
    assert sum(map(len, sides.values())) == 12
    assert not set(sides["testing"]) & set(sides["training"])
    labelled_set(tmp_path / "new", cases=2)
    (tmp_path / "data.yaml").write_text("data: {manifest: new/table.csv, workers: 0}")
    code, out, err = command("evaluate", runs / "voxels", "--data", "data.yaml", "--out", "s")
    assert code == 0, err
    assert "2 cases" in out
    assert "Not looked at" not in out
    assert json.loads((tmp_path / "s/summary.json").read_text())["side"] == "other volumes"
    text = "data: {manifest: new/table.csv, workers: 0, spacing: 5, normalise: zscore}"
    (tmp_path / "other.yaml").write_text(text)
    code, out, err = command("evaluate", runs / "voxels", "--data", "other.yaml", "--out", "s")
    assert (code, "Not looked at: data.spacing, data.normalise" in out) == (0, True), out + err
    shutil.copytree(runs, tmp_path / "moved")
    (tmp_path / "moved/voxels/data.json").unlink()
    shutil.copytree(runs / "voxels", tmp_path / "folds/fold-0")
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun/spec.json").write_text("{}")
    for arguments, message in {
        ("folds",): "holds a run for each fold",
        ("begun",): "begun holds a run, but no fine-tuned model",
        (runs / "voxels", "labels"): "is a run: give its labelled volumes by --data",
        (runs / "cases", "--side", "choosing"): "no cases on the side 'choosing'",
        (tmp_path / "moved/voxels",): "which cases the run was tested on cannot be read",
        (runs / "voxels", "--data", "none.yaml"): "no such file",
        (runs / "voxels", "--label", "a=1", "--ignore", "3"): "--label, --ignore: for predictions",
        (runs / "voxels", "--allow-missing"): "--allow-missing: for predictions",
        (runs / "voxels", "--data", "data.yaml", "--side", "training"): "--side: for a run's own",
        (runs / "voxels", "--device", "gpu"): "device: given 'gpu'",
        (runs / "voxels", "--out", runs / "cases"): "holds a run, whose metrics.csv",
    }.items():
        code, _, err = command("evaluate", *arguments)
        assert (code, message in err) == (2, True), err


def test_predicted_cases_against_a_table(runs: Path, tmp_path: Path, command, quiet) -> None:
    images = [runs / f"images/{case}.nii" for case in range(8)]
    ssl3d.predict(runs / "cases", images, out=tmp_path / "out", console=quiet)
    code, _, err = command("evaluate", "out", runs / "table.csv")
    assert (code, "4 of 12 rows name no case that was predicted" in err) == (2, True)
    code, out, err = command(
        "evaluate", "out", runs / "table.csv", "--allow-missing", "--out", "scores"
    )
    assert code == 0, err
    assert "Left out: 4 rows without a prediction" in out
    found = numbers(tmp_path / "scores")
    rows = (tmp_path / "out/predictions.csv").read_text().splitlines()[1:]
    bright = {int(row.split(",")[0]): float(row.split(",")[2]) for row in rows}
    # AUROC: the share of pairs of which the brighter case has more.
    pairs = [(bright[b], bright[d]) for b in (1, 3, 5, 7) for d in (0, 2, 4, 6)]
    wanted = sum((b > d) + (b == d) / 2 for b, d in pairs) / len(pairs)
    assert found["auroc"]["value"] == pytest.approx(wanted)


def test_tables_that_do_not_fit(runs: Path, tmp_path: Path, command, quiet) -> None:
    images = [runs / f"images/{case}.nii" for case in range(2)]
    ssl3d.predict(runs / "cases", images, out=tmp_path / "out", console=quiet)
    for text, message in {
        "image,kind\n0,dark\n": "has no row for 1 of 2 predicted cases",
        "image,kind\n0,dark\n1,dark\n0.nii,dark\n": "in line 2 and line 4: name it once",
        "image,kind\n0,grey\n1,dark\n": "'grey' is no class",
        "image,other\n0,1\n": "kind",
        "image,kind,group\n0,dark,a\n1,dark,\n": "has no group in line 3: give one to every row",
        "image,kind,Group\n0,dark,a\n1,dark,\n": "has a column 'Group' and no 'group'",
    }.items():
        (tmp_path / "truth.csv").write_text(text)
        code, _, err = command("evaluate", "out", "truth.csv")
        assert (code, message in err) == (2, True), err
    assert "give a table of what is true" in command("evaluate", "out")[2]
    table = runs / "table.csv"
    for idle in (("--ignore", "3"), ("--group-by", "(.)"), ("--label", "a=1"), ("--device", "cpu")):
        code, _, err = command("evaluate", "out", table, *idle)
        assert (code, f"{idle[0]}: for " in err) == (2, True), err
    header, first, *others = (tmp_path / "out/predictions.csv").read_text().splitlines()
    spoiled = ",".join([first.split(",")[0], *["nan"] * header.count(",")])
    (tmp_path / "out/predictions.csv").write_text("\n".join([header, spoiled, *others]))
    code, _, err = command("evaluate", "out", table)
    assert (code, "is a finite number" in err) == (2, True), err
    with pytest.raises(ValueError, match=r"holds no predictions\.json"):
        evaluate_outputs(tmp_path, runs / "table.csv", console=quiet)


@pytest.mark.parametrize("kind", ["voxels", "cases"])
def test_a_model_that_says_nan_is_not_measured(
    kind: str, runs: Path, tmp_path: Path, command
) -> None:
    run = Path(shutil.copytree(runs / kind, tmp_path / "run"))
    weights = load_file(run / "model.safetensors")
    first = next(name for name in weights if name.startswith("backbone"))
    weights[first].view(-1)[0] = torch.nan
    save_file(weights, run / "model.safetensors")
    code, _, err = command("evaluate", run, "--out", "scores")
    assert (code, ".nii: the model says NaN or infinity of it" in err) == (2, True), err
    assert not (tmp_path / "scores").exists()


def test_crops_of_a_case_are_computed_a_batch_at_a_time(
    runs: Path, monkeypatch: pytest.MonkeyPatch, quiet
) -> None:
    sizes = []
    crops = FinetuneModel._crops
    monkeypatch.setattr(
        FinetuneModel,
        "_crops",
        lambda self, volume, *a, **b: sizes.append(len(volume)) or crops(self, volume, *a, **b),
    )
    evaluate_run(runs / "cases", console=quiet, windows=WindowSpec(batch=3))
    assert sizes == [3, 3, 2] * 4  # 8 tiles of each of 4 cases
