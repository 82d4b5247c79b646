"""What a run leaves, and what it refuses."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from rich.console import Console
from run_folders import assert_same_weights, checkpoint, on_a_cpu, rows_without_time, weights
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

import ssl3d
from ssl3d import ExperimentSpec
from ssl3d.data import RunVolumes
from ssl3d.kinds.batch import Batch
from ssl3d.run.run_error import RunError
from ssl3d.tasks.pretrain.module import PretrainModule

MakeSpec = Callable[..., ExperimentSpec]


def tensorboard_images(out: Path) -> list[str]:
    """Names of the images that TensorBoard shows."""
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    names: list[str] = events.Tags()["images"]
    return names


def test_folder_of_a_run(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(trainer={"loggers": ("tensorboard",), "keep_checkpoints": 1, "pictures": 1})
    result = ssl3d.pretrain(spec, out=tmp_path / "a")
    out = tmp_path / "a"
    for name in ("spec.yaml", "spec.json"):
        assert ExperimentSpec.load(out / name) == on_a_cpu(spec)
    (facts,) = json.loads((out / "environment.json").read_text())
    assert facts["plugins"]["backbone/waveformer"] == f"ssl3d {ssl3d.__version__}"
    assert facts["libraries"]["torch"] == torch.__version__
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["step-000000006.ckpt"]
    assert tensorboard_images(out) == ["losses", result.pictures[1].stem]
    curves, restored = result.pictures
    assert curves.name == "losses.png"
    assert re.fullmatch(r"restored-01-case\d\.png", restored.name)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in result.pictures)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["held_out_loss"] == result.held_out_loss == summary["held_out"]["mse"]
    assert summary["trivial_loss"] == result.trivial_loss == pytest.approx(1, abs=0.05)
    assert result.finished
    assert result.step == 6
    assert (summary["ended"], summary["best_checkpoint"]) == ("finished", None)
    rows = rows_without_time(out)
    assert [row["step"] for row in rows] == [0, 2, 3, 4, 6]
    assert {name.split("/")[0] for name in rows[0]} == {"step", "held_out"}
    assert {name.split("/")[0] for name in rows[2]} == {"step", "held_out"}
    assert [row["volumes"] for row in rows if "volumes" in row] == [4, 8, 12]


@pytest.mark.parametrize("views", ["single", "nested"])
def test_the_visible_share_is_that_of_the_masks(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, views: str
) -> None:
    forward, seen = PretrainModule.forward, []

    def watched(self: PretrainModule, batch: Batch) -> dict[str, Tensor]:
        seen.append(torch.cat([one.cells.visible.flatten() for one in batch.views]).float().mean())
        return forward(self, batch)

    monkeypatch.setattr(PretrainModule, "forward", watched)
    spec = make_spec(views=views, masker="mim", trainer={"steps": 2, "log_every": 1})
    ssl3d.pretrain(spec, out=tmp_path / "a")
    logged = [row["train/visible_share"] for row in rows_without_time(tmp_path / "a")[1:]]
    assert logged == pytest.approx([float(one) for one in seen])
    assert 0 < logged[0] < 1


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_signal_while_data_are_read_leaves_as_saved(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def signalled(self: RunVolumes) -> None:  # noqa: ARG001
        signal.raise_signal(getattr(signal, name))

    with monkeypatch.context() as patch:
        patch.setattr(RunVolumes, "find", signalled)
        with pytest.raises(SystemExit) as ended:
            ssl3d.pretrain(make_spec(), out=tmp_path)
    assert ended.value.code == 85
    assert ssl3d.pretrain(make_spec(), out=tmp_path).finished


def test_hours_count_the_reading_of_data(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(self: RunVolumes) -> None:
        time.sleep(1)
        find(self)

    find = RunVolumes.find
    monkeypatch.setattr(RunVolumes, "find", slow)
    result = ssl3d.pretrain(make_spec(trainer={"max_hours": 1 / 3600, "steps": 2}), out=tmp_path)
    assert (result.ended, result.step) == ("hours", 1)


def test_an_early_end_and_the_best_checkpoint_are_said(make_spec: MakeSpec, tmp_path: Path) -> None:
    best = {"number": "held_out/mse", "patience": 1}
    spec = make_spec(
        optimizer={"lr": 1e-30, "weight_decay": 0.0}, trainer={"validate_every": 2, "best": best}
    )
    console = Console(record=True, width=300)
    result = ssl3d.pretrain(spec, out=tmp_path, console=console)
    assert (result.ended, result.step, result.finished) == ("early", 2, True)
    kept = "checkpoints/step-000000002.ckpt"
    assert result.best_checkpoint == tmp_path / kept
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["ended"], summary["best_checkpoint"]) == ("early", kept)
    said = console.export_text()
    assert "Ended early, after step 2" in said
    assert f"Best checkpoint: {tmp_path / kept}" in said


@pytest.mark.parametrize("rank", [True, False])
def test_a_model_that_diverges_is_said_and_saved(
    make_spec: MakeSpec, tmp_path: Path, rank: bool
) -> None:
    wild = {"name": "sgd", "lr": 1e30, "warmup": 0, "clip": None}
    options = {"steps": 2, "validate_every": 1, "pictures": 1}
    spec = make_spec(optimizer=wild, trainer=options, quality={"rank": rank})
    console = Console(record=True, width=300)
    result = ssl3d.pretrain(spec, out=tmp_path, console=console)
    assert result.finished
    assert math.isnan(result.held_out["mse"])
    assert checkpoint(tmp_path, step=2)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["held_out_loss"] is summary["held_out"]["mse"] is None
    assert summary["trivial_loss"] == result.trivial_loss
    said = re.findall(r"Step 1: (.*): not finite, so the model", console.export_text())
    names = ["held_out/loss", *(["held_out/rank/stage0", "held_out/rank/stage1"] if rank else [])]
    assert said == [", ".join(names)]


def test_checkpoint_and_encoder(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(trainer={"steps": 2})
    ssl3d.pretrain(spec, out=tmp_path / "a")
    facts = checkpoint(tmp_path / "a", step=2)["ssl3d"]
    assert ExperimentSpec.from_json(facts["spec"]) == on_a_cpu(spec)
    assert facts["plugins"]["masker/random"] == f"ssl3d {ssl3d.__version__}"
    assert facts["step"] == 2
    assert facts["samples"] == 4
    encoder = ssl3d.load_encoder(tmp_path / "a")
    saved = weights(tmp_path / "a", step=2)
    own = {f"model.backbone.{name}": value for name, value in encoder.state_dict().items()}
    assert_same_weights(own, {k: v for k, v in saved.items() if k.startswith("model.backbone.")})


def test_files_of_a_run_are_the_users(make_spec: MakeSpec, tmp_path: Path) -> None:
    """Others of the group may read them where the user's umask says so."""
    spec = make_spec(trainer={"steps": 1, "pictures": 1, "loggers": ("tensorboard",)})
    before = os.umask(0o002)
    try:
        ssl3d.pretrain(spec, out=tmp_path / "a")
    finally:
        os.umask(before)
    files = [path for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(files) > 8
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in files} == {
        path.name: "0o664" for path in files
    }


def test_learning_changes_the_weights(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(trainer={"steps": 1})
    ssl3d.pretrain(spec, out=tmp_path / "a")
    before = spec.build().state_dict()
    after = weights(tmp_path / "a", step=1)
    assert all(
        not torch.equal(after[f"model.{name}"], value)
        for name, value in before.items()
        if name.startswith("backbone") and value.is_floating_point()
    )


def test_out_with_another_run_is_refused(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(trainer={"steps": 1})
    ssl3d.pretrain(spec, out=tmp_path / "a")
    before = {path: path.read_bytes() for path in (tmp_path / "a").rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=r"holds another run.*--resume.*another folder"):
        ssl3d.pretrain(spec, out=tmp_path / "a")
    assert before == {
        path: path.read_bytes() for path in (tmp_path / "a").rglob("*") if path.is_file()
    }


def test_folder_with_a_log_file_is_no_run(make_spec: MakeSpec, tmp_path: Path) -> None:
    (tmp_path / "job.log").write_text("started")
    assert ssl3d.pretrain(make_spec(trainer={"steps": 1}), out=tmp_path).finished


def test_resume_needs_a_run(make_spec: MakeSpec, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run to resume"):
        ssl3d.pretrain(make_spec(), out=tmp_path / "none", resume=True)
    assert not (tmp_path / "none").exists()


def test_resume_with_another_spec_names_what_differs(make_spec: MakeSpec, tmp_path: Path) -> None:
    ssl3d.pretrain(make_spec(trainer={"steps": 1}), out=tmp_path / "a")
    other = make_spec(optimizer={"lr": 0.5}, masker={"name": "random", "ratio": 0.5})
    with pytest.raises(RunError, match=r"another spec") as caught:
        ssl3d.pretrain(other, out=tmp_path / "a", resume=True)
    assert "masker.ratio: was 0.6, is 0.5" in str(caught.value)
    assert "optimizer.lr:" not in str(caught.value)
    assert "trainer.steps:" not in str(caught.value)


def test_resume_on_another_backend_for_more_steps(make_spec: MakeSpec, tmp_path: Path) -> None:
    ssl3d.pretrain(make_spec(trainer={"steps": 2}), out=tmp_path / "a")
    longer = make_spec(trainer={"steps": 4}, sparse_backend="dense")
    result = ssl3d.pretrain(longer, out=tmp_path / "a", resume=True)
    assert result.step == 4
    assert ExperimentSpec.load(tmp_path / "a" / "spec.yaml") == on_a_cpu(longer)
    steps = [row["step"] for row in rows_without_time(tmp_path / "a")]
    assert steps == sorted(set(steps))


def test_resume_of_a_finished_run_draws_it_again(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(trainer={"steps": 2})
    first = ssl3d.pretrain(spec, out=tmp_path / "a")
    again = ssl3d.pretrain(spec, out=tmp_path / "a", resume=True)
    assert again == first


def test_no_data_leaves_no_run(make_spec: MakeSpec, tmp_path: Path) -> None:
    """After a wrong path is put right, the same folder can be used."""
    wrong = make_spec(data={"volumes": str(tmp_path / "nowhere")})
    with pytest.raises(ValueError, match="nowhere"):
        ssl3d.pretrain(wrong, out=tmp_path / "a")
    assert ssl3d.pretrain(make_spec(trainer={"steps": 1}), out=tmp_path / "a").finished


def test_without_held_out_volumes(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(data={"holdout": 0.0}, trainer={"steps": 2, "pictures": 1})
    result = ssl3d.pretrain(spec, out=tmp_path / "a")
    assert result.held_out_loss is None
    assert [path.name for path in result.pictures] == ["losses.png"]


def test_bad_files_are_reported(make_spec: MakeSpec, volumes: Path, tmp_path: Path) -> None:
    files = sorted(str(path) for path in volumes.glob("*.nii.gz"))
    (tmp_path / "broken.nii.gz").write_bytes(b"no volume")
    flat = nibabel.Nifti1Image(np.zeros((16, 16, 16), np.float32), np.eye(4))
    flat.to_filename(tmp_path / "flat.nii.gz")
    bad = [str(tmp_path / "broken.nii.gz"), str(tmp_path / "flat.nii.gz")]
    spec = make_spec(data={"volumes": files + bad, "holdout": 0.0})
    console = Console(record=True, width=200)
    result = ssl3d.pretrain(spec, out=tmp_path / "a", console=console)
    assert sorted(map(os.path.basename, result.bad_files)) == ["broken.nii.gz", "flat.nii.gz"]
    assert "broken.nii.gz" in console.export_text()
    listed = json.loads((tmp_path / "a" / "summary.json").read_text())["bad_files"]
    assert listed == dict(result.bad_files)


def test_names_that_are_not_utf8_and_what_is_said_of_files(
    make_spec: MakeSpec, volumes: Path, tmp_path: Path
) -> None:
    """Unpacked from another system, with a link that leads nowhere and a file that is no volume."""
    folder = tmp_path / "set"
    shutil.copytree(volumes, folder)
    os.rename(folder / "case0.nii.gz", os.fsencode(folder) + b"/M\xfcller.nii.gz")
    Path(os.fsdecode(os.fsencode(folder) + b"/G\xf6del.nii.gz")).write_bytes(b"no volume")
    (folder / "gone.nii.gz").symlink_to(tmp_path / "nowhere")
    spec = make_spec(
        data={"volumes": str(folder), "exclude": ["case4*"], "holdout": 0.6},
        trainer={"steps": 2, "pictures": 4, "loggers": ("tensorboard",)},
    )
    printed = Console(record=True, width=200)
    result = ssl3d.pretrain(spec, out=tmp_path / "a", console=printed)
    said = (
        f"data: {folder}/gone.nii.gz is a link that leads nowhere",
        "data.exclude: 'case4*' leaves out 1 of 6 samples",
    )
    assert sorted(result.warnings[:2]) == sorted(said)
    assert list(result.bad_files) == [f"{folder}/G\\xf6del.nii.gz"]
    text = printed.export_text()
    assert all(line in text for line in (*said, "G\\xf6del.nii.gz"))
    assert result.finished


def test_end_of_run_is_printed(make_spec: MakeSpec, tmp_path: Path) -> None:
    console = Console(record=True, width=200)
    result = ssl3d.pretrain(make_spec(trainer={"steps": 2}), out=tmp_path / "a", console=console)
    text = console.export_text()
    assert f"{result.held_out_loss:.4f}" in text
    assert f"{result.trivial_loss:.4f}" in text
    assert all(str(path) in text for path in result.pictures)
    assert "volumes/s" in text


def poison_weights(module: PretrainModule, batch: Batch) -> None:  # noqa: ARG001
    module.model.decoder.head.bias.data.fill_(math.nan)


def poison_volume(module: PretrainModule, batch: Batch) -> None:  # noqa: ARG001
    # No patch of it can be scored: the loss alone looks well.
    batch.views[0].volume.fill_(math.inf)


@pytest.mark.parametrize(
    ("poison", "at", "message"),
    [(poison_weights, 2, "a loss is not finite"), (poison_volume, 5, "the gradient is not finite")],
)
def test_not_finite_stops_and_keeps_the_last_checkpoint(
    make_spec: MakeSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    poison: Callable[..., None],
    at: int,
    message: str,
) -> None:
    step, calls = PretrainModule.forward, itertools.count(1)

    def poisoned(self: PretrainModule, batch: Batch) -> dict[str, Tensor]:
        if next(calls) == at:
            poison(self, batch)
        return step(self, batch)

    monkeypatch.setattr(PretrainModule, "forward", poisoned)
    with pytest.raises(RunError, match=rf"step {at}: {message}(.|\n)*case\d.nii.gz"):
        ssl3d.pretrain(make_spec(trainer={"max_skipped_streak": 1}), out=tmp_path / "a")
    saved = [path.name for path in (tmp_path / "a").glob("checkpoints/*")]
    assert saved == (["step-000000003.ckpt"] if at == 5 else [])


def test_interrupt_saves_and_resumes_to_the_same_weights(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(trainer={"accumulate": 2}, data={"workers": 1})
    ssl3d.pretrain(spec, out=tmp_path / "whole")
    step, calls = PretrainModule.forward, itertools.count(1)

    def interrupted(self: PretrainModule, batch: Batch) -> dict[str, Tensor]:
        if next(calls) == 3:  # the first of two micro-batches of the second step
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batch)

    before = signal.getsignal(signal.SIGINT)
    console = Console(record=True, width=200)
    with monkeypatch.context() as patch:
        patch.setattr(PretrainModule, "forward", interrupted)
        result = ssl3d.pretrain(spec, out=tmp_path / "parts", console=console)
    assert signal.getsignal(signal.SIGINT) is before
    assert not result.finished
    assert (result.step, result.exit_code) == (2, 130)
    assert "--resume" in console.export_text()
    assert ssl3d.load_encoder(tmp_path / "parts") is not None
    assert ssl3d.pretrain(spec, out=tmp_path / "parts", resume=True).finished
    assert rows_without_time(tmp_path / "whole") == rows_without_time(tmp_path / "parts")
    assert_same_weights(weights(tmp_path / "whole", step=6), weights(tmp_path / "parts", step=6))


@pytest.mark.parametrize("logger", ["wandb", "mlflow"])
def test_missing_logger_says_what_to_install(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logger: str
) -> None:
    there = f"lightning.pytorch.loggers.{logger}._{logger.upper()}_AVAILABLE"
    monkeypatch.setattr(there, False)
    spec = make_spec(trainer={"loggers": (logger,)})
    with pytest.raises(RunError, match=rf"pip install {logger}"):
        ssl3d.pretrain(spec, out=tmp_path / "a")
    assert not (tmp_path / "a" / "spec.json").exists()


def test_half_precision_needs_a_gpu(make_spec: MakeSpec, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"trainer.precision: 16 needs a GPU"):
        ssl3d.pretrain(make_spec(trainer={"precision": "16"}), out=tmp_path / "a")


def test_brain_float(make_spec: MakeSpec, tmp_path: Path) -> None:
    result = ssl3d.pretrain(
        make_spec(trainer={"precision": "bf16", "steps": 2}), out=tmp_path / "a"
    )
    assert result.held_out_loss == pytest.approx(1, abs=0.3)
    saved = weights(tmp_path / "a", step=2)
    assert {v.dtype for v in saved.values() if v.is_floating_point()} == {torch.float32}


def test_pretrain_is_callable_whatever_was_imported(run_python: Callable) -> None:
    """The function has the name of a package of the core."""
    done = run_python("import ssl3d, ssl3d.masked.model; print(callable(ssl3d.pretrain))")
    assert done.stdout.strip() == "True", done.stderr
