"""Compiling MinkowskiEngine into a wheel."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from ssl3d_plugins.sparse_minkowski.install.diagnose import diagnose
from ssl3d_plugins.sparse_minkowski.install.install_error import InstallError
from ssl3d_plugins.sparse_minkowski.install.machine import compile_jobs
from ssl3d_plugins.sparse_minkowski.install.process import last_lines, run_logged
from ssl3d_plugins.sparse_minkowski.install.target import BuildTarget
from ssl3d_plugins.sparse_minkowski.install.toolchain import cuda_home


def build_wheel(
    source: Path,
    *,
    target: BuildTarget,
    env: Mapping[str, str],
    log: Path,
    on_progress: Callable[[int, int], None],
) -> Path:
    """Compile the edited source tree and return the wheel, which lies below `source`.

    Args:
        on_progress: called with (jobs done, jobs in all) while it compiles.

    Raises:
        InstallError: the build failed; the known causes are named.
    """

    def report(line: str) -> None:
        job = re.match(r"\[(\d+)/(\d+)\] ", line)  # ninja announces every job: "[3/13] c++ ..."
        if job:
            on_progress(int(job[1]), int(job[2]))

    status = run_logged(
        build_command(target, nice=shutil.which("nice") is not None),
        cwd=source,
        env=compile_environment(target, env=env),
        log=log,
        on_line=report,
    )
    wheels = sorted((source / "dist").glob("*.whl"))
    if status != 0 or not wheels:
        output = log.read_text(encoding="utf-8", errors="replace")
        reason, advice = diagnose(f"{output}\nexit status {status}") or (
            f"the build ended with status {status}:\n{last_lines(log)}",
            "look for the first error in the complete output",
        )
        raise InstallError("compile", reason=reason, advice=advice, log=log)
    return wheels[0]


def build_command(target: BuildTarget, *, nice: bool) -> list[str]:
    """The setup script's command line for `target`."""
    return [
        # Minutes of compiling should not make the machine unusable.
        *(("nice", "-n", "10") if nice else ()),
        *(sys.executable, "setup.py", "bdist_wheel"),
        "--cpu_only" if target.cuda is None else "--force_cuda",
        "--blas=openblas",
    ]


def compile_environment(target: BuildTarget, *, env: Mapping[str, str]) -> dict[str, str]:
    """`env` with the number of jobs, no debug information, and the CUDA toolkit to use."""
    jobs = compile_jobs(env, cuda=target.cuda is not None)
    # Debug information makes the wheel forty times larger. Later flags win over Python's own -g.
    flags = f"{env.get('CFLAGS', '')} -g0".strip()
    settings = {**env, "MAX_JOBS": str(jobs), "CFLAGS": flags}
    home = cuda_home(env)
    if target.cuda is not None and home is not None:
        settings["CUDA_HOME"] = str(home)
        settings["TORCH_CUDA_ARCH_LIST"] = ";".join(target.architectures)
    return settings
