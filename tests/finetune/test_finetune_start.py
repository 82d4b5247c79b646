"""What a fine-tuning run starts from: nothing, a run, an exported encoder, a checkpoint."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from small_runs import BACKBONE, checkpoint_of, different, part_of, rows_of, weights_of

import ssl3d
from ssl3d import FinetuneSpec
from ssl3d.tasks.finetune.resolved import resolved

MakeSpec = Callable[..., FinetuneSpec]

TINY = 1e-20
STILL = {"optimizer": {"lr": 1e-30, "weight_decay": 0.0}, "trainer": {"steps": 1}}
"""A run of a step that learns nothing: its weights are what it started from."""


def run(spec: FinetuneSpec, out: Path) -> tuple[dict[str, torch.Tensor], str]:
    """Weights that a run leaves, and what it said."""
    console = Console(record=True, width=200)
    ssl3d.finetune(spec, out=out, console=console)
    return weights_of(out), console.export_text()


def loaded_of(out: Path) -> dict[str, tuple[str, str]]:
    """Tensor to what became of it, and how, in the table that a run has left."""
    with open(out / "loaded.csv", newline="", encoding="utf-8") as file:
        return {line["tensor"]: (line["what"], line["how"]) for line in csv.DictReader(file)}


def test_from_scratch(make_spec: MakeSpec, tmp_path: Path) -> None:
    result = ssl3d.finetune(make_spec(), out=tmp_path / "run")
    assert (result.finished, result.step, result.step_of_model) == (True, 4, 4)
    assert result.score == result.numbers["dice"]
    there = {path.name for path in (tmp_path / "run").iterdir()}
    assert there >= {
        *("spec.yaml", "spec.json", "data.json", "environment.json", "metrics.csv", "summary.json"),
        *("model.json", "model.safetensors", "checkpoints", "pictures", "test"),
    }
    assert not {"run.lock", "bad_files.jsonl", "loaded.csv"} & there


@pytest.mark.parametrize("what", ["run", "folder", "file"])
def test_from_an_encoder(make_spec: MakeSpec, pretrained: Path, tmp_path: Path, what: str) -> None:
    encoder = pretrained
    if what != "run":
        encoder = tmp_path / "exported"
        encoder.mkdir()
        for name in ("encoder.json", "encoder.safetensors"):
            shutil.copy(pretrained / name, encoder)
        encoder = encoder / "encoder.safetensors" if what == "file" else encoder
    spec = make_spec(encoder=str(encoder), patch=None, **STILL)
    weights, said = run(spec, tmp_path / "run")
    source = ssl3d.load_encoder(pretrained).state_dict()
    assert not different(part_of(weights, "backbone."), source, by=TINY)
    assert f"Encoder from {encoder}" in said
    tuned = ssl3d.load_model(tmp_path / "run")
    assert tuned.patch == (16, 16, 16)
    assert tuned.preparation.normalise.name == "percentile"  # as the encoder's


@pytest.mark.parametrize("kind", ["own names", "a run's", "nnU-Net's"])
def test_from_a_checkpoint(
    make_spec: MakeSpec, pretrained: Path, tmp_path: Path, kind: str
) -> None:
    """Of a run, of the module itself, or of another project: what the backbone can read."""
    source = ssl3d.load_encoder(pretrained).state_dict()
    file = tmp_path / "weights.pth"
    if kind == "own names":
        torch.save(source, file)
    elif kind == "a run's":
        (file,) = (pretrained / "checkpoints").glob("*.ckpt")
    else:
        state = {**source, "decoder.seg_layers.0.weight": torch.zeros(2)}
        torch.save({"network_weights": state}, file)
    spec = make_spec(encoder=str(file), backbone=BACKBONE, **STILL)
    weights, said = run(spec, tmp_path / "run")
    assert not different(part_of(weights, "backbone."), source, by=TINY)
    assert "is not written in it" in said  # how volumes were prepared
    lines = loaded_of(tmp_path / "run")
    assert {name for name, (what, _) in lines.items() if what == "loaded"} == set(source)
    others = [name for name, (what, _) in lines.items() if what != "loaded"]
    assert others == (["decoder.seg_layers.0.weight"] if kind == "nnU-Net's" else [])


def test_a_checkpoint_of_other_channels(
    make_spec: MakeSpec, pretrained: Path, labelled_set: Path, tmp_path: Path
) -> None:
    torch.save(ssl3d.load_encoder(pretrained).state_dict(), tmp_path / "weights.pth")
    images = f"{labelled_set}/images/*.nii.gz"
    data = {
        "manifest": None,
        "images": {"one": images, "other": images},
        "labels": f"{labelled_set}/labels/*.nii.gz",
    }
    parts: dict[str, Any] = {
        "encoder": str(tmp_path / "weights.pth"),
        "encoder_channels": 1,
        "backbone": BACKBONE,
        "data": data,
    }
    with pytest.raises(ValueError, match="inputs"):
        ssl3d.finetune(make_spec(**parts, **STILL), out=tmp_path / "run")
    weights, said = run(make_spec(**parts, inputs="repeat", **STILL), tmp_path / "run")
    assert "had 1 channel, now 2: repeat" in said
    (name,) = [n for n, w in weights.items() if n.startswith("backbone") and w.shape[1:2] == (2,)]
    how = loaded_of(tmp_path / "run")[name.removeprefix("backbone.")]
    assert how == ("adapted", "1 input channels to 2: repeat")
    counts = json.loads((tmp_path / "run" / "summary.json").read_text())["loaded"]["encoder"]
    assert counts["adapted"] == 1
    assert counts["loaded"] == len(part_of(weights, "backbone.")) - 1
    del parts["encoder_channels"]
    with pytest.raises(ValueError, match=r"have 2 input channels; where .* encoder_channels says"):
        ssl3d.finetune(make_spec(**parts, **STILL), out=tmp_path / "other")
    assert torch.equal(weights[name][:, 0], weights[name][:, 1])


def test_the_decoder_is_transferred_where_asked(
    make_spec: MakeSpec, pretrained: Path, tmp_path: Path
) -> None:
    (file,) = (pretrained / "checkpoints").glob("*.ckpt")
    source = part_of(torch.load(file, weights_only=True)["state_dict"], "model.decoder.")
    found = {}
    for transfer in ("encoder", "encoder+decoder"):
        spec = make_spec(encoder=str(pretrained), transfer=transfer, patch=None, **STILL)
        weights, said = run(spec, tmp_path / transfer)
        assert (f"Decoder from {file}" in said) == (transfer != "encoder")
        found[transfer] = part_of(weights, "decoder.")
    shared = [n for n in source if source[n].shape == found["encoder"].get(n, torch.empty(0)).shape]
    assert len(shared) > 3
    loaded = [n for n in shared if torch.equal(source[n], found["encoder+decoder"][n])]
    alone = [n for n in shared if not torch.equal(source[n], found["encoder"][n])]
    assert set(alone) <= set(loaded)
    assert len(alone) > 1


def test_encoder_and_decoder_are_of_one_step(
    make_spec: MakeSpec, pretrained: Path, tmp_path: Path
) -> None:
    """A run that had ended, was begun anew with more steps and was killed, holds both."""
    run_of = Path(shutil.copytree(pretrained, tmp_path / "run"))
    (file,) = (run_of / "checkpoints").glob("*.ckpt")
    later = torch.load(file, weights_only=True)
    for value in later["state_dict"].values():
        value += 1 if value.is_floating_point() else 0
    torch.save(later, run_of / "checkpoints" / "step-000000004.ckpt")
    spec = make_spec(encoder=str(run_of), transfer="encoder+decoder", patch=None, **STILL)
    _, said = run(spec, tmp_path / "both")
    assert f"Decoder from {file}" in said
    assert "This is the encoder of step 2; the run has a checkpoint of step 4: go on" in said
    file.unlink()
    with pytest.raises(ssl3d.RunError, match=r"is that of step 2, .* is left, only up to 4: go on"):
        ssl3d.finetune(spec, out=tmp_path / "none")
    description = json.loads((run_of / "encoder.json").read_text())
    description["trained"]["ema"] = 0.9
    (run_of / "encoder.json").write_text(json.dumps(description))
    assert any("optimizer.ema" in remark for remark in resolved(spec).remarks)
    alone = resolved(spec.replace(transfer="encoder")).remarks
    assert not any("optimizer.ema" in remark for remark in alone)


def test_the_decoder_of_the_run_is_the_default(
    make_spec: MakeSpec, pretrained: Path, tmp_path: Path
) -> None:
    """Where it is transferred: another one would not fit its weights."""
    run_of = Path(shutil.copytree(pretrained, tmp_path / "run", ignore=lambda *_: ["checkpoints"]))
    was = json.loads((run_of / "spec.json").read_text())
    was["decoder"] = {"name": "spark", "width": 16}
    (run_of / "spec.json").write_text(json.dumps(was))
    spec = make_spec(encoder=str(run_of), transfer="encoder+decoder")
    found = resolved(spec).decoder
    assert found is not None
    assert (found.name, found.model_dump()["width"]) == ("spark", 16)
    for other in (spec.replace(transfer="encoder"), spec.replace(decoder="unet")):
        assert resolved(other).decoder.name == "unet"


def test_only_a_run_has_a_decoder_to_transfer(
    make_spec: MakeSpec, pretrained: Path, tmp_path: Path
) -> None:
    for name in ("encoder.json", "encoder.safetensors"):
        shutil.copy(pretrained / name, tmp_path)
    spec = make_spec(encoder=str(tmp_path), transfer="encoder+decoder", patch=None)
    with pytest.raises(ssl3d.RunError, match="holds no checkpoint of a run"):
        ssl3d.finetune(spec, out=tmp_path / "run")


def test_arms_differ_in_the_encoder_alone(
    make_spec: MakeSpec, pretrained: Path, tmp_path: Path
) -> None:
    """For one seed the decoder starts alike, whatever the encoder starts from."""
    arms = {
        "scratch": {"recipe": {"name": "scratch"}},
        "plain": {"encoder": str(pretrained)},
        "frozen": {"encoder": str(pretrained), "recipe": "frozen"},
    }
    found = {name: run(make_spec(**arm, **STILL), tmp_path / name)[0] for name, arm in arms.items()}
    decoders = [part_of(weights, "decoder.") for weights in found.values()]
    assert not different(decoders[0], decoders[1], by=TINY)
    assert not different(decoders[0], decoders[2], by=TINY)
    other = run(make_spec(seed=1, **STILL), tmp_path / "other")[0]
    assert different(decoders[0], part_of(other, "decoder."))


@pytest.mark.parametrize("recipe", ["plain", "sawtooth", "frozen", "scratch"])
def test_recipes(make_spec: MakeSpec, pretrained: Path, tmp_path: Path, recipe: str) -> None:
    """The frozen encoder stays, that of sawtooth waits, the others learn from the first step."""
    options = {"name": recipe, **({"decoder_first": 0.5} if recipe == "sawtooth" else {})}
    spec = make_spec(
        encoder=str(pretrained),
        recipe=options,
        optimizer={"weight_decay": 0.0},
        trainer={"accumulate": 2},
    )
    ssl3d.finetune(spec, out=tmp_path / "run")
    source = ssl3d.load_encoder(pretrained).state_dict()
    for step, waits in ((2, ("frozen", "sawtooth")), (4, ("frozen",))):
        state = checkpoint_of(tmp_path / "run", step=step)["state_dict"]
        changed = different(part_of(state, "backbone."), source)
        assert bool(changed) == (recipe not in waits), changed
    # What waits has no gradient either, in every micro-batch: no moment of the optimiser moves.
    content = checkpoint_of(tmp_path / "run", step=2)["optimizer"]
    encoders = [g["params"] for g in content["param_groups"] if g["part"] == "encoder"]
    moments = [content["state"][i]["exp_avg"] for own in encoders for i in own]
    assert bool(moments) == (recipe != "frozen")
    assert any(bool(one.any()) for one in moments) == (recipe in ("plain", "scratch"))


def test_each_step_has_the_rates_of_the_recipe(
    make_spec: MakeSpec, pretrained: Path, tmp_path: Path
) -> None:
    """Two steps up, then (1 - t)^0.9 down; the encoder's rates are a half."""
    spec = make_spec(
        encoder=str(pretrained),
        recipe={"name": "plain", "warmup": 0.5, "encoder_rate": 0.5, "layer_decay": 0.5},
        optimizer={"lr": 0.01, "schedule": "cosine"},
        trainer={"steps": 4, "checkpoint_every": 1, "keep_checkpoints": 4, "log_every": 1},
    )
    ssl3d.finetune(spec, out=tmp_path / "run")
    share = [0.5, 1.0, 1.0, 0.5**0.9]
    for step in range(4):
        groups = checkpoint_of(tmp_path / "run", step=step + 1)["optimizer"]["param_groups"]
        rates = {(group["part"], group["depth"]): group["lr"] for group in groups}
        whole = 0.01 * share[step]
        expected = {("decoder", 0): 1.0, ("encoder", 0): 0.5, ("encoder", 1): 0.25}
        assert rates == pytest.approx({part: whole * rate for part, rate in expected.items()})
    logged = [row["learning_rate"] for row in rows_of(tmp_path / "run") if "learning_rate" in row]
    assert logged == pytest.approx([0.01 * one for one in share])
