"""What the README tells people to run is there and would run."""

from __future__ import annotations

import csv
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from ssl3d import ExperimentSpec, FinetuneSpec
from ssl3d.data.files import find_sources
from ssl3d.tasks.encoder import load_encoder

ROOT = Path(__file__).parents[1]
TUNED = ROOT / "examples" / "finetune_hippocampus.py"
SPECS = [
    *sorted(set((ROOT / "examples").glob("*.py")) - {TUNED}),
    ROOT / "examples" / "nnunet" / "pretrain.py",
]
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


def test_the_example_of_fine_tuning_differs_from_scratch_in_its_start_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = FinetuneSpec.load(TUNED)
    assert spec.encoder is not None
    encoder = load_encoder(spec.encoder)
    scratch = runpy.run_path(str(TUNED))["scratch"]
    assert spec.replace(encoder=None, backbone=scratch.backbone) == scratch
    started = scratch.backbone.build(in_channels=1)
    assert {n: v.shape for n, v in encoder.state_dict().items()} == {
        n: v.shape for n, v in started.state_dict().items()
    }


def test_no_person_of_the_example_was_pre_trained_on_and_is_tested_on() -> None:
    result = ROOT / "benchmarks" / "results" / "evidence" / "hippocampus" / "pretrain-x5.json"
    read = {int(case[-3:]) for case in json.loads(result.read_text(encoding="utf-8"))["read"]}
    seen = {(number + 1) // 2 for number in read}  # cases 2k-1 and 2k are one person's
    table = ROOT / "examples" / "data" / "hippocampus_labels" / "cases.csv"
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    tested = {int(row["group"][-3:]) for row in rows if row["fold"] == "0"}
    learned = {int(row["group"][-3:]) for row in rows if row["fold"] == "1"}
    assert len(tested) == 4
    assert not tested & (seen | learned)
    for row in rows:
        assert (int(row["label"][12:15]) + 1) // 2 == int(row["group"][-3:]), row


@pytest.mark.slow
def test_the_example_of_fine_tuning_runs_from_weights_and_from_scratch(tmp_path: Path) -> None:
    command = [sys.executable, TUNED, "--out", tmp_path / "runs", "--steps", "2"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
    assert "from-weights: Dice" in done.stdout
    assert "from-scratch: Dice" in done.stdout


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_a_program_that_stops_at_the_first_error(path: Path) -> None:
    assert path.stat().st_mode & 0o111
    assert "set -euo pipefail" in path.read_text(encoding="utf-8")
    subprocess.run(["bash", "-n", path], check=True)


def test_the_page_of_options_is_current() -> None:
    page = runpy.run_path(str(ROOT / "scripts" / "options_page.py"))["page"]()
    current = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    assert page == current, "run: python scripts/options_page.py"
