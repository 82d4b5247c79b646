"""What no option means, in each way to write a spec: one readable line for each, at once."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from ssl3d import ExperimentSpec
from ssl3d.plugin.spec_error import SpecError

HUGE = 10**5000


def problems(**values: Any) -> dict[str, str]:
    """{path: message} of what is wrong, found in seconds, on a slow machine too."""
    start = time.process_time()
    found: SpecError | None = None
    try:
        ExperimentSpec(**{"data": {"volumes": "scans"}, **values})
    except SpecError as error:
        found = error
    assert time.process_time() - start < 5
    assert all(len(line) < 1000 and line.isprintable() for line in str(found).split("\n"))
    return dict(found.problems) if found else {}


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"seed": True}, "seed"),
        ({"cell": True}, "cell"),
        ({"optimizer": {"lr": True}}, "optimizer.lr"),
        ({"optimizer": {"betas": [0.9, True]}}, "optimizer.betas.1"),
        ({"optimizer": {"ema": True}}, "optimizer.ema"),
        ({"trainer": {"steps": True}}, "trainer.steps"),
        ({"trainer": {"devices": True}}, "trainer.devices"),
        ({"data": {"volumes": "a", "patch": True}}, "data.patch"),
        ({"data": {"volumes": "a", "patch": [96, True, 96]}}, "data.patch"),
        ({"data": {"volumes": "a", "spacing": True}}, "data.spacing"),
        ({"data": {"volumes": "a", "foreground": {"share": True}}}, "data.foreground.share"),
        ({"masker": {"name": "random", "ratio": True}}, "masker.ratio"),
        ({"losses": [{"name": "mse", "weight": True}]}, "losses.0.weight"),
        ({"backbone": {"name": "waveformer", "widths": [True, 8]}}, "backbone.widths"),
        ({"backbone": {"name": "monai", "network": {"name": "segresnet", "init_filters": True}}},
         "backbone.network.init_filters"),
        ({"probe": {"images": "a*", "labels": "b*", "every": True}}, "probe.every"),
    ],
)  # fmt: skip
def test_true_is_no_number(values: dict[str, Any], path: str) -> None:
    assert "True" in problems(**values)[path]


def test_true_stays_a_boolean() -> None:
    flips = {"volumes": "a", "flips": [True, False, True]}
    spec = ExperimentSpec(data=flips, decoder={"token": True})
    assert spec.data.flips == (True, False, True)
    assert problems(trainer={"strategy": True}) == {
        "trainer.strategy": "given True; must be 'auto', 'ddp' or 'ddp_find_unused_parameters_true'"
    }


@pytest.mark.parametrize(
    "number",
    [2**63, 10**12, -(10**12), 10**400, HUGE, 1e300],
    ids=["2^63", "10^12", "-10^12", "10^400", "10^5000", "1e300"],
)
@pytest.mark.parametrize(
    "path",
    [
        "seed",
        "cell",
        "data.patch",
        "data.patch.1",
        "data.workers",
        "data.spacing",
        "optimizer.lr",
        "trainer.steps",
        "trainer.devices",
        "decoder.width",
        "masker.block",
        "losses.0.weight",
        "losses.1.samples",
        "backbone.widths.0",
        "backbone.depths",
        "backbone.heads.3",
        "backbone.levels.0",
        "backbone.mlp_ratio",
        "backbone.window",
        "backbone.merging.0",
    ],
)
def test_a_number_beyond_any_sense_is_one_line_at_once(path: str, number: Any) -> None:
    wide = {
        "name": "waveformer",
        "widths": [48, 96, 192, 384],
        "depths": [1] * 4,
        "heads": [3] * 4,
        "levels": [0] * 4,
        "merging": [2] * 3,
    }
    spec = ExperimentSpec(backbone=wide, losses=["mse", "info_nce"], data={"volumes": "a"})
    value: Any = [number] * 4 if path.endswith("depths") else number
    start = time.process_time()
    with pytest.raises(SpecError) as error:
        spec.with_values({path: value})
    assert time.process_time() - start < 5
    lines = str(error.value).split("\n")
    assert any(path.startswith(line.partition(":")[0]) for line in lines)
    assert all(len(line) < 400 for line in lines)


@pytest.mark.parametrize(
    "options",
    [
        {"name": "resunet", "widths": [10**9]},
        {"name": "resunet", "widths": [8] * 1000},
        {"name": "resunet", "widths": [8], "kernels": [10**9 + 1]},
        {"name": "resunet", "widths": [8], "blocks": [10**9]},
        {"name": "monai", "network": {"name": "segresnet", "blocks_down": [10**9]}},
        {"name": "monai", "network": {"name": "segresnet", "blocks_down": [1] * 1000}},
        {"name": "monai", "network": {"name": "resnet", "conv1_t_size": 10**9 + 1}},
        {"name": "waveformer", "widths": [10**9]},
        {"name": "waveformer", "widths": [8] * 1000},
        {"name": "waveformer", "widths": [16], "depths": [10**9]},
        {"name": "waveformer", "widths": [16], "levels": [10**9]},
    ],
)
def test_a_network_that_nobody_can_build_is_refused_at_once(options: dict[str, Any]) -> None:
    assert all(path.startswith("backbone") for path in problems(backbone=options))
    assert problems(backbone=options)


def test_a_value_is_shown_in_a_readable_length() -> None:
    long, deep, itself = "x" * 10**6, [], []  # type: ignore[var-annotated]
    for _ in range(10_000):
        deep = [deep]
    itself.append(itself)
    for value in (
        long,
        [long] * 1000,
        deep,
        itself,
        {long: long},
        {"name": long},
        HUGE,
        b"\0" * 10**5,
    ):
        found = problems(masker=value, target=value, optimizer={"lr": value}, init=[value])
        assert {"masker", "target", "optimizer.lr", "init"} <= {p[:12] for p in found}
    found = problems(**{long: 1, "a\nb": 1})
    assert set(found) == {"x" * 197 + "...", r"a\nb"}


def test_a_thousand_problems_are_not_a_thousand_lines() -> None:
    with pytest.raises(SpecError, match="and 950 more") as error:
        ExperimentSpec(data={"volumes": ["a"]}, losses=[{"name": "mse", "weigth": 1}] * 1000)
    assert len(str(error.value).split("\n")) == 51
    assert len(error.value.problems) == 1000


@pytest.mark.parametrize("name", ["self", "cls", "values", "__init__", "model_config", ""])
def test_no_name_of_an_option_is_special(name: str) -> None:
    for path, values in (
        (name or "spec", {name: 1}),
        (f"trainer.{name}", {"trainer": {name: 1}}),
        (f"masker.{name}".strip("."), {"masker": {"name": "random", name: 1}}),
        (f"losses.0.{name}".strip("."), {"losses": [{"name": "mse", name: 1}]}),
    ):
        (message,) = problems(**values).values()
        assert path in problems(**values)
        assert message.startswith("unknown option.")
    with pytest.raises(SpecError, match="unknown option"):
        ExperimentSpec.from_json(json.dumps({name: 1, "data": {"volumes": "a"}}))
    with pytest.raises(SpecError, match="unknown option"):
        ExperimentSpec(data={"volumes": "a"}).replace(**{name: 1})


def test_an_empty_section_is_its_defaults() -> None:
    spec = ExperimentSpec(data={"volumes": "a"})
    empty = dict.fromkeys(
        set(ExperimentSpec.model_fields) - {"data", "seed", "encoder_input", "target"}
    )
    assert ExperimentSpec(data={"volumes": "a"}, **empty) == spec
    inside = {"normalise": None, "foreground": None, "cache": None}
    assert ExperimentSpec(data={"volumes": "a", **inside}) == spec
    assert spec.with_values({"trainer": None, "data.cache": None}) == spec
    network = {"name": "monai", "network": None}
    assert ExperimentSpec(data={"volumes": "a"}, backbone=network).backbone.name == "monai"
    with pytest.raises(SpecError, match="data: neither given"):
        ExperimentSpec(data=None)
    assert problems(seed=None) == {"seed": "given None; must be a valid integer"}


@pytest.mark.parametrize("precision", [32, "32", 16, "16", "bf16"])
def test_a_precision_may_be_written_as_a_number(precision: Any) -> None:
    trainer = {"precision": precision}
    spec = ExperimentSpec(data={"volumes": "a"}, trainer=trainer)
    assert spec.trainer.precision == str(precision)
    assert (
        ExperimentSpec.from_json(json.dumps({"data": {"volumes": "a"}, "trainer": trainer})) == spec
    )
    assert (
        ExperimentSpec.from_yaml(f"data: {{volumes: a}}\ntrainer: {{precision: {precision}}}")
        == spec
    )
    assert ExperimentSpec.from_yaml(spec.to_yaml()) == spec
    assert (
        "must be 'auto', '32', 'bf16' or '16'"
        in problems(trainer={"precision": 64})["trainer.precision"]
    )


def test_devices_are_what_lightning_means_by_them() -> None:
    for devices in (1, 8, -1, "auto"):
        assert problems(trainer={"devices": devices}) == {}
    for wrong in (0, -2, 2000, "all"):
        assert "trainer.devices" in problems(trainer={"devices": wrong})
    both = problems(trainer={"devices": -1, "accelerator": "cpu"})
    assert both == {
        "trainer": "devices is -1, which means all GPUs, and accelerator is cpu: give the number "
        "of processes"
    }


@pytest.mark.parametrize(
    "expression", ["(", "(" * 5000, "(a{99999999999})", "((a{9999}){9999}", "a"]
)
def test_an_expression_that_python_cannot_use_is_one_line(expression: str) -> None:
    assert list(problems(data={"volumes": "a", "group_by": expression})) == ["data.group_by"]


def test_a_preset_and_its_network_never_disagree() -> None:
    spec = ExperimentSpec(data={"volumes": "a"})
    paper = spec.with_values({"backbone.preset": "paper"})
    assert paper.backbone.model_dump()["attention"] == "every_level"
    assert spec.replace(backbone={"name": "waveformer", "preset": "paper"}) == paper
    back = paper.with_values({"backbone.preset": "blueprint"})
    assert back.backbone.model_dump()["attention"] == "coarsest"
    assert ExperimentSpec.from_yaml(paper.to_yaml()) == paper
    with pytest.raises(
        SpecError, match="backbone: preset 'paper' has ffn 'conv_norm', given 'mlp'"
    ):
        paper.with_values({"backbone.ffn": "mlp"})
    with pytest.raises(
        SpecError, match="backbone: preset 'paper' has ffn 'conv_norm', given 'mlp'"
    ):
        spec.with_values({"backbone.preset": "paper", "backbone.ffn": "mlp"})
    edited = paper.to_yaml().replace("positions: relative_bias", "positions: rope")
    with pytest.raises(SpecError, match="backbone: preset 'paper' has positions"):
        ExperimentSpec.from_yaml(edited)
    copied = paper.backbone.model_copy(update={"ffn": "mlp"})
    with pytest.raises(SpecError, match="backbone: preset 'paper' has ffn 'conv_norm'"):
        paper.replace(backbone=copied)
    free = paper.with_values({"backbone.preset": None, "backbone.ffn": "mlp"})
    assert free.backbone.model_dump()["attention"] == "every_level"


def test_a_size_and_its_network_never_disagree() -> None:
    spec = ExperimentSpec(data={"volumes": "a", "patch": 128}, backbone="resunet")
    small = spec.with_values({"backbone.size": "S"})
    assert small.with_values({"backbone.size": "M"}).backbone.stages() == spec.backbone.stages()
    assert len(spec.with_values({"backbone.widths": [8, 16]}).backbone.stages()) == 2
    with pytest.raises(
        SpecError, match=r"backbone: size 'S' has widths .* leave out widths, or give"
    ):
        small.with_values({"backbone.widths": [8, 16]})
