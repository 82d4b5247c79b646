"""What compiling MinkowskiEngine needs, looked for before anything is built."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ssl3d.install.errors import InstallError
from ssl3d.install.machine import GIB, available_memory, memory_per_job
from ssl3d.install.target import BuildTarget

_CUDA_HEADERS: Final = ("cuda_runtime.h", "cublas_v2.h", "cusparse.h", "cusolverDn.h", "curand.h")


@dataclass(frozen=True)
class Missing:
    """A thing that the build needs and this machine lacks."""

    what: str
    advice: str


def check_tools(target: BuildTarget, *, env: Mapping[str, str]) -> None:
    """Look for every tool before the build and report all that is missing at once.

    Args:
        env: environment of the build; its PATH is searched.

    Raises:
        InstallError: something is missing.
    """
    missing = find_missing(target, env=env)
    if missing:
        raise InstallError(
            "check tools",
            reason="missing: " + "; ".join(item.what for item in missing),
            advice="; ".join(item.advice for item in missing),
        )


def find_missing(target: BuildTarget, *, env: Mapping[str, str]) -> list[Missing]:
    """Everything that a build for `target` needs and does not find, empty when all is there."""
    checks: list[Callable[[Mapping[str, str]], Missing | None]] = [
        _compiler,
        _python_headers,
        _openblas,
        _ninja,
    ]
    found = [check(env) for check in checks]
    found.append(_memory(env, need=memory_per_job(cuda=target.cuda is not None)))
    if target.cuda is not None:
        found.append(_cuda(env, version=target.cuda))
    return [item for item in found if item is not None]


def compiler(env: Mapping[str, str]) -> str | None:
    """Path of the C++ compiler that torch's extension builder will call."""
    return shutil.which(env.get("CXX", "c++"), path=env.get("PATH"))


def cuda_home(env: Mapping[str, str]) -> Path | None:
    """The CUDA toolkit, looked for where torch looks: CUDA_HOME, CUDA_PATH, nvcc, /usr/local."""
    named = env.get("CUDA_HOME") or env.get("CUDA_PATH")
    if named:
        return Path(named)
    nvcc = shutil.which("nvcc", path=env.get("PATH"))
    if nvcc is not None:
        return Path(nvcc).parent.parent
    usual = Path("/usr/local/cuda")
    return usual if usual.is_dir() else None


def _compiler(env: Mapping[str, str]) -> Missing | None:
    if compiler(env) is None:
        name = env.get("CXX", "c++")
        return Missing(f"a C++ compiler ({name})", "install one (Debian, Ubuntu: g++)")
    return None


def _python_headers(_: Mapping[str, str]) -> Missing | None:
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.is_file():
        return Missing(f"Python headers ({header})", "install them (Debian, Ubuntu: python3-dev)")
    return None


def _openblas(env: Mapping[str, str]) -> Missing | None:
    command = compiler(env)
    if command is None:
        return None  # Reported already, and nothing can be tried without it.
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "probe.cpp"
        program.write_text(
            'extern "C" {\n#include <cblas.h>\n}\n'
            "int main() { return cblas_ddot(0, nullptr, 1, nullptr, 1) == 0.0 ? 0 : 1; }\n",
            encoding="utf-8",
        )
        result = subprocess.run(
            [command, str(program), "-o", str(program.with_suffix("")), "-lopenblas"],
            env=dict(env),
            capture_output=True,
            check=False,
        )
    if result.returncode != 0:
        return Missing(
            "OpenBLAS with its header (cblas.h, libopenblas)",
            "install it (Debian, Ubuntu: libopenblas-dev), or name its folders in CPATH and "
            "LIBRARY_PATH",
        )
    return None


def _ninja(env: Mapping[str, str]) -> Missing | None:
    if shutil.which("ninja", path=env.get("PATH")) is None:
        return Missing("ninja", "pip install ninja")
    return None


def _memory(env: Mapping[str, str], *, need: int) -> Missing | None:
    free = available_memory()
    if "MAX_JOBS" in env or free is None or free >= need:
        return None
    return Missing(
        f"memory ({free / GIB:.1f} GiB available, one compiler job takes up to {need / GIB:.1f})",
        "free some, or set MAX_JOBS=1 to try all the same",
    )


def _cuda(env: Mapping[str, str], *, version: str) -> Missing | None:
    advice = f"install the CUDA {version} toolkit and set CUDA_HOME to it, or build with --cpu"
    home = cuda_home(env)
    nvcc = None if home is None else home / "bin" / "nvcc"
    if home is None or nvcc is None or not os.access(nvcc, os.X_OK):
        return Missing(f"the CUDA compiler (nvcc) for CUDA {version}", advice)
    output = subprocess.run([str(nvcc), "--version"], capture_output=True, text=True, check=False)
    release = re.search(r"release (\d+)\.(\d+)", output.stdout)
    if release is None or release.group(1) != version.split(".")[0]:
        have = release.group(0) if release else "unknown"
        return Missing(f"CUDA {version}, which torch was built with; {nvcc} is {have}", advice)
    absent = [name for name in _CUDA_HEADERS if not (home / "include" / name).is_file()]
    if absent:
        return Missing(f"headers of the CUDA toolkit at {home} ({', '.join(absent)})", advice)
    return None
