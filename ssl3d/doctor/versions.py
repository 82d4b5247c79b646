"""Installed versions against what this distribution's own metadata asks for."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator
from functools import partial

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from ssl3d.doctor.check import Check, NotThere, Wrong

PART = "versions"
DISTRIBUTION = "ssl3d"
DEVELOPMENT = "test"
"""The extra that only the project's own tests need."""

REINSTALL = f"install it again: python -m pip install --upgrade {DISTRIBUTION}"


def version_checks() -> Iterator[Check]:
    """Python, every requirement, the optional libraries, and whether they fit one another."""
    metadata = importlib.metadata.metadata(DISTRIBUTION)
    yield Check(PART, "python", lambda: python(metadata["Requires-Python"]), REINSTALL)
    requirements = required_by(DISTRIBUTION)
    for requirement in requirements:
        yield Check(PART, requirement.name, partial(mandatory, requirement), REINSTALL)
    extras = list(_of_extras(metadata.get_all("Provides-Extra") or []))
    for requirement, source in extras:
        run = partial(optional, requirement, source=source)
        yield Check(PART, requirement.name, run, REINSTALL)
    names = [r.name for r in [*requirements, *(r for r, _ in extras)]]
    yield Check(PART, "fit one another", lambda: fit_one_another(names), REINSTALL)


def required_by(distribution: str, *, extra: str = "") -> list[Requirement]:
    """What a distribution (with one of its extras) asks for on this machine."""
    found = [Requirement(text) for text in importlib.metadata.requires(distribution) or []]
    return [r for r in found if r.marker is None or r.marker.evaluate({"extra": extra})]


def installed_version(name: str) -> str | None:
    """The version of an installed distribution, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def python(supported: str) -> str:
    """The running Python is in the supported range."""
    version = platform.python_version()
    if not SpecifierSet(supported).contains(version, prereleases=True):
        raise Wrong(
            f"{version}; supported: {supported}",
            advice=f"make an environment with Python {supported}",
        )
    return f"{version}; supported: {supported}"


def mandatory(requirement: Requirement) -> str:
    """A library that must be there, in a supported version."""
    if installed_version(requirement.name) is None:
        raise Wrong(
            f"not installed; supported: {_range(requirement)}",
            advice=f'python -m pip install "{_bare(requirement)}"',
        )
    return _compare(requirement)


def optional(requirement: Requirement, *, source: str, repair: str = "") -> str:
    """A library that may be there; if so, in a supported version.

    Args:
        requirement: the supported versions.
        source: what installs it.
        repair: what installs a supported version over another; default: with pip.

    Raises:
        NotThere: it is not installed.
        Wrong: the installed version is not supported.
    """
    if installed_version(requirement.name) is None:
        raise NotThere(f"optional: {source}")
    return _compare(requirement, repair=repair)


def fit_one_another(names: list[str]) -> str:
    """What the installed libraries ask of one another, as far as those are installed."""
    conflicts = []
    for name in names:
        version = installed_version(name)
        if version is None:
            continue
        for requirement in required_by(name):
            other = installed_version(requirement.name)
            if other and not requirement.specifier.contains(other, prereleases=True):
                conflicts.append(f"{name} {version} needs {_bare(requirement)}, found {other}")
    if conflicts:
        raise Wrong(
            "; ".join(conflicts),
            advice="install versions that fit one another; python -m pip check lists all conflicts",
        )
    return f"{len(names)} distributions"


def _of_extras(extras: list[str]) -> Iterator[tuple[Requirement, str]]:
    always = [str(requirement) for requirement in required_by(DISTRIBUTION)]
    for name in extras:
        if name == DEVELOPMENT:
            continue
        for requirement in required_by(DISTRIBUTION, extra=name):
            if str(requirement) not in always:
                yield requirement, f'pip install "{DISTRIBUTION}[{name}]"'


def _compare(requirement: Requirement, *, repair: str = "") -> str:
    version = installed_version(requirement.name)
    assert version is not None
    line = f"{version}; supported: {_range(requirement)}"
    # A local version such as 2.13.0+cpu counts as 2.13.0.
    if not requirement.specifier.contains(version, prereleases=True):
        raise Wrong(line, advice=repair or f'python -m pip install "{_bare(requirement)}"')
    return line


def _range(requirement: Requirement) -> str:
    return str(requirement.specifier) or "any"


def _bare(requirement: Requirement) -> str:
    return f"{requirement.name}{requirement.specifier}"
