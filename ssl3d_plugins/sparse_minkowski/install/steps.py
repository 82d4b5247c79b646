"""Installing MinkowskiEngine 0.5.4: every step from the package index to a working import."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from ssl3d.files import cache_root, written_whole
from ssl3d_plugins.sparse_minkowski.install.build import build_wheel
from ssl3d_plugins.sparse_minkowski.install.display import Display
from ssl3d_plugins.sparse_minkowski.install.edits import apply_edits, edit_set_version
from ssl3d_plugins.sparse_minkowski.install.install_error import InstallError
from ssl3d_plugins.sparse_minkowski.install.minkowski_edits import MINKOWSKI_EDITS
from ssl3d_plugins.sparse_minkowski.install.process import (
    build_environment,
    last_lines,
    run_logged,
)
from ssl3d_plugins.sparse_minkowski.install.source import download_source
from ssl3d_plugins.sparse_minkowski.install.target import BuildTarget, detect_target
from ssl3d_plugins.sparse_minkowski.install.toolchain import check_tools

ATTEMPT = "ssl3d_plugins.sparse_minkowski.install.try_minkowski"


def install_minkowski(
    *,
    display: Display,
    cuda: bool | None = None,
    force: bool = False,
    wheel_dir: Path | None = None,
) -> Path:
    """Install MinkowskiEngine into the running environment, building it where no wheel is kept.

    torch and NumPy stay as they are: the wheel is installed without its dependencies.

    Args:
        display: is told what is being done.
        cuda: build for CUDA or for CPU; None takes what torch was built with.
        force: build even if a wheel is kept.
        wheel_dir: where wheels are kept; default is `minkowski` in the user's cache folder.

    Returns:
        The wheel, kept for the next time.

    Raises:
        InstallError: a step failed; the message names it and says what to do.
    """
    home = wheel_dir or cache_root() / "minkowski"
    display.begin("look at torch")
    target = detect_target(cuda=cuda)
    display.note(f"MinkowskiEngine 0.5.4 for {target.describe()}")
    folder = home / target.cache_key(edit_set_version(MINKOWSKI_EDITS))
    kept = [] if force else sorted(folder.glob("*.whl"))
    if kept:
        display.note(f"Using the wheel built earlier: {kept[0]}")
    wheel = kept[0] if kept else _build(target, home=home, folder=folder, display=display)
    display.begin("install wheel")
    _run(
        "install wheel",
        # Without dependencies pip has no reason to touch torch or NumPy.
        *("-m", "pip", "install", "--no-deps", "--no-index", "--force-reinstall", str(wheel)),
        log=folder / "install.log",
        reason=f"pip could not install {wheel.name}",
        advice="install ssl3d in a virtual environment that you may write to",
    )
    display.begin("try it")
    _run(
        # A fresh process: this one may hold an older MinkowskiEngine.
        *("try it", "-m", ATTEMPT),
        log=folder / "try.log",
        reason="the installed MinkowskiEngine does not work here",
        advice="build it anew with --force; if that does not help, report the output",
    )
    return wheel


def keep_wheel(wheel: Path, *, folder: Path) -> Path:
    """Put `wheel` into `folder`, whole or not at all, and return its new path."""
    folder.mkdir(parents=True, exist_ok=True)
    with written_whole(folder / wheel.name) as partial:
        shutil.copyfile(wheel, partial)
    return folder / wheel.name


def _build(target: BuildTarget, *, home: Path, folder: Path, display: Display) -> Path:
    with tempfile.TemporaryDirectory(prefix="ssl3d-minkowski-") as name:
        work = Path(name)
        env = build_environment(work / "bin")
        display.begin("check tools")
        check_tools(target, env=env)
        display.begin("download source")
        archive = download_source(home, work=work)
        display.begin("edit source")
        shutil.unpack_archive(archive, work)
        source = work / archive.name.removesuffix(".tar.gz")
        apply_edits(source, edits=MINKOWSKI_EDITS)
        display.begin("compile")
        log = folder / "build.log"
        wheel = build_wheel(source, target=target, env=env, log=log, on_progress=display.advance)
        return keep_wheel(wheel, folder=folder)


def _run(step: str, *arguments: str, log: Path, reason: str, advice: str) -> None:
    """Run Python with these arguments; raises InstallError where it fails."""
    if run_logged([sys.executable, *arguments], log=log) != 0:
        raise InstallError(step, reason=f"{reason}:\n{last_lines(log)}", advice=advice, log=log)
