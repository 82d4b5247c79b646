"""Nothing here compiles MinkowskiEngine: continuous integration runs the command for that."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ssl3d.files import cache_root
from ssl3d_plugins.sparse_minkowski.install.install_error import InstallError
from ssl3d_plugins.sparse_minkowski.install.source import download_source
from ssl3d_plugins.sparse_minkowski.install.target import BuildTarget


@pytest.fixture
def cpu_target() -> BuildTarget:
    return BuildTarget(
        torch="2.13.0+cpu", python="cp311", cuda=None, architectures=(), machine="x86_64"
    )


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published source, from the user's cache or from the package index."""
    try:
        return download_source(cache_root() / "minkowski", work=tmp_path_factory.mktemp("work"))
    except InstallError as error:
        pytest.skip(f"needs the MinkowskiEngine source from the package index: {error.reason}")


@pytest.fixture
def source(archive: Path, tmp_path: Path) -> Path:
    """A fresh copy of the real source tree."""
    shutil.unpack_archive(archive, tmp_path)
    return tmp_path / archive.name.removesuffix(".tar.gz")
