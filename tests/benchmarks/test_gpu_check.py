"""The check for a GPU works in its small form on a CPU, wherever rooms have moved."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
GPU = ROOT / "benchmarks" / "gpu"
PARTS = """
import sys
import gpu_bench, roofline

tiny = ["--device", "cpu", "--tiny", "--rounds", "1", "--out", sys.argv[1]]
for part in ("ceilings", "leak", "layers", "loader"):
    gpu_bench.main([part, *tiny])
for part in ("step", "waits"):
    gpu_bench.main([part, "tiny_wave", "tiny_res", *tiny])
gpu_bench.main(["step", "tiny_wave", "--compile", *tiny])
counts = sys.argv[1] + "/roofline.json"
roofline.main(["tiny_wave", "tiny_res", "--ways", "chosen", "all pairs", "--out", counts])
"""


def run(*command: str | Path, folder: Path = GPU, **environment: str) -> str:
    """What a command prints; it must succeed."""
    settings = {"OMP_NUM_THREADS": "1", "COMPILE_BACKEND": "eager", **environment}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each part wrote."""
    out = tmp_path_factory.mktemp("parts")
    run(sys.executable, "-c", PARTS, out)
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in out.glob("*.json")}


@pytest.mark.slow
def test_a_step_is_timed_in_every_form(found: dict[str, Any]) -> None:
    steps = found["step_tiny_wave_tiny_res"]["found"]
    plain = ["visible", "zeroed", "zeroed cl", "visible static"]
    assert sorted(steps["tiny_wave"]) == sorted(steps["tiny_res"]) == sorted(plain)
    compiled = found["step_compile_tiny_wave"]["found"]["tiny_wave"]
    both = ["visible static", "visible static, compile", "zeroed cl", "zeroed cl static, compile"]
    assert sorted(compiled) == both
    for form in [*steps["tiny_wave"].values(), *steps["tiny_res"].values(), *compiled.values()]:
        assert "error" not in form, form
        assert form["whole"]["ms"] > 0


@pytest.mark.slow
def test_nothing_leaks_and_everything_else_was_found(found: dict[str, Any]) -> None:
    leak = found["leak"]["found"]
    assert set(leak) == {f"tiny_{net} {p}" for net in ("wave", "res") for p in ("fp32", "bf16")}
    for row in leak.values():
        assert row["no leak"]
        assert row["finite"]
        assert row["gradients repeat"]
    layers = found["layers"]["found"]["rows"]
    assert {row["edge"] for row in layers} == {8, 4, 2, 1}
    assert all({"dense", "chosen", "halo", "all pairs"} <= set(row["ms"]) for row in layers)
    if importlib.util.find_spec("triton"):
        assert any("fused" in row["ms"] for row in layers)
    assert set(found["waits_tiny_wave_tiny_res"]["found"]) == {"tiny_wave", "tiny_res"}
    crops = found["loader"]["found"]
    assert crops["32³, single, 1 workers"] > 0
    assert crops["32³, half, 1 workers"] > 0
    whole, half = (crops[f"32³, {name}, a batch"] for name in ("single", "half"))
    assert half["MiB"] == whole["MiB"] / 2
    assert found["ceilings"]["found"]["copy TB/s"] > 0


@pytest.mark.slow
def test_a_step_is_counted_without_computing_it(found: dict[str, Any]) -> None:
    rows = {(r["network"], r["form"], r["way"]): r["step"] for r in found["roofline"]}
    for network in ("tiny_wave", "tiny_res"):
        dense = rows[network, "zeroed", "dense"]
        visible = rows[network, "visible", "chosen"]
        assert 0 < visible["TFLOP"] < dense["TFLOP"]
    # Halo boxes everywhere, a GPU's choice, are fewer operations than pairs.
    chosen, pairs = (rows["tiny_res", "visible", way]["ops"] for way in ("chosen", "all pairs"))
    assert chosen < pairs


@pytest.mark.slow
def test_the_tests_for_a_gpu_pass_on_a_cpu() -> None:
    few = "gradients_repeat or half_of_the_bytes or chosen and one_grid or MSEOver"
    options = ["-q", "-n", "0", "-p", "no:cacheprovider", "-m", "gpu", "-k", few]
    command = [sys.executable, "-m", "pytest", *options, "tests/gpu"]
    assert " passed" in run(*command, folder=ROOT, SSL3D_TEST_DEVICE="cpu")


def test_the_best_dense_form_of_all_parts_is_what_shares_are_of() -> None:
    eager = {"visible": form(4), "zeroed": form(10), "zeroed cl": form(9)}
    compiled = {"zeroed cl, compile": form(8), "visible, compile": {"error": "x"}}
    parts = {
        "step_a": {"found": {"net": eager}},
        "step_compile_a": {"found": {"net": compiled}},
        "step_b": {"found": {"other": {"visible": form(1)}}},
        "leak": {"found": {}},
    }
    collect = importlib.util.spec_from_file_location("collect", GPU / "collect.py")
    assert collect is not None
    assert collect.loader is not None
    module = importlib.util.module_from_spec(collect)
    collect.loader.exec_module(module)
    table = module.shares(parts)
    assert table == {
        "net": {"best dense": "zeroed cl, compile", "ms": 8.0, "shares": {"visible": 0.5}}
    }
    (line,) = module.lines(table)
    assert "zeroed cl, compile 8.00 ms; visible 0.50" in line


def form(milliseconds: float) -> dict[str, float]:
    return {"pipelined ms": milliseconds}


def test_the_script_works_from_a_copy_and_says_what_failed(tmp_path: Path) -> None:
    shutil.copytree(GPU, tmp_path / ".gpu", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "pyproject.toml", tmp_path)
    settings = {"DEVICE": "cpu", "TINY": "1", "PYTHON": sys.executable, "OUT": f"{tmp_path}/out"}
    done = subprocess.run(
        ["bash", tmp_path / ".gpu" / "gpu_check.sh"],
        env={**os.environ, **settings, "PARTS": "ceilings triton nonsense"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "-- ceilings: rc 0" in done.stdout
    assert re.search("-- triton: (rc 0|not installed)", done.stdout), done.stdout
    assert "-- nonsense: unknown" in done.stdout
    assert done.stdout == (tmp_path / "out" / "summary.txt").read_text(encoding="utf-8")
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert set(results) <= {"ceilings", "fused_blocks"}


@pytest.mark.parametrize("path", sorted(GPU.glob("*.py")), ids=lambda path: path.name)
def test_what_a_script_takes_from_the_project_is_there(path: Path) -> None:
    """For those too that need a library which is not here (Triton)."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        module = node.module if isinstance(node, ast.ImportFrom) else None
        if module and module.split(".")[0] in ("ssl3d", "ssl3d_plugins"):
            for name in node.names:  # type: ignore[attr-defined]
                found = importlib.import_module(module)
                if not hasattr(found, name.name):
                    importlib.import_module(f"{module}.{name.name}")
