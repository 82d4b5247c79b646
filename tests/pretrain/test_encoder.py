"""The exported encoder: rebuilt without the run, and refused where it does not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import ssl3d
from ssl3d import ExperimentSpec
from ssl3d.plugin.registry import Registry, installed
from ssl3d.tasks.encoder import describe_encoder
from ssl3d.tasks.pretrain.export import export_encoder

MakeSpec = Callable[..., ExperimentSpec]


@pytest.fixture
def exported(make_spec: MakeSpec, tmp_path: Path) -> Path:
    spec = make_spec(data={"spacing": (2.0, 1.0, 1.0)})
    backbone = spec.build().backbone
    return export_encoder(backbone.state_dict(), spec=spec, out=tmp_path / "encoder", step=7)


def test_round_trip(make_spec: MakeSpec, exported: Path) -> None:
    original = make_spec().build().backbone.eval()
    volume = torch.randn(2, 1, 16, 24, 16, generator=torch.Generator().manual_seed(0))
    before = torch.get_rng_state()
    for path in (exported, exported.parent):
        encoder = ssl3d.load_encoder(path)
        assert not encoder.training
        assert encoder.stages == original.stages
        features = encoder(volume)
        assert [tuple(f.shape) for f in features] == [(2, 8, 8, 12, 8), (2, 16, 4, 6, 4)]
        for mine, theirs in zip(features, original(volume), strict=True):
            assert torch.equal(mine, theirs)
    assert torch.equal(torch.get_rng_state(), before)


def test_description_has_what_a_fine_tuner_must_match(exported: Path) -> None:
    facts = describe_encoder(exported)
    assert facts["in_channels"] == 1
    assert facts["input"]["spacing"] == [2.0, 1.0, 1.0]
    assert facts["input"]["normalise"]["name"] == "percentile"
    assert facts["input"]["foreground"] == {"threshold": "otsu"}
    assert facts["input"]["valid_region"] == {"padding": False, "body": None}
    assert facts["stages"] == [
        {"stride": [2, 2, 2], "channels": 8},
        {"stride": [4, 4, 4], "channels": 16},
    ]
    assert facts["trained"]["steps"] == 7


def test_missing_and_left_over_tensors_are_named(exported: Path) -> None:
    tensors = load_file(exported)
    name = sorted(tensors)[0]
    tensors["stranger"] = tensors.pop(name)
    save_file(tensors, exported)
    with pytest.raises(ValueError, match=rf"(?s){name}.*stranger"):
        ssl3d.load_encoder(exported)


def test_no_encoder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no encoder.*encoder\.json"):
        ssl3d.load_encoder(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "format 99"),
        ({"backbone": {"name": "gone"}}, r"came from ssl3d .* unknown backbone 'gone'"),
        ({"backbone": {"name": "waveformer", "depth": 3}}, "cannot make it"),
    ],
)
def test_description_that_cannot_be_used(exported: Path, change: dict, message: str) -> None:
    file = exported.parent / "encoder.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        ssl3d.load_encoder(exported)


def test_damaged_description(exported: Path) -> None:
    (exported.parent / "encoder.json").write_text("{")
    with pytest.raises(ValueError, match="not readable as JSON"):
        ssl3d.load_encoder(exported)


def test_a_name_that_two_plugins_claim_hurts_encoders_of_that_name_alone(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = installed().entries()
    for kind, loads in (("masker", True), ("backbone", False)):
        twice = [replace(e, plugin="other") for e in entries if e.config.kind == kind]
        registry = Registry([*entries, *twice])
        monkeypatch.setattr("ssl3d.tasks.encoder.installed", lambda registry=registry: registry)
        if loads:
            assert ssl3d.load_encoder(exported)
            continue
        with pytest.raises(ValueError, match="'waveformer' is declared by plugin") as error:
            ssl3d.load_encoder(exported)
        assert str(error.value).count("is declared by plugin") == 1


@pytest.mark.parametrize(
    ("backbone", "name"),
    [
        (
            {
                "name": "waveformer",
                "widths": (8, 16),
                "depths": (1, 1),
                "heads": (1, 2),
                "ffn": "conv",
            },
            {"preset": "blueprint"},
        ),
        ({"name": "resunet", "widths": (8, 16), "blocks": (1, 1)}, {"size": "M"}),
    ],
)
def test_an_encoder_of_an_older_version(
    make_spec: MakeSpec, tmp_path: Path, backbone: dict[str, Any], name: dict[str, str]
) -> None:
    """Those named a preset in any case, also one that their network was not."""
    spec = make_spec(backbone=backbone)
    original = spec.build().backbone.eval()
    export_encoder(original.state_dict(), spec=spec, out=tmp_path, step=7)
    description = json.loads((tmp_path / "encoder.json").read_text())
    description["backbone"] |= name
    (tmp_path / "encoder.json").write_text(json.dumps(description))
    volume = torch.randn(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    pairs = zip(ssl3d.load_encoder(tmp_path)(volume), original(volume), strict=True)
    assert all(torch.equal(mine, theirs) for mine, theirs in pairs)
