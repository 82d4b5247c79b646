"""Installing MinkowskiEngine 0.5.4: every step from the package index to a working import."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ssl3d.files import cache_root
from ssl3d.install.build import build_wheel
from ssl3d.install.cache import find_wheel, keep_wheel
from ssl3d.install.edits import EditError, apply_edits, edit_set_version
from ssl3d.install.errors import InstallError
from ssl3d.install.minkowski_edits import MINKOWSKI_EDITS
from ssl3d.install.process import build_environment, last_lines, run_logged
from ssl3d.install.progress import Reporter
from ssl3d.install.source import download_source, unpack
from ssl3d.install.target import BuildTarget, detect_target
from ssl3d.install.toolchain import check_tools


@dataclass(frozen=True)
class Installed:
    """What an installation did.

    Attributes:
        wheel: the wheel that was installed, kept for the next time.
        built: it was compiled now, not taken from the cache.
    """

    wheel: Path
    built: bool


def install_minkowski(
    *,
    reporter: Reporter,
    cuda: bool | None = None,
    force: bool = False,
    wheel_dir: Path | None = None,
) -> Installed:
    """Install MinkowskiEngine into the running environment, building it where no wheel is kept.

    torch and NumPy stay as they are: the wheel is installed without its dependencies.

    Args:
        cuda: build for CUDA or for CPU; None takes what torch was built with.
        force: build even if a wheel is kept.
        wheel_dir: where wheels are kept; default is `minkowski` in the user's cache folder.

    Raises:
        InstallError: a step failed; the message names it and says what to do.
    """
    home = wheel_dir or cache_root() / "minkowski"
    reporter.begin("look at torch")
    target = detect_target(cuda=cuda)
    reporter.note(f"MinkowskiEngine 0.5.4 for {target.describe()}")
    folder = home / target.cache_key(edit_set_version(MINKOWSKI_EDITS))
    kept = None if force else find_wheel(folder)
    if kept is None:
        wheel = _build(target, home=home, folder=folder, reporter=reporter)
    else:
        wheel = kept
        reporter.note(f"Using the wheel built earlier: {wheel}")
    _install(wheel, reporter=reporter)
    _try_it(folder, reporter=reporter)
    return Installed(wheel=wheel, built=kept is None)


def _build(target: BuildTarget, *, home: Path, folder: Path, reporter: Reporter) -> Path:
    with tempfile.TemporaryDirectory(prefix="ssl3d-minkowski-") as name:
        work = Path(name)
        env = build_environment(work / "bin")
        reporter.begin("check tools")
        check_tools(target, env=env)
        reporter.begin("download source")
        archive = download_source(home, work=work)
        reporter.begin("edit source")
        source = unpack(archive, into=work)
        try:
            apply_edits(source, edits=MINKOWSKI_EDITS)
        except EditError as error:
            raise InstallError(
                "edit source",
                reason=str(error),
                advice="report this: the edits of this ssl3d do not fit the 0.5.4 source",
            ) from error
        reporter.begin("compile")
        wheel = build_wheel(
            source,
            target=target,
            env=env,
            log=folder / "build.log",
            on_progress=reporter.advance,
        )
        return keep_wheel(wheel, folder=folder)


def _install(wheel: Path, *, reporter: Reporter) -> None:
    reporter.begin("install wheel")
    log = wheel.parent / "install.log"
    log.unlink(missing_ok=True)
    status = run_logged(
        [
            *(sys.executable, "-m", "pip", "install"),
            # Without dependencies pip has no reason to touch torch or NumPy.
            *("--no-deps", "--no-index", "--force-reinstall", str(wheel)),
        ],
        log=log,
    )
    if status != 0:
        raise InstallError(
            "install wheel",
            reason=f"pip could not install {wheel.name}:\n{last_lines(log)}",
            advice="install ssl3d in a virtual environment that you may write to",
            log=log,
        )


def _try_it(folder: Path, *, reporter: Reporter) -> None:
    reporter.begin("try it")
    log = folder / "try.log"
    log.unlink(missing_ok=True)
    # A fresh process: this one may hold an older MinkowskiEngine.
    status = run_logged([sys.executable, "-m", "ssl3d.install.try_minkowski"], log=log)
    if status != 0:
        raise InstallError(
            "try it",
            reason=f"the installed MinkowskiEngine does not work here:\n{last_lines(log)}",
            advice="build it anew with --force; if that does not help, report the output",
            log=log,
        )
