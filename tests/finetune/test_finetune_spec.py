"""A fine-tuning spec: checked before torch is loaded, one line for each problem."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ssl3d import FinetuneSpec, OptimizerSpec, SpecError, TrainerSpec
from ssl3d.cli import main

GOOD: dict[str, Any] = {
    "backbone": {"name": "resunet", "widths": (4, 8), "blocks": (1, 1)},
    "task": {"name": "segmentation", "labels": {"lesion": 1}},
    "data": {"images": "images/*.nii.gz", "labels": "labels/*.nii.gz"},
}
CLASSES = {"name": "classification", "labels": ("find",)}
ON_CASES = {"task": CLASSES, "data": {"images": "a/*.nii", "manifest": "cases.csv"}}

VALIDATE = """
import sys
from ssl3d import FinetuneSpec
from ssl3d.plugin.registry import installed

data = {"images": "a/*.nii", "labels": "b/*.nii"}
labels = {"name": "segmentation", "labels": {"a": 1}}
values = {"name": "regression", "values": ("age",)}
for name in installed().names("backbone"):
    FinetuneSpec(backbone=name, task=labels, data=data)
    FinetuneSpec(encoder="x", backbone=name, task=values, data={"manifest": "a.csv"})
spec = FinetuneSpec(encoder="runs/ct", task=labels, data=data)
assert FinetuneSpec.from_yaml(spec.to_yaml()) == FinetuneSpec.from_json(spec.to_json()) == spec
try:
    FinetuneSpec(task={"name": "segmentaton"}, data=data)
except ValueError as error:
    print(error)
FinetuneSpec.model_json_schema()
heavy = sorted(set(sys.modules) & {"torch", "monai", "lightning", "numpy"})
raise SystemExit(f"imported {heavy}" if heavy else 0)
"""


def test_validation_imports_nothing_heavy(run_python) -> None:
    done = run_python(VALIDATE)
    assert done.returncode == 0, done.stderr
    assert "Did you mean 'segmentation'" in done.stdout


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": None}, "encoder: neither encoder nor backbone given"),
        ({"transfer": "encoder+decoder"}, "transfer: nothing is transferred without an encoder"),
        ({"inputs": "repeat"}, "inputs: it is about an encoder, and there is none"),
        ({"encoder_channels": 2}, "encoder_channels: it is about an encoder"),
        ({"recipe": "frozen"}, "recipe: frozen is for a pre-trained encoder"),
        ({"recipe": "sawtoth"}, "recipe: given 'sawtoth'; must be"),
        ({"optimizer": {"warmup": 0.2}}, "optimizer.warmup: the recipe says how rates go"),
        ({"data": {"images": "a/*.nii"}}, "data.labels: the task segmentation learns label maps"),
        ({"task": CLASSES}, "data.manifest: the task classification learns find"),
        ({"patch": 15}, "patch: given 15 × 15 × 15 voxels; must be a multiple of"),
        (
            {**ON_CASES, "trainer": {"cuda_graph": True}},
            "trainer.cuda_graph: the task 'classification' does not say that its batches have one",
        ),
        (
            {"encoder": "runs/ct", "recipe": "sawtooth", "trainer": {"cuda_graph": True}},
            "trainer.cuda_graph: the recipe 'sawtooth' trains the encoder in some steps and not",
        ),
        ({"decoder": "unet", "task": CLASSES}, "decoder: the task classification predicts for"),
        (
            {"task": {"name": "segmentation", "labels": {"left lung": 1, "right lung": 2}}},
            "augment.flips: labels 'left lung' and 'right lung' change places",
        ),
        (
            {
                "task": {"name": "segmentation", "labels": {"left lung": 1, "right lung": 2}},
                "augment": {"flips": (True, True, False)},
                "windows": {"mirror": (1, 2)},
            },
            "windows.mirror: 'left lung' and 'right lung' change places",
        ),
        (
            {
                "task": {**CLASSES, "labels": ("Left vertebral", "Right vertebral")},
                "data": {"images": "a/*.nii", "manifest": "cases.csv"},
            },
            "augment.flips: labels 'Left vertebral' and 'Right vertebral' change places",
        ),
    ],
)
def test_what_does_not_fit_is_said_with_its_place(changes: dict[str, Any], message: str) -> None:
    FinetuneSpec(**GOOD)
    with pytest.raises(SpecError) as found:
        FinetuneSpec(**{**GOOD, **changes})
    assert message in str(found.value)


def test_a_cuda_graph_is_for_labels_of_voxels_and_steps_that_are_alike() -> None:
    for recipe in ("plain", "frozen"):
        parts = {**GOOD, "backbone": None, "encoder": "runs/ct", "recipe": recipe}
        FinetuneSpec(**parts, trainer={"cuda_graph": True})
    FinetuneSpec(**{**GOOD, **ON_CASES})  # auto
    FinetuneSpec(**{**GOOD, "backbone": None}, encoder="runs/ct", recipe="sawtooth")


@pytest.mark.parametrize("given", [{}, {"recipe": "scratch"}, {"recipe": {"warmup": 0.1}}])
def test_an_option_of_the_recipe_is_set_alone(given: dict[str, Any]) -> None:
    """Whether the spec names a recipe, or options of the default, or none."""
    spec = FinetuneSpec(**GOOD, **given).with_values({"recipe.peak": 0.3})
    assert (spec.how.name, spec.how.peak) == ("scratch", 0.3)
    tuned = FinetuneSpec(**GOOD).with_values({"encoder": "runs/ct", "recipe.peak": 0.3})
    assert (tuned.how.name, tuned.how.peak) == ("plain", 0.3)
    named = FinetuneSpec(**{**GOOD, **given, "encoder": "runs/ct"}).with_values(
        {"recipe.peak": 0.3, "recipe": "sawtooth"}
    )
    assert (named.how.name, named.how.peak) == ("sawtooth", 0.3)


@pytest.mark.parametrize("given", [{}, {"name": "sgd"}, OptimizerSpec(name="sgd")])
def test_the_rate_is_that_of_fine_tuning_unless_it_is_given(given: Any) -> None:
    assert FinetuneSpec(**GOOD, optimizer=given).optimizer.lr == 1e-3
    assert FinetuneSpec(**GOOD, optimizer={"lr": 3e-4}).optimizer.lr == 3e-4
    assert FinetuneSpec(**GOOD, optimizer=OptimizerSpec(lr=3e-4)).optimizer.lr == 3e-4
    assert FinetuneSpec(**GOOD).with_values({"optimizer.clip": 2}).optimizer.lr == 1e-3


def test_an_option_of_what_is_not_given() -> None:
    with pytest.raises(SpecError, match="decoder is empty: set it too, decoder=NAME"):
        FinetuneSpec(**GOOD).with_values({"decoder.deep_supervision": True})
    changed = FinetuneSpec(**GOOD).with_values({"decoder.blocks": 2, "decoder": "unet"})
    assert changed.decoder is not None


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(SpecError) as found:
        FinetuneSpec(**{**GOOD, "patch": 15, "recipe": "plain", "inputs": "new"})
    assert len(found.value.problems) == 3


@pytest.mark.parametrize("trainer", [{"accelerator": "cpu"}, TrainerSpec(accelerator="cpu")])
def test_lengths_that_are_not_given_are_those_of_fine_tuning(trainer: Any) -> None:
    """Not those of pre-training, however little the trainer says."""
    spec = FinetuneSpec(**GOOD, trainer=trainer)
    assert spec.trainer == FinetuneSpec(**GOOD).trainer.model_copy(update={"accelerator": "cpu"})
    assert (spec.trainer.steps, spec.trainer.checkpoint_every) == (2000, 250)
    longer = spec.with_values({"trainer.steps": 10_000})
    assert (longer.trainer.steps, longer.trainer.validate_every) == (10_000, 250)


def test_schema_and_options_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leave:
        main(["schema", "--of", "finetune"])
    schema = json.loads(capsys.readouterr().out)
    assert leave.value.code == 0
    assert set(schema["properties"]) == set(FinetuneSpec.model_fields)
    assert all(field["description"] for field in schema["properties"].values())
    with pytest.raises(SystemExit):
        main(["options", "--of", "finetune", "recipe"])
    assert "decoder_first" in capsys.readouterr().out
