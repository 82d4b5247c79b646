"""Getting the MinkowskiEngine source: by name through pip, which checks it, and unpacked."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from typing import Final

from ssl3d_plugins.sparse_minkowski.install.install_error import InstallError
from ssl3d_plugins.sparse_minkowski.install.process import build_environment, last_lines, run_logged

STEP: Final = "download source"
VERSION: Final = "0.5.4"
ARCHIVE: Final = f"MinkowskiEngine-{VERSION}.tar.gz"
SHA256: Final = "b1879c00d0b0b1d30ba622cce239886a7e3c78ee9da1064cdfe2f64c2ab15f94"

# pip runs the setup script to learn the package's name and version. Without these options it
# looks for CUDA and, through a module that NumPy dropped, for a BLAS library.
_REQUIREMENT: Final = (
    f"MinkowskiEngine=={VERSION}"
    ' --config-settings="--global-option=--cpu_only"'
    ' --config-settings="--global-option=--blas=openblas"'
    # pip compares before it runs the setup script.
    f" --hash=sha256:{SHA256}\n"
)


def download_source(folder: Path, *, work: Path) -> Path:
    """Download the published source archive to `folder` and return its path; an intact one stays.

    Args:
        work: folder for temporary files.

    Raises:
        InstallError: pip is missing or fails, or what it got is not the published archive.
    """
    archive, log = folder / ARCHIVE, folder / "download.log"
    if archive.is_file() and sha256(archive) == SHA256:
        return archive
    if importlib.util.find_spec("pip") is None:
        reason = f"the Python at {sys.executable} has no pip"
        raise InstallError(STEP, reason=reason, advice="run: python -m ensurepip --upgrade")
    folder.mkdir(parents=True, exist_ok=True)
    archive.unlink(missing_ok=True)
    # pip below 23.3 passes the options on only so; later ones know no other way.
    env = {**build_environment(work / "bin"), "PIP_USE_PEP517": "1"}
    requirement = work / "requirement.txt"
    requirement.write_text(_REQUIREMENT, encoding="utf-8")
    # Isolation would hide torch from the setup script.
    options = ["--no-deps", "--no-build-isolation", "--no-binary", ":all:", "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *options, "--requirement", str(requirement)]
    status = run_logged(command, log=log, env=env)
    if "DO NOT MATCH THE HASHES" in log.read_text(encoding="utf-8"):
        raise InstallError(
            STEP,
            reason=f"what the package index gave is not the published {ARCHIVE}: its SHA-256 is "
            f"not {SHA256}. Nothing in it was run",
            advice="run the command again; if it repeats, the index (or a folder that pip looks "
            "in) holds a changed file",
            log=log,
        )
    if status != 0 or not archive.is_file():
        raise InstallError(
            STEP,
            reason=f"pip could not fetch MinkowskiEngine {VERSION}:\n{last_lines(log)}",
            advice="check that the package index can be reached, and that pip (23.1 or later), "
            "setuptools and wheel are up to date: "
            "python -m pip install --upgrade pip setuptools wheel",
            log=log,
        )
    return archive


def sha256(file: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
