"""The container's pins agree with each other and with what the packages say they require.

pip resolves them here without network, over wheels that hold nothing but the metadata of the
packages installed beside these tests (the real wheels are gigabytes).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / "docker" / "constraints.txt"
# As the packages publish them; not installed here, or in another version, or for another CUDA.
PUBLISHED = {
    "monai": ["numpy<3.0,>=1.24", "torch>=2.4.1"],
    "torch": ["filelock", "typing-extensions>=4.8.0", "sympy", "networkx", "jinja2", "fsspec"],
    "spconv-cu121": ["cumm-cu121<0.8.0,>=0.7.11", "numpy"],
    "cumm-cu121": ["numpy"],
}


def _pins() -> dict[str, str]:
    lines = CONSTRAINTS.read_text().splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    pins = {}
    for requirement in requirements:
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", f"{requirement} is no pin"
        pins[canonicalize_name(requirement.name)] = specifier.version
    return pins


def _project_requirements() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    dependencies: list[str] = project["dependencies"]
    extra: list[str] = project["optional-dependencies"]["spconv-cu121"]
    return dependencies + extra


def _wheel(folder: Path, *, name: str, version: str, requires: Iterable[str]) -> None:
    stem = f"{name.replace('-', '_')}-{version}"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    metadata += [f"Requires-Dist: {requirement}" for requirement in requires]
    info = f"{stem}.dist-info"
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", "\n".join(metadata) + "\n")
        tag = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{info}/WHEEL", tag)
        wheel.writestr(f"{info}/RECORD", "")


def _requires(name: str, version: str) -> list[str]:
    """What `name` requires, from its installed distribution where it is of that version."""
    if name in PUBLISHED:
        return PUBLISHED[name]
    try:
        installed = distribution(name)
    except PackageNotFoundError:
        return []
    if installed.version.split("+")[0] != version:
        return []
    requirements = [Requirement(text) for text in installed.requires or []]
    kept = [
        requirement
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    ]
    return [f"{item.name}{item.specifier}" for item in kept]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Metadata-only wheels of everything that the project needs, at all versions in question."""
    folder = tmp_path_factory.mktemp("index")
    pins = _pins()
    assert pins["monai"] == "1.5.1", "PUBLISHED holds the requirements of this version"
    for version in ("2.4.0", "2.8.0"):
        _wheel(folder, name="torch", version=version, requires=PUBLISHED["torch"])
    waiting = [canonicalize_name(Requirement(text).name) for text in _project_requirements()]
    done: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in done:
            continue
        done.add(name)
        version = pins[name] if name in pins else distribution(name).version
        requires = _requires(name, version)
        _wheel(folder, name=name, version=version, requires=requires)
        waiting += [canonicalize_name(Requirement(text).name) for text in requires]
    return folder


def _resolve(index: Path, *, constraints: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Resolve the project's requirements as the Dockerfile does, with PIP_CONSTRAINT."""
    requirements = folder / "requirements.txt"
    requirements.write_text("\n".join(_project_requirements()))
    env = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    env |= {"PIP_CONFIG_FILE": os.devnull, "PIP_CONSTRAINT": str(constraints)}
    return subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"),
            *("--no-index", "--find-links", str(index), "--no-cache-dir"),
            *("--disable-pip-version-check", "--requirement", str(requirements)),
        ],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_torch_stays_as_pinned(index: Path, tmp_path: Path) -> None:
    result = _resolve(index, constraints=CONSTRAINTS, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    (would,) = (line for line in result.stdout.splitlines() if line.startswith("Would install"))
    pins = _pins()
    assert pins["torch"] == "2.4.1"
    for name in ("torch", "numpy", "monai", "ptwt", "spconv-cu121", "cumm-cu121"):
        assert re.search(rf"\b{re.escape(name)}-{re.escape(pins[name])}(\s|$)", would), (
            name,
            would,
        )


def test_without_constraints_torch_would_be_replaced(index: Path, tmp_path: Path) -> None:
    """The constraints are what holds torch: without them pip takes the newest one there is."""
    empty = tmp_path / "constraints.txt"
    empty.touch()
    result = _resolve(index, constraints=empty, folder=tmp_path)
    assert "torch-2.8.0" in result.stdout


def test_earlier_pin_contradicts_monai(index: Path, tmp_path: Path) -> None:
    earlier = tmp_path / "constraints.txt"
    earlier.write_text(CONSTRAINTS.read_text().replace("torch==2.4.1", "torch==2.4.0"))
    result = _resolve(index, constraints=earlier, folder=tmp_path)
    assert result.returncode != 0
    assert "ResolutionImpossible" in result.stderr


def test_dockerfile_enforces_the_constraints() -> None:
    text = (ROOT / "Dockerfile").read_text()
    pins = _pins()
    assert f"FROM pytorch/pytorch:{pins['torch']}-cuda12.1-cudnn9-devel" in text
    copied = re.search(r"COPY docker/constraints\.txt (\S+)", text)
    assert copied is not None
    assert f"PIP_CONSTRAINT={copied.group(1)}" in text
    assert text.index("PIP_CONSTRAINT") < text.index("pip install")
    assert re.search(r"^RUN .*ssl3d install minkowski", text, re.MULTILINE)
    assert text.strip().splitlines()[-1] == "RUN ssl3d doctor --strict"
    assert "force-reinstall" not in text
