"""The installed version of MinkowskiEngine."""

from __future__ import annotations

REPAIR = "ssl3d install minkowski --force"


def version() -> str:
    """It is the supported one, and what it asks for is installed; raises what `library` does."""
    from packaging.requirements import Requirement

    from ssl3d.doctor.versions import fit_one_another, library
    from ssl3d_plugins.sparse_minkowski.install.source import VERSION

    # Built, not declared: an index has no wheel of it.
    requirement = Requirement(f"MinkowskiEngine=={VERSION}")
    found = library(requirement, optional="ssl3d install minkowski", repair=REPAIR)
    fit_one_another([requirement.name])
    return found
