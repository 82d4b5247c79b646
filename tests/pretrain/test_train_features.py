"""Runs that hide features: what they leave, and what they say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from run_folders import assert_same_weights, rows_without_time, weights

import ssl3d
from ssl3d import ExperimentSpec
from ssl3d.run.run_error import RunError
from ssl3d.tasks.finetune.resolved import resolved
from ssl3d.tasks.finetune.start import starting_model
from ssl3d.tasks.pretrain.summary import print_summary, summarise

MakeSpec = Callable[..., ExperimentSpec]
ENCODER: dict[str, Any] = {"name": "resunet", "widths": (6, 8), "blocks": (1, 1), "norm": "batch"}
FEATURES: dict[str, Any] = {"feature_encoder": ENCODER}
CONSTANT = {"schedule": "constant", "warmup": 0.0}
pytestmark = pytest.mark.filterwarnings("ignore:data.patch")


@pytest.mark.parametrize("target", ["patch_normalised", "features"])
def test_a_run(make_spec: MakeSpec, tmp_path: Path, target: str) -> None:
    spec = make_spec(trainer={"pictures": 1}, target=target, **FEATURES)
    console = Console(record=True, width=200)
    result = ssl3d.pretrain(spec, out=tmp_path / "a", console=console)
    text = console.export_text()
    assert "Features are hidden, not the input" in text
    images = target != "features"
    assert ("there will be no PSNR, SSIM or pictures of volumes" in text) != images
    assert len(result.pictures) == (2 if images else 1)
    assert any(name.startswith("psnr") for name in result.held_out) == images
    assert result.held_out_loss is not None
    assert result.trivial_loss is not None
    # The rank is that of the features that are made of the visible ones.
    assert {name for name in result.held_out if name.startswith("rank")} == {
        "rank/stage0",
        "rank/stage1",
    }
    about = json.loads((tmp_path / "a" / "encoder.json").read_text())
    assert about["trained"]["feature_encoder"] == "resunet"
    encoder = ssl3d.load_encoder(tmp_path / "a")
    assert encoder(torch.rand(1, 1, 16, 16, 16))[0].shape == (1, 8, 8, 8, 8)
    (facts,) = json.loads((tmp_path / "a" / "environment.json").read_text())
    assert {"backbone/waveformer", "backbone/resunet"} <= facts["plugins"].keys()


def test_it_resumes_bitwise(make_spec: MakeSpec, tmp_path: Path) -> None:
    options: dict[str, Any] = {"optimizer": CONSTANT, "target": "features", **FEATURES}
    ssl3d.pretrain(make_spec(trainer={"steps": 3}, **options), out=tmp_path / "parts")
    ssl3d.pretrain(make_spec(**options), out=tmp_path / "once")
    ssl3d.pretrain(make_spec(**options), out=tmp_path / "parts", resume=True)
    pairs = [weights(tmp_path / name, step=6) for name in ("once", "parts")]
    assert_same_weights(*pairs)
    rows = [rows_without_time(tmp_path / name) for name in ("once", "parts")]
    assert rows[0][-1] == rows[1][-1]


def test_activations_computed_again_change_nothing(make_spec: MakeSpec, tmp_path: Path) -> None:
    ends = []
    for again in (False, True):
        trainer = {"steps": 2, "checkpoint_activations": again}
        ssl3d.pretrain(make_spec(**FEATURES, trainer=trainer), out=tmp_path / str(again))
        ends.append(weights(tmp_path / str(again), step=2))
    assert_same_weights(*ends)


def test_the_summary_counts_both_encoders(make_spec: MakeSpec) -> None:
    console = Console(record=True, width=200)
    print_summary(make_spec(**FEATURES), console=console)
    assert "feature encoder" in console.export_text()
    both, alone = summarise(make_spec(**FEATURES)), summarise(make_spec())
    assert both.encoder == alone.encoder
    assert both.feature_encoder > alone.feature_encoder == 0
    assert both.parameters == both.encoder + both.feature_encoder + both.decoder


def test_its_decoder_is_not_for_fine_tuning(make_spec: MakeSpec, tmp_path: Path) -> None:
    ssl3d.pretrain(make_spec(**FEATURES), out=tmp_path / "a")
    spec = ssl3d.FinetuneSpec(
        encoder=str(tmp_path / "a"),
        transfer="encoder+decoder",
        task={"name": "segmentation", "labels": {"a": 1}},
        data={"images": "i*", "labels": "l*"},
    )
    with pytest.raises(RunError, match="reads the maps of a feature encoder"):
        starting_model(resolved(spec), samples_per_step=1)
