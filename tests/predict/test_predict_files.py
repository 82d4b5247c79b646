"""Which files are predicted, what is kept, and what a user may get wrong."""

from __future__ import annotations

import csv
import itertools
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tuned_runs import BRIGHT, KINDS, threshold, write_image, write_run

import ssl3d
from ssl3d.folder import RunFolder
from ssl3d.run.lock import RunLock
from ssl3d.tasks.finetune.model import FinetuneModel
from ssl3d.tasks.finetune.window_spec import WindowSpec
from ssl3d.tasks.predict.windows import windows_of


@pytest.fixture(autouse=True)
def bright(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models follow a threshold, where a test does not say otherwise."""
    monkeypatch.setattr(FinetuneModel, "predict", threshold)


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.nii.gz")}


def test_a_folder_a_glob_and_a_file(command, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for name in ("scans/a.nii.gz", "scans/deep/b.nii", "more/c1.nii.gz", "d.nii"):
        write_image(tmp_path / name)
    code, out, err = command("predict", run, "scans", "more/c*", "d.nii", "--out", "out")
    assert (code, err) == (0, "")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        [f"{name}{end}" for name in ("a", "b", "c1", "d") for end in (".nii.gz", ".labels.json")]
        + ["predictions.json"]
    )
    assert "case 4/4" in out
    assert "cases/min" in out
    assert "0:00 left" in out


def test_it_goes_on_where_it_was(command, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for name in "abc":
        write_image(tmp_path / f"scans/{name}.nii")
    assert command("predict", run, "scans/a.nii", "--out", "out")[0] == 0
    first = stamps(tmp_path / "out")
    # What was stopped before the names of its labels were written is made again.
    assert command("predict", run, "scans/b.nii", "--out", "out")[0] == 0
    (tmp_path / "out/b.labels.json").unlink()
    code, out, _ = command("predict", run, "scans", "--out", "out")
    assert code == 0
    assert "1 of 3 are there already and kept" in out
    second = stamps(tmp_path / "out")
    assert second["a.nii.gz"] == first["a.nii.gz"]
    assert len(second) == 3
    assert (tmp_path / "out/b.labels.json").is_file()
    assert command("predict", run, "scans", "--out", "out", "--again")[0] == 0
    assert not set(stamps(tmp_path / "out").values()) & set(second.values())


def test_a_process_that_was_killed_leaves_nothing_for_long(tmp_path: Path, run_python) -> None:
    write_run(tmp_path / "run")
    for name in "ab":
        write_image(tmp_path / f"s/{name}.nii")
    done = run_python(
        """
import os, signal
import ssl3d
from ssl3d.tasks.finetune import predict
whole = predict.restored_classes
def killed(*args, **more):
    if os.path.exists("out/a.labels.json"):
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(*args, **more)
predict.restored_classes = killed
ssl3d.predict("run", "s", out="out")
"""
    )
    assert done.returncode == -9, done.stderr
    before = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert before[1:] == ["a.labels.json", "a.nii.gz", "predictions.json", "run.lock"]
    assert before[0].startswith(".b.nii.gz.")
    again = run_python("import ssl3d; print(ssl3d.predict('run', 's', out='out').kept)")
    assert "('a',)" in again.stdout, again.stderr
    after = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert after == [f"{n}{end}" for n in "ab" for end in (".labels.json", ".nii.gz")] + [
        "predictions.json"
    ]


def test_predictions_of_other_models_are_not_mixed(command, tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"run{seed}", seed=seed) for seed in (0, 1)]
    for name in "ab":
        write_image(tmp_path / f"{name}.nii")
    assert command("predict", runs[0], "a.nii", "b.nii", "--out", "out")[0] == 0
    before = stamps(tmp_path / "out")
    code, _, err = command("predict", runs[1], "a.nii", "--out", "out")
    assert code == 2
    assert "out holds predictions of other models" in err
    code, _, err = command("predict", runs[0], "a.nii", "--mirror", "z", "--out", "out")
    assert "other windows" in err
    code, _, err = command("predict", runs[1], "a.nii", "--out", "out", "--again")
    assert (code, "of b, which is not asked for" in err) == (2, True)
    assert stamps(tmp_path / "out") == before
    assert command("predict", runs[1], "a.nii", "b.nii", "--out", "out", "--again")[0] == 0


@pytest.mark.parametrize("task", [BRIGHT, KINDS])
def test_predictions_are_not_mixed_where_they_were_being_removed(
    command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet, task
) -> None:
    """A process that makes them again by other models is killed between any two of its steps."""
    runs = [write_run(tmp_path / f"run{seed}", task=task, seed=seed) for seed in (0, 1)]
    for name in "abc":
        write_image(tmp_path / f"s/{name}.nii")
    name = "unlink" if task is BRIGHT else "replace"
    owner = Path if task is BRIGHT else os
    whole, steps = getattr(owner, name), itertools.count()

    def killed(*args, **more):
        if next(steps) == stop:
            raise KeyboardInterrupt
        return whole(*args, **more)

    def made(out: str) -> set[object]:
        """What each of its results is: who made it last, or what was said."""
        table = tmp_path / out / "predictions.csv"
        return set(stamps(tmp_path / out).values() if task is BRIGHT else table.read_text().split())

    for stop in range(5):
        out = f"out{stop}"
        assert command("predict", runs[0], "s", "--out", out)[0] == 0
        before = made(out) - {"case,dark,bright"}
        steps = itertools.count()
        with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
            patched.setattr(owner, name, killed)
            ssl3d.predict(runs[1], "s", out=out, again=True, console=quiet)
        code, _, err = command("predict", runs[1], "s", "--out", out)
        assert "holds predictions of other models" in err if code else not made(out) & before


@pytest.mark.parametrize("task", [BRIGHT, KINDS])
def test_names_that_are_not_utf_8(command, tmp_path: Path, task) -> None:
    run = write_run(tmp_path / "run", task=task)
    image = write_image(tmp_path / "s/größe_日本.nii")
    shutil.copy(image, os.fsencode(tmp_path / "s") + b"/f\xfcr.nii")
    for out in ("out", os.fsdecode(b"\xfc")):
        code, _, err = command("predict", run, "s", "--out", out)
        assert (code, err) == (0, "")
        if task is BRIGHT:
            names = {path.name for path in (tmp_path / out).glob("*.nii.gz")}
            assert names == {"f\\xfcr.nii.gz", "größe_日本.nii.gz"}
        else:
            lines = (tmp_path / out / "predictions.csv").read_text(encoding="utf-8").splitlines()
            assert {line.split(",")[0] for line in lines[1:]} == {"f\\xfcr", "größe_日本"}
        code, said, _ = command("predict", run, "s", "--out", out)
        assert (code, "2 of 2 are there already and kept" in said) == (0, True)


def test_what_cannot_be_read_is_named_and_the_others_are_predicted(command, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    write_image(tmp_path / "scans/good.nii")
    (tmp_path / "scans/bad.nii.gz").write_bytes(b"no gzip")
    code, out, _ = command("predict", run, "scans", "--out", "out")
    assert code == 1
    assert out.count("Could not be used: ") == 1
    assert "scans/bad.nii.gz: " in out
    assert "1 of 2 cases are predicted in out" in out
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["good.labels.json", "good.nii.gz", "predictions.json"]


@pytest.mark.parametrize("task", [BRIGHT, KINDS])
def test_a_model_that_says_nan_predicts_nothing(
    command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task
) -> None:
    monkeypatch.undo()
    run = write_run(tmp_path / "run", task=task)
    weights = load_file(run / "model.safetensors")
    first = next(name for name in weights if name.startswith("backbone"))
    weights[first].view(-1)[0] = np.nan
    save_file(weights, run / "model.safetensors")
    write_image(tmp_path / "s/a.nii")
    monkeypatch.chdir(tmp_path)
    code, out, _ = command("predict", run, "s", "--out", "out")
    assert (code, "a.nii: the model says NaN or infinity of it: its weights" in out) == (1, True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.json"]


def test_files_of_one_name_keep_their_folders(tmp_path: Path, quiet) -> None:
    run = write_run(tmp_path / "run")
    inputs = [write_image(tmp_path / f"s/{case}/image.nii", seed=case) for case in range(3)]
    ssl3d.predict(run, inputs[0], out=tmp_path / "out", console=quiet)
    done = ssl3d.predict(run, inputs, out=tmp_path / "out", console=quiet)
    assert sorted(done.files) == ["1/image", "2/image", "image"]
    assert done.kept == ("image",)
    assert (tmp_path / "out/2/image.labels.json").is_file()
    cases = json.loads((tmp_path / "out/predictions.json").read_text())["cases"]
    assert cases["2/image"] == [str(inputs[2])]


def test_results_are_no_inputs(tmp_path: Path, quiet) -> None:
    run = write_run(tmp_path / "run")
    write_image(tmp_path / "s/a.nii")
    ssl3d.predict(run, tmp_path / "s", out=tmp_path / "s/out", console=quiet)
    with pytest.warns(UserWarning, match="1 of 2 inputs lie in"):
        done = ssl3d.predict(run, tmp_path / "s", out=tmp_path / "s/out", console=quiet)
    assert list(done.files) == ["a"]


def test_several_channels(command, tmp_path: Path) -> None:
    images = {"t1": "-/*_1.nii", "t2": "-/*_2.nii"}
    run = write_run(tmp_path / "run", images=images)
    for case in "ab":
        for channel in (1, 2):
            write_image(tmp_path / f"s/{case}_{channel}.nii", seed=channel)
    pairs = ("t2=s/*_2.nii", "t1=s/*_1.nii")
    assert command("predict", run, *pairs, "--out", "out")[0] == 0
    assert sorted(stamps(tmp_path / "out")) == ["a_1.nii.gz", "b_1.nii.gz"]
    files = ("t1=s/a_1.nii", "t2=s/a_2.nii")
    assert "1 of 1 are there" in command("predict", run, *files, "--out", "out")[1]
    for inputs, message in {
        ("s/a_1.nii",): "2 channels (t1, t2): give t1=FILE",
        ("t1=s/a_1.nii",): "none for t2",
        ("t1=s/*_1.nii", "t2=s/a_2.nii"): "patterns and lists are mixed",
    }.items():
        code, _, err = command("predict", run, *inputs, "--out", "out")
        assert code == 2
        assert message in err


def test_probabilities_of_cases_are_a_table(
    command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    runs = [write_run(tmp_path / f"folds/fold-{i}", task=KINDS, seed=i) for i in range(2)]
    for name in "abc":
        write_image(tmp_path / f"{name}.nii", seed=ord(name))
    for run in runs:
        code, *_ = command("predict", run, "a.nii", "b.nii", "--out", f"out/{run.name}")
        assert code == 0
    assert command("predict", "folds", "a.nii", "--out", "out/both")[0] == 0
    assert command("predict", "folds", "a.nii", "b.nii", "--out", "out/both")[0] == 0
    found = {}
    for name in ("fold-0", "fold-1", "both"):
        with open(tmp_path / "out" / name / "predictions.csv", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0]) == ["case", "dark", "bright"]
        assert [row["case"] for row in rows] == ["a", "b"]
        found[name] = np.array([[float(row["dark"]), float(row["bright"])] for row in rows])
        assert np.allclose(found[name].sum(1), 1, atol=1e-6)
    assert np.allclose(found["both"], (found["fold-0"] + found["fold-1"]) / 2, atol=1e-6)
    assert not np.allclose(found["fold-0"], found["fold-1"])


def test_mirrored_windows_are_averaged(tmp_path: Path, monkeypatch, command) -> None:
    run, image = write_run(tmp_path / "run"), write_image(tmp_path / "a.nii")
    seen: list[torch.Tensor] = []

    def watched(self, volume, **_):
        seen.append(volume)
        return threshold(self, volume)

    monkeypatch.setattr(FinetuneModel, "predict", watched)
    options = ("--mirror", "z,y", "--overlap", "0", "--precision", "bf16", "--batch", "64")
    assert command("predict", run, image, *options, "--out", "out")[0] == 0
    assert len(seen) % 4 == 0
    assert torch.equal(seen[1], seen[0].flip(-3))
    assert torch.equal(seen[3], seen[0].flip((-3, -2)))
    labels = np.asarray(nibabel.load(tmp_path / "out/a.nii.gz").dataobj)
    assert np.array_equal(labels == 7, np.asarray(nibabel.load(image).dataobj) >= 50)


@pytest.mark.parametrize("again", [(), ("--again",)])
def test_what_nobody_predicted_is_not_written_over(command, tmp_path: Path, again) -> None:
    """A folder of true labels, and a table of another program."""
    image = write_image(tmp_path / "scans/a.nii")
    run, cases = write_run(tmp_path / "run"), write_run(tmp_path / "cases", task=KINDS)
    label = write_image(tmp_path / "labels/a.nii.gz", seed=1)
    before = label.read_bytes()
    (tmp_path / "table").mkdir()
    (tmp_path / "table/predictions.csv").write_text("case,dark,bright\na,1,0\n")
    for folder, one in (("labels", run), ("table", cases)):
        code, _, err = command("predict", one, image, "--out", folder, *again)
        assert (code, "no predictions.json beside it says" in err) == (2, True), err
        assert len(list((tmp_path / folder).iterdir())) == 1
    assert label.read_bytes() == before


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("out/predictions.json", '{"format": 1}', "is not whole, it lacks backbone, cases, models"),
        ("out/predictions.json", "{", "is not readable as JSON"),
        ("out/predictions.json", '{"format": 9}', "is not of format 1"),
        ("run/model.json", '{"format": 1, "task": {}}', "is not whole, it lacks backbone"),
        ("run/model.json", "{", "is not readable as JSON"),
        ("run/model.safetensors", "{", "cannot be read as weights"),
    ],
)
def test_a_damaged_file_is_one_message(command, tmp_path: Path, file, content, message) -> None:
    run, image = write_run(tmp_path / "run"), write_image(tmp_path / "a.nii")
    (tmp_path / "out").mkdir()
    (tmp_path / file).write_text(content)
    code, _, err = command("predict", run, image, "--out", "out")
    assert (code, message in err) == (2, True), err
    assert not list((tmp_path / "out").glob("*.nii.gz"))


def test_windows_are_the_runs_own_where_nothing_else_is_asked(command, tmp_path: Path) -> None:
    own = {"overlap": 0.25, "mirror": (0,), "precision": "bf16", "batch": 3}
    run, image = write_run(tmp_path / "run", windows=own), write_image(tmp_path / "a.nii")
    tuned = ssl3d.load_model(run)
    assert tuned.windows == WindowSpec(**own)
    assert not tuned.model.training

    def used(*options: str) -> dict:
        code, _, err = command("predict", run, image, *options, "--again", "--out", "out")
        assert code == 0, err
        return json.loads((tmp_path / "out/predictions.json").read_text())["windows"]

    assert used() == {"overlap": 0.25, "mirror": [0], "precision": "bf16"}
    assert used("--overlap", "0.5") == {"overlap": 0.5, "mirror": [0], "precision": "bf16"}
    assert used("--mirror", "none", "--precision", "32")["mirror"] == []


def test_models_of_before_windows_were_written_have_the_defaults(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", windows={"overlap": 0.25})
    content = json.loads((run / "model.json").read_text())
    del content["windows"]
    (run / "model.json").write_text(json.dumps(content))
    assert ssl3d.load_model(run).windows == WindowSpec()


def test_runs_that_differ_in_windows_are_asked_about(command, tmp_path: Path) -> None:
    spans = {"a": {"overlap": 0.25, "batch": 4}, "b": {"overlap": 0.5, "batch": 2}}
    runs = [write_run(tmp_path / name, windows=own) for name, own in spans.items()]
    image = write_image(tmp_path / "a.nii")
    code, _, err = command("predict", *runs, image, "--out", "out")
    assert (code, "differ in windows.overlap, 0.25 and 0.5: say which by --overlap" in err) == (
        2,
        True,
    )
    assert not (tmp_path / "out").exists()
    assert command("predict", *runs, image, "--overlap", "0.5", "--out", "out")[0] == 0
    both = [WindowSpec(**own) for own in spans.values()]
    assert windows_of(both, asked=WindowSpec(overlap=0), outputs=()).batch == 2


def test_what_models_are_is_said(command, tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"folds/fold-{i}", seed=i) for i in range(2)]
    image = write_image(tmp_path / "a.nii")
    description = json.loads((runs[1] / "model.json").read_text())
    description["trained"]["finished"] = False
    (runs[1] / "model.json").write_text(json.dumps(description))
    code, out, _ = command("predict", "folds", image, "--out", "out")
    assert code == 0
    assert "The mean of 2 models: folds/fold-0, folds/fold-1" in out
    assert "folds/fold-1 was stopped after step 1 and has not ended" in out
    (tmp_path / "folds/fold-2").mkdir()
    (tmp_path / "folds/fold-2/spec.json").write_text("{}")
    code, _, err = command("predict", "folds", image, "--out", "out")
    assert (code, "fold-2 has no fine-tuned model yet" in err) == (2, True), err
    assert command("predict", *runs, image, "--out", "out")[0] == 0


def test_left_and_right_are_not_mirrored_into_each_other(command, tmp_path: Path) -> None:
    task = {"name": "segmentation", "labels": {"left lung": 1, "right lung": 2}}
    run, image = write_run(tmp_path / "run", task=task), write_image(tmp_path / "a.nii")
    code, _, err = command("predict", run, image, "--mirror", "zyx", "--out", "out")
    assert (code, "'left lung' and 'right lung' change places" in err) == (2, True)


def test_one_process_predicts_into_a_folder(command, tmp_path: Path) -> None:
    run, image = write_run(tmp_path / "run"), write_image(tmp_path / "a.nii")
    with RunLock(RunFolder(tmp_path / "out")):
        code, _, err = command("predict", run, image, "--out", "out")
    assert (code, "is in use by another" in err) == (2, True)
    assert err.count("Error: ") == 1
    assert not list((tmp_path / "out").iterdir())
    assert command("predict", run, image, "--out", "out")[0] == 0
    assert not (tmp_path / "out/run.lock").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none", "a.nii"), "none is no fine-tuning run"),
        (("a.nii",), "a.nii is no fine-tuning run"),
        (("run",), "nothing to predict"),
        (("run", "begun", "a.nii"), "begun holds a run, but no fine-tuned model"),
        (("run", "missing.nii"), "there is no file 'missing.nii'"),
        (("run", "notes.txt"), "is no volume"),
        (("run", "empty"), "holds 0 files"),
        (("run", "other", "a.nii"), "differ in task"),
        (("run", "a.nii", "--mirror", "q"), "axes z, y and x"),
        (("run", "a.nii", "--mirror", "zz"), "name each axis once"),
        (("run", "a.nii", "--precision", "8"), "precision"),
        (("run", "a.nii", "--overlap", "1"), "overlap"),
        (("run", "a.nii", "--device", "gpu"), "device: given 'gpu'"),
        (("run", "a.nii", "--device", "cuda:99"), "device: given 'cuda:99'"),
    ],
)
def test_wrong_use_is_one_message(command, tmp_path: Path, arguments, message: str) -> None:
    write_run(tmp_path / "run")
    write_run(tmp_path / "other", task={"name": "segmentation", "labels": {"else": 1}})
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun/spec.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    write_image(tmp_path / "a.nii")
    code, _, err = command("predict", *arguments, "--out", "out")
    assert code == 2
    assert message in err
    assert err.count("Error: ") == 1
    assert not (tmp_path / "out").exists()
