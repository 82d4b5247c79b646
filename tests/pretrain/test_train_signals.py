"""Average, warm start, probe and collapse, in whole runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from rich.console import Console
from run_folders import assert_same_weights, checkpoint, rows_without_time, weights

import ssl3d
from ssl3d import ExperimentSpec
from ssl3d.tasks.encoder import warm_start
from ssl3d.tasks.pretrain.init_remarks import init_remarks
from ssl3d.tasks.pretrain.result import RunResult

MakeSpec = Callable[..., ExperimentSpec]


def encoder_weights(out: Path, *, step: int) -> dict[str, torch.Tensor]:
    """The trained encoder's tensors in a checkpoint."""
    prefix = "model.backbone."
    found = weights(out, step=step)
    return {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}


def test_average_is_what_is_exported(make_spec: MakeSpec, tmp_path: Path) -> None:
    options = {"steps": 3, "checkpoint_every": 1, "validate_every": 3, "keep_checkpoints": 9}
    spec = make_spec(optimizer={"ema": 0.8}, trainer=options)
    ssl3d.pretrain(spec, out=tmp_path / "a")
    average = encoder_weights(tmp_path / "a", step=1)
    for step in (2, 3):
        new = encoder_weights(tmp_path / "a", step=step)
        average = {name: 0.8 * average[name] + 0.2 * new[name] for name in new}
    exported = ssl3d.load_encoder(tmp_path / "a").state_dict()
    for name, value in exported.items():
        torch.testing.assert_close(value, average[name], msg=name)
    assert not torch.equal(
        torch.cat([v.flatten() for v in exported.values()]),
        torch.cat([v.flatten() for v in new.values()]),
    )


def test_average_resumes_bitwise(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(optimizer={"ema": 0.8})
    ssl3d.pretrain(spec, out=tmp_path / "whole")
    ssl3d.pretrain(spec, out=tmp_path / "parts")
    (tmp_path / "parts/checkpoints/step-000000006.ckpt").unlink()
    ssl3d.pretrain(spec, out=tmp_path / "parts", resume=True)
    exported = [ssl3d.load_encoder(tmp_path / name).state_dict() for name in ("whole", "parts")]
    assert_same_weights(*exported)


def test_training_is_the_same_with_and_without_average(make_spec: MakeSpec, tmp_path: Path) -> None:
    for name, optimizer in (("plain", {}), ("average", {"ema": 0.9})):
        spec = make_spec(optimizer=optimizer, trainer={"steps": 2})
        ssl3d.pretrain(spec, out=tmp_path / name)
    assert_same_weights(
        encoder_weights(tmp_path / "plain", step=2), encoder_weights(tmp_path / "average", step=2)
    )


@pytest.mark.parametrize("what", ["", "encoder.safetensors", "checkpoints/step-000000002.ckpt"])
def test_warm_start(make_spec: MakeSpec, tmp_path: Path, what: str) -> None:
    """A run that starts from another and learns nothing keeps the other's encoder."""
    ssl3d.pretrain(make_spec(trainer={"steps": 2}), out=tmp_path / "first")
    spec = make_spec(
        init=str(tmp_path / "first" / what),
        optimizer={"lr": 1e-30, "weight_decay": 0.0},
        trainer={"steps": 1},
        seed=5,
    )
    console = Console(record=True, width=200)
    ssl3d.pretrain(spec, out=tmp_path / "second", console=console)
    assert "tensors loaded" in console.export_text()
    first = encoder_weights(tmp_path / "first", step=2)
    assert_same_weights(encoder_weights(tmp_path / "second", step=1), first)


@pytest.mark.parametrize("what", ["", "encoder.safetensors", "checkpoints/step-000000002.ckpt"])
def test_warm_start_from_an_average(make_spec: MakeSpec, tmp_path: Path, what: str) -> None:
    """The encoder of a run is the average wherever it is taken from."""
    spec = make_spec(optimizer={"ema": 0.9}, trainer={"steps": 2})
    ssl3d.pretrain(spec, out=tmp_path / "run")
    backbone = spec.build().backbone
    said = str(warm_start(backbone, path=tmp_path / "run" / what))
    assert "the moving average of its weights: " in said
    assert_same_weights(backbone.state_dict(), ssl3d.load_encoder(tmp_path / "run").state_dict())


def test_warm_start_from_an_encoder_that_is_behind(make_spec: MakeSpec, tmp_path: Path) -> None:
    """As where a run was killed before it wrote the encoder of its last checkpoint."""
    run, few = tmp_path / "run", {"steps": 2, "checkpoint_every": 1}
    ssl3d.pretrain(make_spec(trainer=few), out=run)
    description = run / "encoder.json"
    description.write_text(description.read_text().replace('"steps": 2', '"steps": 1'))
    (said,) = init_remarks(make_spec(init=str(run)))
    assert "This is the encoder of step 1; the run has a checkpoint of step 2" in said
    assert not list(init_remarks(make_spec(init=str(run / "checkpoints/step-000000002.ckpt"))))


@pytest.mark.parametrize("what", ["", "encoder.safetensors", "checkpoints/step-000000001.ckpt"])
def test_warm_start_says_what_was_otherwise(make_spec: MakeSpec, tmp_path: Path, what: str) -> None:
    """Weights fit volumes that look otherwise, and networks whose options change no shape."""
    first = make_spec(trainer={"steps": 1})
    ssl3d.pretrain(first, out=tmp_path / "first")
    same = make_spec(init=str(tmp_path / "first" / what), trainer={"steps": 1})
    assert list(init_remarks(same)) == []
    other = same.with_values(
        {"data.spacing": 2.0, "data.normalise": "zscore", "backbone.heads": (1, 1)}
    )
    console = Console(record=True, width=300)
    ssl3d.pretrain(other, out=tmp_path / "second", console=console)
    said = console.export_text()
    for words in ("data.spacing is [2.0, 2.0, 2.0], and was null", "data.normalise is", "heads is"):
        assert f"init: {words}" in said or f"init: backbone.{words}" in said, said
    path = tmp_path / "first/encoder.json"
    about = json.loads(path.read_text())
    about["input"]["channels"] = ["t2", "t1"]
    path.write_text(json.dumps(about))
    channels = {"t1": "a*", "t2": "b*"}
    swapped = same.with_values({"data.volumes": None, "data.channels": channels})
    with pytest.raises(ssl3d.RunError, match="saw the channels t2, t1, and these are t1, t2: give"):
        list(init_remarks(swapped))


def test_warm_start_that_does_not_fit(make_spec: MakeSpec, tmp_path: Path) -> None:
    ssl3d.pretrain(make_spec(trainer={"steps": 1}), out=tmp_path / "first")
    other = {"name": "waveformer", "widths": (8, 24), "depths": (1, 1), "heads": (1, 2)}
    spec = make_spec(backbone=other, init=str(tmp_path / "first"))
    ways = r"(?s)init: .*first.*nothing was copied.*ssl3d\.weights\.transfer.*torch\.save\("
    with pytest.raises(ValueError, match=ways):
        ssl3d.pretrain(spec, out=tmp_path / "second")
    assert not (tmp_path / "second" / "spec.json").exists()


def test_image_quality_and_rank_are_logged(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(masker={"name": "mim"}, trainer={"steps": 1})
    result = ssl3d.pretrain(spec, out=tmp_path / "a")
    assert {
        "mse",
        "mse/level0",
        "mse/level1",
        "mse/trivial",
        "mse/trivial/level0",
        "mse/trivial/level1",
        "psnr_true_statistics",
        "psnr_true_statistics/trivial",
        "ssim_true_statistics",
        "ssim_true_statistics/trivial",
        "rank/stage0",
        "rank/stage1",
    } <= result.held_out.keys()
    assert 1 <= result.held_out["rank/stage1"] <= 16


def collapses(result: RunResult) -> list[str]:
    """The warnings that are of collapsed features."""
    return [text for text in result.warnings if "they collapse" in text]


def test_collapse_is_warned_of_once(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(quality={"collapse": 0.99}, trainer={"steps": 2, "validate_every": 1})
    result = ssl3d.pretrain(spec, out=tmp_path / "a")
    said = collapses(result)
    assert len(said) == 2  # one a stage
    assert "stage 1 use" in said[1]
    assert json.loads((tmp_path / "a/summary.json").read_text())["warnings"] == [*result.warnings]


RESUNET = {"name": "resunet", "widths": (8, 64), "blocks": (1, 1), "norm": "batch"}


@pytest.mark.parametrize(("directions", "channels"), [(0, 16), (3, 64)])
def test_collapsed_features_are_warned_of_by_default(
    make_spec: MakeSpec, tmp_path: Path, directions: int, channels: int
) -> None:
    """The deepest stage is one constant vector, or varies in 3 of its 64 channels only."""
    spec = make_spec(
        backbone={**RESUNET, "widths": (8, channels)},
        optimizer={"lr": 1e-30, "weight_decay": 0.0},
        trainer={"steps": 1},
        init=str(tmp_path / "start.pth"),
    )
    start = spec.build().backbone.state_dict()
    for norm in ("conv2.norm", "skip.1.norm"):  # the last layer of each of the block's two ways
        scale = start[f"encoder.stages.1.blocks.0.{norm}.weight"]
        scale[:] = torch.arange(channels) < directions
        start[f"encoder.stages.1.blocks.0.{norm}.bias"][:] = 0.0 if directions else 1.0
    torch.save(start, tmp_path / "start.pth")
    result = ssl3d.pretrain(spec, out=tmp_path / "a")
    rank = result.held_out["rank/stage1"]
    if directions:
        assert 2 < rank <= 3  # more than one, and less than 5 % of the channels
    else:
        assert rank == pytest.approx(1)
    (warning,) = collapses(result)
    assert f"stage 1 use {rank:.1f} of {channels} directions" in warning


@pytest.mark.parametrize("backbone", ["waveformer", "resunet"])
def test_healthy_features_are_not_warned_of(
    make_spec: MakeSpec, tmp_path: Path, backbone: str
) -> None:
    parts = {"backbone": RESUNET} if backbone == "resunet" else {}
    result = ssl3d.pretrain(make_spec(**parts), out=tmp_path / "a")
    assert "rank/stage1" in result.held_out
    assert collapses(result) == []


def test_signals_can_be_left_out(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(quality={"images": False, "rank": False}, trainer={"steps": 1})
    result = ssl3d.pretrain(spec, out=tmp_path / "a")
    assert result.held_out.keys() == {"loss", "mse", "mse/trivial"}


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Four noisy volumes with a bright block, and maps of the block."""
    for i in range(4):
        rng = np.random.default_rng(i)
        labels = np.zeros((20, 18, 22), np.uint8)
        labels[4 + i : 12 + i, 5:13, 6:14] = 1
        image = (rng.normal(size=labels.shape) + 6 * labels).astype(np.float32)
        for name, array in (("image", image), ("labels", labels)):
            nibabel.Nifti1Image(array, np.eye(4)).to_filename(tmp_path / f"{name}{i}.nii.gz")
    return tmp_path


def test_probe_in_a_run(make_spec: MakeSpec, labelled: Path, tmp_path: Path) -> None:
    probe = {
        "images": str(labelled / "image*.nii.gz"),
        "labels": str(labelled / "labels*.nii.gz"),
        "every": 2,
    }
    spec = make_spec(probe=probe, optimizer={"ema": 0.5}, trainer={"steps": 3})
    console = Console(record=True, width=200)
    result = ssl3d.pretrain(spec, out=tmp_path / "a", console=console)
    rows = [row for row in rows_without_time(tmp_path / "a") if "probe/dice" in row]
    assert [row["step"] for row in rows] == [0, 2, 3]
    assert result.untrained_dice == rows[0]["probe/dice"] > 0.5
    assert result.probe_dice == rows[2]["probe/dice"] == rows[2]["probe/dice/class1"]
    assert "Linear probe: Dice" in console.export_text()
    # The weights that were trained are those of a run without a probe.
    plain = make_spec(optimizer={"ema": 0.5}, trainer={"steps": 3})
    ssl3d.pretrain(plain, out=tmp_path / "b")
    same = [checkpoint(tmp_path / name, step=3)["state_dict"] for name in ("a", "b")]
    assert_same_weights(*same)


def test_a_labelled_volume_that_cannot_be_used(
    make_spec: MakeSpec, labelled: Path, tmp_path: Path
) -> None:
    """It is left out and recorded, or stops the run before its first step."""
    image = nibabel.Nifti1Image(np.ones((20, 18, 22), np.float32), np.eye(4))
    name = labelled / "image0.nii.gz"  # one: paths decide who is on which side, two each
    image.to_filename(name)
    probe = {"images": str(labelled / "image*"), "labels": str(labelled / "labels*")}
    console = Console(record=True, width=1000)
    spec = make_spec(probe=probe, trainer={"steps": 1})
    result = ssl3d.pretrain(spec, out=tmp_path / "skip", console=console)
    assert result.probe_dice is not None
    assert [bad for bad, text in result.bad_files.items() if "for the probe" in text] == [str(name)]
    assert f"Went without {name}" in console.export_text()
    stopping = make_spec(probe=probe, data={"on_bad_file": "stop"}, trainer={"steps": 1})
    with pytest.raises(ValueError, match=r"probe: .*image0.*contrast"):
        ssl3d.pretrain(stopping, out=tmp_path / "stop")
    assert not (tmp_path / "stop" / "metrics.csv").exists()


def test_probe_without_files(make_spec: MakeSpec, tmp_path: Path) -> None:
    probe = {"images": str(tmp_path / "*_i.nii.gz"), "labels": str(tmp_path / "*_l.nii.gz")}
    with pytest.raises(ValueError, match="matches no file"):
        ssl3d.pretrain(make_spec(probe=probe), out=tmp_path / "a")
    assert not (tmp_path / "a" / "spec.json").exists()
