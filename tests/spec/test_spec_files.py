"""Specs as files, and values set by path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ssl3d import ExperimentSpec
from ssl3d.plugin.registry import installed
from ssl3d.plugin.spec_error import SpecError
from ssl3d.plugin.spec_file import from_yaml, parse_yaml, to_yaml

SPEC = ExperimentSpec(masker="mim", losses=["mse", "info_nce"], data={"volumes": "scans/"})
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)
NUMBERS = st.floats(1e-12, 1e12)


@pytest.mark.parametrize("kind", ["backbone", "sparse_backend", "masker", "loss"])
def test_every_installed_component_survives_json_and_yaml(kind: Any) -> None:
    for name in installed().names(kind):
        field, value = ("losses", [name]) if kind == "loss" else (kind, name)
        changes = {field: value, "encoder_input": "zeroed", "data": {"volumes": "a", "patch": 96}}
        spec = ExperimentSpec(**changes)
        assert ExperimentSpec.from_json(spec.to_json()) == spec
        assert ExperimentSpec.from_yaml(spec.to_yaml()) == spec


@given(
    lr=NUMBERS,
    weights=st.tuples(NUMBERS, NUMBERS),
    ratio=st.floats(0.01, 0.99) | st.tuples(st.floats(0.01, 0.5), st.floats(0.5, 0.99)),
    label=TEXT,
    volumes=TEXT | st.lists(TEXT, min_size=1),
    spacing=st.none() | st.tuples(NUMBERS, NUMBERS, NUMBERS),
    cell=st.none() | st.sampled_from([(16, 32, 16), (32, 32, 32)]),
)
@example(1e-4, (1e22, 3e-5), 0.5, "1e-4", "1e5", (1e-7, 1.0, 1.0), None)
@example(1.0, (1.0, 1.0), 0.5, "null", ["no", "0x1F", " a: b", "1_0"], None, None)
def test_any_options_survive_json_and_yaml(
    lr: float,
    weights: tuple[float, float],
    ratio: Any,
    label: str,
    volumes: Any,
    spacing: Any,
    cell: Any,
) -> None:
    spec = ExperimentSpec(
        masker={"name": "random", "ratio": ratio},
        losses=[
            {"name": "mse", "weight": weights[0]},
            {"name": "l1", "weight": weights[1], "label": f"l1 {label}"},
            {"name": "l1", "label": f"{label}"},
        ],
        cell=cell,
        optimizer={"lr": lr},
        data={"volumes": volumes, "spacing": spacing},
    )
    assert ExperimentSpec.from_json(spec.to_json()) == spec
    assert ExperimentSpec.from_yaml(spec.to_yaml()) == spec
    assert ExperimentSpec(**spec.to_dict()) == spec


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("-2.5e3", -2500.0),
        (".5e1", 5.0),
        ("+1e+2", 100.0),
        ("'1e-4'", "1e-4"),
        ("1e", "1e"),
        ("e4", "e4"),
        ("3", 3),
        ("[1e-3, mim]", [1e-3, "mim"]),
        ("null", None),
        ("{name: mim}", {"name": "mim"}),
        ("", None),
    ],
)
def test_yaml_values(text: str, value: Any) -> None:
    read = parse_yaml(text)
    assert read == value
    assert type(read) is type(value)
    assert from_yaml(to_yaml({"value": read})) == {"value": value}


def test_a_spec_is_read_from_each_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(SPEC.to_json(), encoding="utf-8")
    (tmp_path / "a.yaml").write_text(SPEC.to_yaml(), encoding="utf-8")
    (tmp_path / "a.yml").write_text(SPEC.to_yaml(), encoding="utf-8")
    (tmp_path / "a.py").write_text(
        "from ssl3d import ExperimentSpec\n"
        "from ssl3d_plugins.maskers import MiM\n"
        "spec = ExperimentSpec(masker=MiM(), losses=['mse', 'info_nce'], data={'volumes': "
        "'scans/'})\n",
        encoding="utf-8",
    )
    for ending in ("json", "yaml", "yml", "py"):
        assert ExperimentSpec.load(tmp_path / f"a.{ending}") == SPEC


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "a: [", "spec: not readable as YAML"),
        ("a.yaml", "- a", "spec: must be a mapping of options, got list"),
        ("a.yaml", "", "spec: must be a mapping of options, got NoneType"),
        ("a.yaml", "1: 2", "spec: 1 is no name of an option"),
        ("a.yaml", "masker: mmi\ndata: {volumes: a}", "masker: unknown masker 'mmi'"),
        ("a.json", "{", "spec: not readable as JSON"),
        ("a.json", "[]", "spec: must be a mapping of options, got list"),
        ("a.txt", "", "a.txt: ends with '.txt'; must end with .py, .json, .yaml, .yml"),
        ("a.py", "x = 1", "a.py: must define `spec`"),
        ("a.py", "spec = 1", "a.py: must define `spec`"),
        ("a.py", "x = 1\ny = x +", "SyntaxError"),
        ("a.py", "x = 1\ny = z", "a.py:2: NameError: name 'z' is not defined"),
        ("a.py", "import no_such_library", "a.py:1: ModuleNotFoundError"),
        (
            "a.py",
            "from ssl3d import ExperimentSpec\nspec = ExperimentSpec(masker='mmi')",
            "masker: unknown masker 'mmi'",
        ),
    ],
)
def test_a_file_that_holds_no_spec(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as error:
        ExperimentSpec.load(tmp_path / name)
    assert message in str(error.value)


def test_a_file_that_is_absent_or_no_text(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(SpecError, match=r"no such file: give a \.py, \.yaml or \.json file"):
            ExperimentSpec.load(path)
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match="cannot be read as text"):
        ExperimentSpec.load(tmp_path / "a.yaml")


def test_values_are_set_by_path() -> None:
    changed = SPEC.with_values(
        {
            "optimizer.lr": 1e-3,
            "losses.1.weight": 0.5,
            "data.patch.0": 32,
            "data.patch": [64, 64, 64],
            "masker.ratio": 0.5,
            "masker": "random",
            "data.normalise.clip": False,
            "cell": [16, 32, 32],
        }
    )
    assert changed.optimizer.lr == 1e-3
    assert [loss.weight for loss in changed.losses] == [1.0, 0.5]
    assert changed.data.patch == (32, 64, 64)
    assert changed.masker.model_dump() == {"name": "random", "ratio": 0.5, "block": (1, 1, 1)}
    assert changed.cell == (16, 32, 32)
    assert SPEC.with_values({}) == SPEC


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("optimiser.lr", "optimiser: unknown option. Did you mean 'optimizer'? Allowed: backbone"),
        ("optimizer.rate", "optimizer.rate: unknown option."),
        ("optimizer.lr.low", "optimizer.lr.low: optimizer.lr has no parts to set"),
        ("losses.2", "losses.2: '2' is no item of a list of 2"),
        ("losses.2.weight", "losses.2.weight: '2' is no item of a list of 2"),
        ("losses.mse.weight", "losses.mse.weight: 'mse' is no item of a list of 2"),
        ("target.x", "target: given {'name': 'patch_normalised', 'x': 1}; must be"),
        ("", ": unknown option"),
    ],
)
def test_a_path_that_leads_nowhere(path: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        SPEC.with_values({path: 1})
    assert message in str(error.value)


def test_json_is_plain() -> None:
    assert json.loads(SPEC.to_json()) == SPEC.to_dict()
    assert SPEC.to_dict()["masker"]["name"] == "mim"
