"""Installed versions against what this distribution's own metadata asks for."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator
from functools import partial

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from ssl3d.doctor.check import Check, NotThere, Wrong
from ssl3d.plugin.origin import installed_version

PART = "versions"
DISTRIBUTION = "ssl3d"
DEVELOPMENT = "test"
"""The extra that only the project's own tests need."""

REINSTALL = f"install it again: python -m pip install --upgrade {DISTRIBUTION}"


def version_checks() -> Iterator[Check]:
    """Python, every requirement, the optional libraries, and whether they fit one another."""
    metadata = importlib.metadata.metadata(DISTRIBUTION)
    yield Check(PART, "python", lambda: python(metadata["Requires-Python"]), REINSTALL)
    asked = {str(requirement): (requirement, "") for requirement in required_by(DISTRIBUTION)}
    for extra in metadata.get_all("Provides-Extra") or []:
        for requirement in required_by(DISTRIBUTION, extra=extra) if extra != DEVELOPMENT else ():
            install = f'pip install "{DISTRIBUTION}[{extra}]"'
            asked.setdefault(str(requirement), (requirement, install))
    for requirement, optional in asked.values():
        run = partial(library, requirement, optional=optional)
        yield Check(PART, requirement.name, run, REINSTALL)
    names = [requirement.name for requirement, _ in asked.values()]
    yield Check(PART, "fit one another", lambda: fit_one_another(names), REINSTALL)


def required_by(distribution: str, *, extra: str = "") -> list[Requirement]:
    """What a distribution (with one of its extras) asks for on this machine."""
    found = [Requirement(text) for text in importlib.metadata.requires(distribution) or []]
    return [r for r in found if r.marker is None or r.marker.evaluate({"extra": extra})]


def python(supported: str) -> str:
    """The running Python is in the supported range."""
    line = f"{platform.python_version()}; supported: {supported}"
    if not SpecifierSet(supported).contains(platform.python_version(), prereleases=True):
        raise Wrong(line, advice=f"make an environment with Python {supported}")
    return line


def library(requirement: Requirement, *, optional: str = "", repair: str = "") -> str:
    """A library is there, in a supported version.

    Args:
        requirement: the supported versions.
        optional: what installs a library that may be absent; empty: it must be there.
        repair: what installs a supported version over another; default: with pip.

    Raises:
        NotThere: it is optional and not installed.
        Wrong: it is not installed, or in a version that is not supported.
    """
    version = installed_version(requirement.name)
    if version is None and optional:
        raise NotThere(f"optional: {optional}")
    line = f"{version or 'not installed'}; supported: {requirement.specifier or 'any'}"
    # A local version such as 2.13.0+cpu counts as 2.13.0.
    if version is None or not requirement.specifier.contains(version, prereleases=True):
        raise Wrong(line, advice=repair or f'python -m pip install "{_bare(requirement)}"')
    return line


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


def _bare(requirement: Requirement) -> str:
    return f"{requirement.name}{requirement.specifier}"
