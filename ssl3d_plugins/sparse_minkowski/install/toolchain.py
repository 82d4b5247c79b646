"""What compiling MinkowskiEngine needs, looked for before anything is built."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from ssl3d_plugins.sparse_minkowski.install.install_error import InstallError
from ssl3d_plugins.sparse_minkowski.install.machine import GIB, available_memory, memory_per_job
from ssl3d_plugins.sparse_minkowski.install.target import BuildTarget

_CUDA_HEADERS: Final = ("cuda_runtime.h", "cublas_v2.h", "cusparse.h", "cusolverDn.h", "curand.h")
_BLAS_PROGRAM: Final = (
    'extern "C" {\n#include <cblas.h>\n}\n'
    "int main() { return cblas_ddot(0, nullptr, 1, nullptr, 1) == 0.0 ? 0 : 1; }\n"
)


class Missing(NamedTuple):
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
    missing = list(find_missing(target, env=env))
    if missing:
        raise InstallError(
            "check tools",
            reason="missing: " + "; ".join(item.what for item in missing),
            advice="; ".join(item.advice for item in missing),
        )


def find_missing(target: BuildTarget, *, env: Mapping[str, str]) -> Iterator[Missing]:
    """Everything that a build for `target` needs and does not find."""
    name, path = env.get("CXX", "c++"), env.get("PATH")
    compiler = shutil.which(name, path=path)  # the one that torch's extension builder will call
    if compiler is None:
        yield Missing(f"a C++ compiler ({name})", "install one (Debian, Ubuntu: g++)")
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.is_file():
        yield Missing(f"Python headers ({header})", "install them (Debian, Ubuntu: python3-dev)")
    if compiler is not None and not links_openblas(compiler, env=env):
        yield Missing(
            "OpenBLAS with its header (cblas.h, libopenblas)",
            "install it (Debian, Ubuntu: libopenblas-dev), or name its folders in CPATH and "
            "LIBRARY_PATH",
        )
    if shutil.which("ninja", path=path) is None:
        yield Missing("ninja", "pip install ninja")
    free, need = available_memory(), memory_per_job(cuda=target.cuda is not None)
    if "MAX_JOBS" not in env and free is not None and free < need:
        yield Missing(
            f"memory ({free / GIB:.1f} GiB available, one compiler job takes up to "
            f"{need / GIB:.1f})",
            "free some, or set MAX_JOBS=1 to try all the same",
        )
    lacking = _lacking_of_cuda(target.cuda, home=cuda_home(env)) if target.cuda else None
    if lacking is not None:
        advice = (
            f"install the CUDA {target.cuda} toolkit and set CUDA_HOME to it, or build with --cpu"
        )
        yield Missing(lacking, advice)


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


def links_openblas(compiler: str, *, env: Mapping[str, str]) -> bool:
    """True when a program that calls OpenBLAS compiles and links."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "probe.cpp"
        program.write_text(_BLAS_PROGRAM, encoding="utf-8")
        command = [compiler, str(program), "-o", str(program.with_suffix("")), "-lopenblas"]
        return subprocess.run(command, env=env, capture_output=True, check=False).returncode == 0


def _lacking_of_cuda(version: str, *, home: Path | None) -> str | None:
    nvcc = None if home is None else home / "bin" / "nvcc"
    if home is None or nvcc is None or not os.access(nvcc, os.X_OK):
        return f"the CUDA compiler (nvcc) for CUDA {version}"
    output = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=False)
    release = re.search(r"release (\d+)\.(\d+)", output.stdout)
    if release is None or release[1] != version.split(".")[0]:
        have = release[0] if release else "unknown"
        return f"CUDA {version}, which torch was built with; {nvcc} is {have}"
    absent = [name for name in _CUDA_HEADERS if not (home / "include" / name).is_file()]
    return f"headers of the CUDA toolkit at {home} ({', '.join(absent)})" if absent else None
