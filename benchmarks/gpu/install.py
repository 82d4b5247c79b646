"""Install wheels and this project into a folder: no index, no virtual environment.

    python install.py WHEELS SITE        in the project's root

Takes every wheel below WHEELS, and unpacks Debian packages there (OpenBLAS, which MinkowskiEngine
links against) into SITE/lib. What is installed already stays as it is.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CHECK = """
import ssl3d, torch
from ssl3d.plugin.registry import installed
found = installed()
print(ssl3d.__file__, torch.__version__, "CUDA" if torch.cuda.is_available() else "no CUDA")
print(found.names("backbone"), found.names("sparse_backend"), found.failures)
"""
PIP = ["-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile", "--upgrade"]
PROJECT = ["pyproject.toml", "README.md", "LICENSE", "ssl3d", "ssl3d_plugins"]


def unpack(package: Path, libraries: Path) -> None:
    """Copy the shared libraries of a Debian package."""
    libraries.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dpkg", "-x", package, folder], check=True)
        for path in Path(folder).rglob("*.so*"):
            shutil.copy2(path, libraries / path.name, follow_symlinks=False)


def main() -> None:
    wheels, site = Path(sys.argv[1]), Path(sys.argv[2])
    pip = [sys.executable, *PIP, "--target", str(site)]
    found = sorted(map(str, wheels.rglob("*.whl")))
    print(f"{len(found)} wheels in {wheels}")
    if found:
        subprocess.run([*pip, *found], check=True)
    for package in sorted(wheels.rglob("*.deb")):
        unpack(package, site / "lib")
    with tempfile.TemporaryDirectory() as folder:
        # A copy, because a build keeps what it made in the folder and would pack it again.
        for name in PROJECT:
            copy = shutil.copytree if Path(name).is_dir() else shutil.copy2
            copy(name, Path(folder) / name)
        # With its entry points: plugins are found through them.
        subprocess.run([*pip, "--no-build-isolation", folder], check=True)
    subprocess.run([sys.executable, "-c", CHECK], check=True, cwd="/")


if __name__ == "__main__":
    main()
