"""The program beside plugins that do not work, and plugins that bring commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

STRIPES = """
from typing import Literal
from ssl3d import hookimpl
from ssl3d.kinds.masker_config import MaskerConfig

class Stripes(MaskerConfig):
    name: Literal["{name}"] = "{name}"
    def build(self): ...

@hookimpl
def ssl3d_components():
    return (Stripes,)
"""
HALF = "from __future__ import annotations\n" + STRIPES.format(name="half").replace(
    "    def", "    file: Path | None = None\n    def"
)
TALKS = "import os\nprint('loud')\nos.system('echo loud')\n" + STRIPES.format(name="loud")
SPEC = """
backbone: {name: waveformer, widths: [16, 32], depths: [1, 1]}
data: {volumes: nowhere, patch: 16}
"""


@pytest.fixture
def plugin(tmp_path: Path):
    """Install a plugin beside ours; `mine` is its module, `mine-masker` its distribution."""

    def make(module: str, source: str, *, groups: tuple[str, ...] = ("ssl3d",)) -> None:
        info = tmp_path / f"{module}_masker-1.0.dist-info"
        info.mkdir()
        name = f"Metadata-Version: 2.1\nName: {module}-masker\nVersion: 1.0\n"
        (info / "METADATA").write_text(name, encoding="utf-8")
        points = "".join(f"[{group}]\n{module} = {module}\n" for group in groups)
        (info / "entry_points.txt").write_text(points, encoding="utf-8")
        (tmp_path / f"{module}.py").write_text(source, encoding="utf-8")

    return make


@pytest.fixture
def run(tmp_path: Path):
    """Run the program in a process of its own, where the plugins are."""

    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "spec.yaml").write_text(SPEC, encoding="utf-8")
        return subprocess.run(
            [sys.executable, "-m", "ssl3d", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )

    return start


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import sys\nsys.exit('CUDA not found')\n", "SystemExit: CUDA not found"),
        (HALF, "TypeError: Stripes: name 'Path' is not defined"),
    ],
)
def test_a_broken_plugin_is_listed_and_the_others_work(plugin, run, source: str, why: str) -> None:
    plugin("broken", source)
    listed = run("components")
    assert listed.returncode == 0, listed.stderr
    assert "waveformer" in listed.stdout
    assert listed.stdout.count(f"Plugin broken of broken-masker could not be loaded: {why}") == 1
    assert json.loads(run("schema").stdout)["properties"]
    (failure,) = json.loads(run("components", "random", "--json").stdout)["failures"]
    assert (failure["plugin"], failure["distribution"]) == ("broken", "broken-masker")
    assert run("pretrain", "spec.yaml", "--dry-run").returncode == 0


def test_json_is_all_that_is_printed(plugin, run) -> None:
    plugin("talks", TALKS)
    for command in (("components", "--json"), ("schema",)):
        done = run(*command)
        assert json.loads(done.stdout)
        assert done.stderr.count("loud") == 2


def test_two_plugins_of_one_name_hurt_specs_that_use_it(plugin, run) -> None:
    plugin("one", STRIPES.format(name="mim"))
    listed = run("components")
    assert listed.returncode == 0
    clash = (
        "masker 'mim' is declared by plugin 'maskers' of ssl3d and by plugin 'one' of one-masker"
    )
    assert listed.stdout.count(clash) == 1
    assert json.loads(run("components", "--json").stdout)["clashes"][0].startswith(clash)
    assert run("pretrain", "spec.yaml", "--dry-run").returncode == 0
    for wrong in (
        run("components", "mim"),
        run("pretrain", "spec.yaml", "--set", "masker=mim", "--dry-run"),
    ):
        assert wrong.returncode == 2
        assert wrong.stderr.count("is declared by plugin") == 1
    assert wrong.stderr.startswith(f"Error: masker: {clash}")


PAINT = """
from ssl3d.plugin.hooks import hookimpl

@hookimpl
def ssl3d_commands():
    return [("{name}", "brush:app", "Paint a volume.")]
"""
BRUSH = """
import typer

app = typer.Typer()

@app.command()
def paint(colour: str) -> None:
    print("painted", colour)
"""


def test_a_plugins_command_is_listed_without_its_code_and_runs(plugin, run, tmp_path: Path) -> None:
    plugin("paint_box", PAINT.format(name="paint"), groups=("ssl3d", "ssl3d.commands"))
    shown = run("--help")
    assert shown.returncode == 0
    assert "\n  paint       Paint a volume.\n" in shown.stdout
    missing = run("paint", "blue")
    assert missing.returncode == 2
    assert "'paint' of plugin paint_box (paint_box-masker) cannot be loaded" in missing.stderr
    (tmp_path / "brush.py").write_text(BRUSH, encoding="utf-8")
    done = run("paint", "blue")
    assert (done.returncode, done.stdout) == (0, "painted blue\n")
    assert "Usage: ssl3d paint" in run("paint", "--help").stdout
    assert run("paint").returncode == 2


def test_a_command_of_another_is_not_taken(plugin, run) -> None:
    plugin("paint_box", PAINT.format(name="schema"), groups=("ssl3d", "ssl3d.commands"))
    plugin("broken", "raise SystemExit(3)", groups=("ssl3d.commands",))
    shown = run("--help")
    assert shown.returncode == 0
    assert "Print the JSON schema" in shown.stdout
    assert "Paint a volume" not in shown.stdout
    assert "is left out: its command 'schema' is another's as well" in shown.stderr
    assert "Plugin broken of broken-masker could not be loaded: SystemExit: 3" in shown.stderr
    assert json.loads(run("schema").stdout)
