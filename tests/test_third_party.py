"""Strangers' distributions, installed with pip, add components that specs may name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
MASKER, BACKEND = EXAMPLES / "third_party_masker", EXAMPLES / "third_party_backend"
TASK = EXAMPLES / "third_party_task"
SPEC = """
backbone: {name: waveformer, widths: [16, 32], depths: [1, 1]}
masker: {name: checkerboard, block: 2, keep: 0.1}
cell: 4
data: {volumes: nowhere, patch: 16}
"""
GRADES = """
backbone: {name: resunet, widths: [4, 8], blocks: [1, 1]}
task: {name: grade, highest: 2}
data: {manifest: cases.csv, folds: 2, workers: 0, cache: {folder: cache}}
patch: 16
trainer: {steps: 2, accelerator: cpu, loggers: []}
"""
STEP = """
import torch
from ssl3d import ExperimentSpec

spec = ExperimentSpec.load("spec.yaml")
model = spec.build()
out = model(torch.rand(2, 1, 16, 16, 16), generator=torch.Generator().manual_seed(0))
out.loss.backward()
print(type(model.masker).__module__, out.levels.levels[0].float().mean().item())
"""
BACKEND_STEPS = """
import torch
from ssl3d import ExperimentSpec

spec = ExperimentSpec(
    backbone={"name": "resunet", "widths": [4, 8], "blocks": [1, 1]},
    masker="random",
    data={"volumes": "nowhere", "patch": 16},
)
volume = torch.rand(2, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
for name in ("dense", "gather"):
    torch.manual_seed(0)
    model = spec.replace(sparse_backend=name).build()
    out = model(volume, generator=torch.Generator().manual_seed(0))
    out.loss.backward()
    print(type(model.backend).__name__, out.loss.item())
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pip installed the examples into."""
    sources = []
    for example in (MASKER, BACKEND, TASK):
        sources.append(tmp_path_factory.mktemp("source") / example.name)
        shutil.copytree(example, sources[-1])  # pip leaves a build folder beside the sources
    target = tmp_path_factory.mktemp("site")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", target, *sources]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def run(site: Path, tmp_path: Path):
    """Run a command in a folder with the spec, with the example on the path."""
    (tmp_path / "spec.yaml").write_text(SPEC, encoding="utf-8")

    def start(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            check=False,
        )

    return start


def test_a_spec_that_names_it_takes_a_step(run) -> None:
    done = run("-c", STEP)
    assert done.returncode == 0, done.stderr
    module, share = done.stdout.split()
    assert module == "checkerboard_masker.masker"
    assert 0.3 < float(share) < 0.5


def test_its_options_are_validated_with_their_full_path(run) -> None:
    for setting, message in {
        "masker.block=0": "masker.block: given 0; must be greater than or equal to 1",
        "masker.kep=0.1": "masker.kep: unknown option. Did you mean 'keep'? Allowed: block, keep",
        "masker.block=9": "masker.block: given 9; the grid of 4 × 4 × 4 cells must be longer",
        "masker=chekerboard": "masker: unknown masker 'chekerboard'. Did you mean 'checkerboard'?",
    }.items():
        command = ["-m", "ssl3d", "pretrain", "spec.yaml", "--dry-run", "--set", setting]
        done = run(*command)
        assert done.returncode == 2, done.stderr
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def test_it_is_listed_with_its_distribution_units_and_bounds(run) -> None:
    done = run("-m", "ssl3d", "components", "checkerboard", "--json")
    assert done.returncode == 0, done.stderr
    (component,) = json.loads(done.stdout)["components"]
    assert component["distribution"] == "checkerboard-masker"
    assert component["version"] == "1.0.0"
    block, keep = component["options"]
    assert (block["unit"], block["bounds"], block["default"]) == ("cells", "x ≥ 1", 1)
    assert (keep["type"], keep["bounds"]) == ("float", "0 ≤ x < 1")


def test_it_meets_the_contract_of_a_masker(run) -> None:
    tests = str(MASKER / "test_checkerboard.py")
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, tests)
    assert done.returncode == 0, done.stdout


def test_the_task_meets_the_contract_of_one_and_is_listed(run) -> None:
    tests = str(TASK / "test_grade.py")
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, tests)
    assert done.returncode == 0, done.stdout
    done = run("-m", "ssl3d", "components", "grade", "--json")
    (component,) = json.loads(done.stdout)["components"]
    assert (component["kind"], component["distribution"]) == ("task", "grade-task")


@pytest.mark.slow
def test_the_backend_meets_the_contract_of_one(run) -> None:
    tests = str(BACKEND / "test_gather.py")
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, tests)
    assert done.returncode == 0, done.stdout
    assert " skipped" not in done.stdout


def test_a_step_with_the_backend_is_the_step_by_definition(run) -> None:
    done = run("-c", BACKEND_STEPS)
    assert done.returncode == 0, done.stderr
    dense, gather = (line.split() for line in done.stdout.splitlines())
    assert gather[0] == "GatherBackend"
    assert float(gather[1]) == pytest.approx(float(dense[1]), rel=1e-5)


def test_the_backend_is_small() -> None:
    files = [path for path in BACKEND.rglob("*.py") if "build" not in path.parts]
    assert len(files) == 3
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files) < 80


def test_without_it_nothing_knows_its_name(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC, encoding="utf-8")
    command = [sys.executable, "-m", "ssl3d", "pretrain", "spec.yaml", "--dry-run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "masker: unknown masker 'checkerboard'." in done.stderr


@pytest.mark.slow
def test_the_task_is_fine_tuned_for(run, tmp_path: Path) -> None:
    """By the command, from a table that has its column."""
    lines = ["image,group,grade"]
    for case in range(6):
        voxels = np.random.default_rng(case).normal(size=(16, 16, 16)).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / f"{case}.nii.gz")
        lines.append(f"{case}.nii.gz,{case},{case % 3}")
    (tmp_path / "cases.csv").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "grades.yaml").write_text(GRADES, encoding="utf-8")
    done = run("-m", "ssl3d", "finetune", "grades.yaml", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "mae" in (tmp_path / "run" / "test" / "metrics.csv").read_text(encoding="utf-8")
    described = json.loads((tmp_path / "run" / "model.json").read_text(encoding="utf-8"))
    assert described["task"]["name"] == "grade"
    assert "grade-task" in described["from"]["task"]
