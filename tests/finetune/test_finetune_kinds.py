"""Whole runs of what cases, labels and crops may be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from small_runs import BACKBONE, EACH_ALONE, LABELS, SEGMENTATION, different, rows_of, weights_of

import ssl3d
from ssl3d import ExperimentSpec, FinetuneSpec

MakeSpec = Callable[..., FinetuneSpec]


def test_deep_supervision_is_off_unless_asked_for(make_spec: MakeSpec, tmp_path: Path) -> None:
    assert FinetuneSpec.from_json(make_spec().to_json()).decoder is None
    backbone = {**BACKBONE, "widths": (4, 4, 8, 8), "blocks": (1, 1, 1, 1)}
    left = {}
    for deep in (False, True):
        decoder = {"name": "unet", "deep_supervision": deep}
        spec = make_spec(backbone=backbone, decoder=decoder, trainer={"steps": 2})
        result = ssl3d.finetune(spec, out=tmp_path / str(deep))
        assert 0 <= result.numbers["dice"] <= 1
        left[deep] = weights_of(tmp_path / str(deep))
    assert len(left[True]) > len(left[False])
    tuned = ssl3d.load_model(tmp_path / "True").model
    assert tuned.predict(torch.zeros(1, 1, 16, 16, 16)).shape == (1, 3, 16, 16, 16)


def test_a_backbone_of_one_stage_gets_patches(make_spec: MakeSpec, tmp_path: Path) -> None:
    """And a first stride above 1 still ends at full resolution."""
    backbone = {"name": "waveformer", "widths": (8,), "depths": (1,), "heads": (1,)}
    result = ssl3d.finetune(make_spec(backbone=backbone, trainer={"steps": 2}), out=tmp_path / "a")
    described = json.loads((tmp_path / "a" / "model.json").read_text())
    assert described["decoder"]["name"] == "patch"
    assert result.finished


def test_the_published_network_is_pre_trained_whole_and_fine_tuned(
    make_spec: MakeSpec, labelled_set: Path, tmp_path: Path
) -> None:
    """Encoder and decoder that reads details and volume, taken over but for the head."""
    before = ExperimentSpec(
        backbone={"name": "waveformer", "preset": "paper", "widths": (4, 8), "depths": (1, 1)},
        decoder="waveformer",
        data={
            "volumes": str(labelled_set / "images"),
            "patch": 16,
            "normalise": {"name": "percentile"},
            "workers": 0,
            "cache": {"folder": str(tmp_path / "cache")},
        },
        trainer={"steps": 2, "accelerator": "cpu", "loggers": (), "pictures": 0},
    )
    ssl3d.pretrain(before, out=tmp_path / "pretrained")
    left = {}
    for transfer in ("encoder", "encoder+decoder"):
        spec = make_spec(
            encoder=str(tmp_path / "pretrained"),
            transfer=transfer,
            decoder="waveformer",
            trainer={"steps": 2},
        )
        result = ssl3d.finetune(spec, out=tmp_path / transfer)
        assert 0 <= result.numbers["dice"] <= 1
        left[transfer] = weights_of(tmp_path / transfer)
    assert "decoder.stem.conv1.weight" in different(*left.values(), by=1e-3)
    tuned = ssl3d.load_model(tmp_path / "encoder").model
    assert tuned.predict(torch.zeros(1, 1, 8, 16, 24)).shape == (1, 3, 8, 16, 24)


def test_what_nobody_labelled_is_measured_nowhere(make_spec: MakeSpec, tmp_path: Path) -> None:
    """Label 2 is ignored: what is said there changes no number, and label 1 alone is measured."""
    task = {"name": "segmentation", "labels": {"front": 1}, "ignore": 2}
    data = {"normalise": {"name": "zscore"}, "foreground": "none"}
    spec = make_spec(task=task, data=data, patch=32, trainer={"steps": 2})
    result = ssl3d.finetune(spec, out=tmp_path / "run")
    tuned = ssl3d.load_model(tmp_path / "run")
    found = []
    for name in result.worst:
        image = np.transpose(nibabel.load(name).get_fdata().astype(np.float32))
        label = nibabel.load(name.replace("images", "labels"))
        truth = np.transpose(np.asarray(label.dataobj))
        box = tuple(slice((32 - edge) // 2, (32 - edge) // 2 + edge) for edge in image.shape)
        volume, valid = torch.zeros(1, 1, 32, 32, 32), torch.zeros(1, 32, 32, 32, dtype=torch.bool)
        volume[0, 0][box] = torch.from_numpy((image - image.mean()) / image.std())
        valid[0][box] = True
        said = tuned.model.predict(volume, valid=valid)[0].argmax(0)[box].numpy() == 1
        seen = truth != 2
        both = (said & (truth == 1)).sum()
        found.append(2 * both / ((said & seen).sum() + (truth == 1).sum()))
    assert result.numbers["dice"] == pytest.approx(np.mean(found), abs=1e-6)


def test_finds_of_a_table_with_attention(make_spec: MakeSpec, tmp_path: Path) -> None:
    """Several crops a case, one of them centred on its find; column weights, a missing target."""
    points = tmp_path / "points.csv"
    lines = [f"{case}.nii.gz,12,12,{8 + case}" for case in (1, 5, 7)]
    points.write_text("\n".join(["image,x,y,z", *lines]))
    task = {**LABELS, "crops": "attention", "sites": "both", "column_weights": {"find": 13}}
    spec = make_spec(task=task, data={"points": str(points), "crops": 3, **EACH_ALONE})
    result = ssl3d.finetune(spec, out=tmp_path / "run")
    numbers = result.numbers
    assert {"auroc", "auroc/find", "auroc/old", "auprc/find"} <= set(numbers)
    weighed = (13 * numbers["auroc/find"] + numbers["auroc/old"]) / 14
    assert numbers["auroc"] == pytest.approx(weighed)
    other = spec.with_values({"data.points": None})
    ssl3d.finetune(other, out=tmp_path / "other")
    assert different(weights_of(tmp_path / "run"), weights_of(tmp_path / "other"))


def test_spacing_and_half_precision(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(
        data={"spacing": 1.5}, trainer={"precision": "bf16"}, windows={"mirror": (0, 1)}
    )
    result = ssl3d.finetune(spec, out=tmp_path / "run")
    assert ssl3d.load_model(tmp_path / "run").preparation.spacing == (1.5, 1.5, 1.5)
    assert np.isfinite([row["train/loss"] for row in rows_of(tmp_path / "run")[1:]]).all()
    assert 0 <= result.numbers["dice"] <= 1


def test_a_class_that_no_training_case_has_is_said(make_spec: MakeSpec, tmp_path: Path) -> None:
    task = {**SEGMENTATION, "labels": {"front": 1, "back": 2, "top": 3}}
    result = ssl3d.finetune(make_spec(task=task, trainer={"steps": 1}), out=tmp_path / "run")
    assert any("'top'" in text and "cannot be learned" in text for text in result.warnings)
    assert np.isfinite(result.numbers["dice"])


def test_a_bad_training_case_is_left_out_where_asked_and_said(
    make_spec: MakeSpec, labelled_set: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for path in (labelled_set / "images").iterdir():
        (images / path.name).write_bytes(path.read_bytes())
    (images / "0.nii.gz").write_bytes(b"no volume")
    data = {
        "manifest": None,
        "images": f"{images}/*.nii.gz",
        "labels": f"{labelled_set}/labels/*.nii.gz",
        "on_bad_file": "skip",
    }
    result = ssl3d.finetune(make_spec(data=data, trainer={"steps": 1}), out=tmp_path / "run")
    assert [Path(name).name for name in result.bad_files] == ["0.nii.gz"]
    assert result.finished
