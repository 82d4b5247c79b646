"""What the README tells people to run is there and would run."""

from __future__ import annotations

import runpy
import subprocess
from pathlib import Path

import pytest

from ssl3d import ExperimentSpec
from ssl3d.data.files import find_sources

ROOT = Path(__file__).parents[1]
SPECS = [*sorted((ROOT / "examples").glob("*.py")), ROOT / "examples" / "nnunet" / "pretrain.py"]
SCRIPTS = [
    *sorted((ROOT / "scripts").glob("*.sh")),
    *sorted((ROOT / "examples").rglob("*.sh")),
    ROOT / ".ci" / "run",
]


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_an_example_is_a_spec_whose_volumes_are_here(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # it may be started from anywhere
    spec = ExperimentSpec.load(path)
    assert ExperimentSpec.from_yaml(spec.to_yaml()) == spec
    assert len(find_sources(spec.data)) >= 24


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_a_program_that_stops_at_the_first_error(path: Path) -> None:
    assert path.stat().st_mode & 0o111
    assert "set -euo pipefail" in path.read_text(encoding="utf-8")
    subprocess.run(["bash", "-n", path], check=True)


def test_the_page_of_options_is_current() -> None:
    page = runpy.run_path(str(ROOT / "scripts" / "options_page.py"))["page"]()
    current = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    assert page == current, "run: python scripts/options_page.py"
