"""Specs as files, and values set by path."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from ssl3d import ExperimentSpec
from ssl3d.plugin.registry import installed
from ssl3d.plugin.spec_error import SpecError
from ssl3d.plugin.spec_file import from_yaml, parse_yaml, to_yaml

SPEC = ExperimentSpec(masker="mim", losses=["mse", "info_nce"], data={"volumes": "scans/"})
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)
PATH = TEXT.filter(lambda text: not text.startswith("~"))  # the home of a user that is not known
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
    volumes=PATH | st.lists(PATH, min_size=1),
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
            {"name": "l1", "weight": weights[1], "label": f"l1 {label}".replace("/", "|")},
            {"name": "l1", "label": label.replace("/", "|")},
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
        ("a.yaml", "1: 2", "line 1: 1 is no name of an option"),
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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("+12", 12),
        ("-.5", -0.5),
        ("7.", 7.0),
        ("1:30", "1:30"),
        ("1:30.5", "1:30.5"),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("2020-01-01", "2020-01-01"),
        ("yes", "yes"),
        ("No", "No"),
        ("on", "on"),
        ("Off", "Off"),
        ("y", "y"),
        ("TRUE", True),
        ("false", False),
        ("~", None),
        ("-.Inf", float("-inf")),
        ("=", "="),
        ("<<", "<<"),
        ("!!str 12", "12"),
        ("!!float 12", 12.0),
        ("&a [1, *a]".replace("*a", "2"), [1, 2]),
    ],
)
def test_yaml_is_read_by_the_core_schema_of_1_2(text: str, value: Any) -> None:
    read = parse_yaml(text)
    assert read == value
    assert type(read) is type(value)
    assert from_yaml(to_yaml({"value": read})) == {"value": value}
    if isinstance(value, str):
        # Others, who read YAML 1.1, get the text as well.
        assert yaml.safe_load(to_yaml({"value": value})) == {"value": value}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\n\nseed: 2", "line 3: 'seed' is given twice"),
        ("data: {patch: 1, patch: 2}", "line 1: 'patch' is given twice"),
        ("'a': 1\na: 2", "line 2: 'a' is given twice"),
        ("losses:\n- {name: mse, name: l1}", "line 2: 'name' is given twice"),
        ("a:\n  1: 2", "line 2: 1 is no name of an option: names are text"),
        ("true: 2", "line 1: True is no name of an option: names are text"),
        ("? [a]\n: 2", "line 1: ['a'] is no name of an option: names are text"),
        ("? {}\n: 2", "line 1: {} is no name of an option: names are text"),
        ("a: !!python/name:os.system", "line 1: the tag 'tag:yaml.org,2002:python/name:os.system'"),
        ("a: !!binary aGk=", "line 1: the tag 'tag:yaml.org,2002:binary' is not read"),
        ("a: !!set {b}", "line 1: the tag 'tag:yaml.org,2002:set' is not read"),
        ("a: !mine 1", "line 1: the tag '!mine' is not read"),
        ("a: !!int 1:30", "line 1: '1:30' is no int"),
        ("a: !!bool maybe", "line 1: 'maybe' is no bool"),
        ("a: !!int [1]", "line 1: expected a scalar node"),
        ("a: !!map x", "line 1: expected a mapping node"),
        ("a: 1\n---\nb: 2", "line 2: expected a single document in the stream"),
        ("a: *b", "line 1: found undefined alias"),
        ("a:\n\tb: 1", "line 2: while scanning for the next token"),
        ("\n\na: \0", "line 3: the character #x0000"),
        ("a: " + "9" * 5000, "line 1: a number of 5000 digits fits no option"),
        ("a: " + "[" * 10**5, "line 1: more than 32 levels of nesting"),
        ("a: " + "{b: " * 10**5, "line 1: more than 32 levels of nesting"),
        ("- " * 10**5, "line 1: more than 32 levels of nesting"),
        ("%YAML 3.0\n---\na: 1", "line 1: found incompatible YAML document"),
    ],
)
def test_yaml_that_holds_no_spec_is_one_line_that_says_where(text: str, message: str) -> None:
    start = time.process_time()
    with pytest.raises(SpecError) as error:
        ExperimentSpec.from_yaml(text)
    assert time.process_time() - start < 5
    assert str(error.value).startswith(f"spec: not readable as YAML: {message}")
    assert len(str(error.value)) < 300
    assert str(error.value).isprintable()


def test_a_small_text_that_stands_for_a_large_value_is_quick() -> None:
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for name, before in zip("bcdefghij", "abcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]")
    start = time.process_time()
    for option in ("masker", "cell", "target", "optimizer", "losses", "init"):
        with pytest.raises(SpecError):
            ExperimentSpec.from_yaml("\n".join([*lines, f"{option}: *j", "data: {volumes: *i}"]))
        with pytest.raises(SpecError):
            ExperimentSpec.from_yaml(f"{option}: &x [*x]\ndata: {{volumes: &y [*y]}}")
    assert time.process_time() - start < 30


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"seed": 1, "seed": 2}', "'seed' is given twice"),
        ('{"data": {"patch": 1, "patch": 2}}', "'patch' is given twice"),
        ('{"seed": ' + "9" * 5000 + "}", "a number of 5000 digits fits no option"),
        ('{"a": ' + "[" * 10**5, "nested too deep"),
        ('{"a": ' * 10**5, "nested too deep"),
    ],
)
def test_json_that_holds_no_spec_is_one_line(text: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        ExperimentSpec.from_json(text)
    assert str(error.value) == f"spec: not readable as JSON: {message}"


def test_what_is_no_json_number_is_told_with_its_path() -> None:
    for text in ("NaN", "-Infinity", "1e999"):
        with pytest.raises(SpecError, match=r"^optimizer.lr: given .*; must be a finite number$"):
            ExperimentSpec.from_json(
                f'{{"optimizer": {{"lr": {text}}}, "data": {{"volumes": "a"}}}}'
            )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_may_begin_with_a_mark(tmp_path: Path, encoding: str) -> None:
    spec = SPEC.with_values({"data.volumes": "scans/Jürgen"})
    (tmp_path / "a.json").write_text(spec.to_json(), encoding=encoding)
    (tmp_path / "a.yaml").write_text(spec.to_yaml(), encoding=encoding)
    assert ExperimentSpec.load(tmp_path / "a.json") == spec
    assert ExperimentSpec.load(tmp_path / "a.yaml") == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import sys\nsys.exit(3)", "a.py:2: SystemExit: 3"),
        ("raise ValueError('a\\nb' * 1000)", "a.py:1: ValueError: a\\nba\\nb"),
        ("def f(): f()\nf()", "a.py:1: RecursionError: maximum recursion depth"),
        (
            "from ssl3d_plugins.waveformer import WaveFormer\nspec = WaveFormer(widths=(0,), a=1)",
            "a.py:2: ValidationError: WaveFormer.widths: Value error, given (0,); each must be a "
            "whole number from 1 to 65536; WaveFormer.a: Extra inputs are not permitted",
        ),
    ],
)
def test_a_python_file_that_fails_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.py").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as error:
        ExperimentSpec.load(tmp_path / "a.py")
    assert message in str(error.value)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 2500


def test_a_part_of_a_path_that_is_no_index() -> None:
    for part in ("-1", "²", "01", "9" * 5000, "\0"):
        with pytest.raises(SpecError, match="is no item of a list of 2"):
            SPEC.with_values({f"losses.{part}": "mse"})
