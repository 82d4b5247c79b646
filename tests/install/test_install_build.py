"""A failed build names its cause. The setup scripts here only pretend to compile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ssl3d_plugins.sparse_minkowski.install.build import (
    build_command,
    build_wheel,
    compile_environment,
)
from ssl3d_plugins.sparse_minkowski.install.diagnose import diagnose
from ssl3d_plugins.sparse_minkowski.install.install_error import InstallError
from ssl3d_plugins.sparse_minkowski.install.process import build_environment
from ssl3d_plugins.sparse_minkowski.install.target import BuildTarget

BUILDS = """
import pathlib
print("[1/2] c++ a.cpp")
print("[2/2] c++ b.cpp")
pathlib.Path("dist").mkdir()
pathlib.Path("dist/fake-1-py3-none-any.whl").write_bytes(b"wheel")
"""


def _build(script: str, *, folder: Path, target: BuildTarget) -> tuple[Path, list[tuple[int, int]]]:
    source = folder / "source"
    source.mkdir()
    (source / "setup.py").write_text(script)
    progress: list[tuple[int, int]] = []
    wheel = build_wheel(
        source,
        target=target,
        env=build_environment(folder / "bin"),
        log=folder / "build.log",
        on_progress=lambda done, total: progress.append((done, total)),
    )
    return wheel, progress


def test_wheel_and_progress(tmp_path: Path, cpu_target: BuildTarget) -> None:
    wheel, progress = _build(BUILDS, folder=tmp_path, target=cpu_target)
    assert wheel.read_bytes() == b"wheel"
    assert progress == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("output", "reason", "advice"),
    [
        ("g++: fatal error: Killed signal terminated program cc1plus", "memory", "MAX_JOBS=1"),
        ("nvcc error   : 'cicc' died due to signal 9 (Kill signal)", "memory", "MAX_JOBS=1"),
        ("clang++: error: unable to execute command: Killed", "memory", "MAX_JOBS=1"),
        ("Killed", "memory", "MAX_JOBS=1"),
        ("/bin/sh: line 1:  4242 Killed                  nvcc -c a.cu", "memory", "MAX_JOBS=1"),
        ("FAILED: [code=137] /tmp/build/a.o", "memory", "MAX_JOBS=1"),
        ("Command '['ninja', '-v']' returned non-zero exit status 137.", "memory", "MAX_JOBS=1"),
        ("Command '['nvcc']' died with <Signals.SIGKILL: 9>.", "memory", "MAX_JOBS=1"),
        ("g++: error: unrecognized command-line option '-std=c++20'", "too old", "GCC 11"),
        ("#error -- unsupported GNU version! gcc versions later than 12", "too new", "g++-12"),
        ("nvcc fatal   : Unsupported gpu architecture 'compute_70'", "GPU", "TORCH_CUDA_ARCH_LIST"),
        ("OSError: [Errno 28] No space left on device", "disk", "TMPDIR"),
    ],
)
def test_known_causes_are_named(
    tmp_path: Path, cpu_target: BuildTarget, output: str, reason: str, advice: str
) -> None:
    script = f"print({output!r}); raise SystemExit(1)"
    with pytest.raises(InstallError) as caught:
        _build(script, folder=tmp_path, target=cpu_target)
    assert caught.value.step == "compile"
    assert reason in caught.value.reason
    assert advice in caught.value.advice


@pytest.mark.parametrize(
    "end",
    ["raise SystemExit(137)", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"],
)
def test_a_build_that_the_system_ends_ran_out_of_memory(
    tmp_path: Path, cpu_target: BuildTarget, end: str
) -> None:
    with pytest.raises(InstallError, match="ran out of memory") as caught:
        _build(end, folder=tmp_path, target=cpu_target)
    assert "MAX_JOBS=1" in caught.value.advice


@pytest.mark.parametrize(
    "output", ["error: exit status 13", "src/a.cu: 9 unkilled rows", "error 1379: no such name"]
)
def test_other_words_are_not_taken_for_it(output: str) -> None:
    assert diagnose(output) is None


def test_unknown_cause_shows_the_end_of_the_output(tmp_path: Path, cpu_target: BuildTarget) -> None:
    script = "print('the moon is in the wrong house'); raise SystemExit(3)"
    with pytest.raises(InstallError, match="status 3") as caught:
        _build(script, folder=tmp_path, target=cpu_target)
    assert "wrong house" in caught.value.reason
    assert caught.value.log == tmp_path / "build.log"


def test_success_without_a_wheel_is_a_failure(tmp_path: Path, cpu_target: BuildTarget) -> None:
    with pytest.raises(InstallError, match="status 0"):
        _build("pass", folder=tmp_path, target=cpu_target)


def test_command_builds_for_the_target(cpu_target: BuildTarget) -> None:
    assert build_command(cpu_target, nice=True)[:3] == ["nice", "-n", "10"]
    assert build_command(cpu_target, nice=False)[-2:] == ["--cpu_only", "--blas=openblas"]
    target = replace(cpu_target, cuda="12.1", architectures=("8.0", "9.0+PTX"))
    assert "--force_cuda" in build_command(target, nice=False)
    env = compile_environment(target, env={"CUDA_HOME": "/opt/cuda", "CFLAGS": "-march=native"})
    assert env["TORCH_CUDA_ARCH_LIST"] == "8.0;9.0+PTX"
    assert env["CUDA_HOME"] == "/opt/cuda"
    assert env["CFLAGS"] == "-march=native -g0"
    assert int(env["MAX_JOBS"]) >= 1
