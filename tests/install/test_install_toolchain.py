"""What the build needs is looked for beforehand, and everything missing is named at once."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ssl3d_plugins.sparse_minkowski.install import machine, toolchain
from ssl3d_plugins.sparse_minkowski.install.install_error import InstallError
from ssl3d_plugins.sparse_minkowski.install.machine import GIB, compile_jobs
from ssl3d_plugins.sparse_minkowski.install.target import BuildTarget


def _tool(folder: Path, *, name: str, script: str = "exit 0") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "available_memory", lambda: 8 * GIB)


@pytest.mark.usefixtures("memory")
def test_empty_path_misses_compiler_and_ninja(tmp_path: Path, cpu_target: BuildTarget) -> None:
    with pytest.raises(InstallError) as caught:
        toolchain.check_tools(cpu_target, env={"PATH": str(tmp_path)})
    assert caught.value.step == "check tools"
    assert "C++ compiler" in caught.value.reason
    assert "ninja" in caught.value.reason
    assert "g++" in caught.value.advice
    assert "pip install ninja" in caught.value.advice


@pytest.mark.usefixtures("memory")
def test_compiler_named_by_cxx_must_exist(cpu_target: BuildTarget) -> None:
    env = {**os.environ, "CXX": "no-such-compiler"}
    assert any(
        "no-such-compiler" in item.what for item in toolchain.find_missing(cpu_target, env=env)
    )


@pytest.mark.usefixtures("memory")
def test_missing_openblas_is_named(tmp_path: Path, cpu_target: BuildTarget) -> None:
    _tool(tmp_path, name="c++", script="echo 'cblas.h: No such file' >&2; exit 1")
    _tool(tmp_path, name="ninja")
    (item,) = toolchain.find_missing(cpu_target, env={"PATH": str(tmp_path)})
    assert "OpenBLAS" in item.what
    assert "libopenblas-dev" in item.advice


@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler on PATH")
def test_openblas_is_really_compiled_against(tmp_path: Path) -> None:
    """A header in place of OpenBLAS's, whose function the library does not hold, is found out."""
    (tmp_path / "cblas.h").write_text(
        "#define cblas_ddot no_such_function\n"
        "double cblas_ddot(int, const double*, int, const double*, int);\n"
    )
    env = {**os.environ, "CPLUS_INCLUDE_PATH": str(tmp_path), "CPATH": str(tmp_path)}
    assert not toolchain.links_openblas("c++", env=env)


def test_too_little_memory_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cpu_target: BuildTarget
) -> None:
    monkeypatch.setattr(toolchain, "available_memory", lambda: GIB // 2)
    _tool(tmp_path, name="c++")
    _tool(tmp_path, name="ninja")
    env = {"PATH": str(tmp_path)}
    (item,) = toolchain.find_missing(cpu_target, env=env)
    assert item.what.startswith("memory (0.5 GiB")
    assert not list(toolchain.find_missing(cpu_target, env={**env, "MAX_JOBS": "1"}))


@pytest.mark.usefixtures("memory")
def test_cuda_compiler_and_headers(tmp_path: Path, cpu_target: BuildTarget) -> None:
    target = replace(cpu_target, cuda="12.6", architectures=("9.0",))
    _tool(tmp_path / "bin", name="c++")
    _tool(tmp_path / "bin", name="ninja")
    env = {"PATH": str(tmp_path / "bin"), "CUDA_HOME": str(tmp_path)}

    def missing() -> list[str]:
        return [item.what for item in toolchain.find_missing(target, env=env)]

    assert missing() == ["the CUDA compiler (nvcc) for CUDA 12.6"]
    _tool(tmp_path / "bin", name="nvcc", script="echo 'Cuda compilation tools, release 13.0,'")
    assert "release 13.0" in missing()[0]
    _tool(tmp_path / "bin", name="nvcc", script="echo 'Cuda compilation tools, release 12.1,'")
    assert "cusparse.h" in missing()[0]
    (tmp_path / "include").mkdir()
    for header in toolchain._CUDA_HEADERS:
        (tmp_path / "include" / header).touch()
    assert missing() == []


@pytest.mark.parametrize(
    ("cores", "gib", "jobs"), [(8, 64, 8), (8, 7, 3), (8, 1, 1), (2, 24, 2), (1, 64, 1)]
)
def test_jobs_follow_cores_and_memory(
    monkeypatch: pytest.MonkeyPatch, cores: int, gib: int, jobs: int
) -> None:
    monkeypatch.setattr(machine, "_cores", lambda: cores)
    monkeypatch.setattr(machine, "available_memory", lambda: gib * GIB)
    assert compile_jobs({}, cuda=False) == jobs
    assert 1 <= compile_jobs({}, cuda=True) <= jobs
    assert compile_jobs({"MAX_JOBS": "5"}, cuda=False) == 5


def test_available_memory_is_within_the_machine() -> None:
    free = machine.available_memory()
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert free is not None
    assert 0 < free <= total
