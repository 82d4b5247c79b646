"""The installed version of MinkowskiEngine."""

from __future__ import annotations

REQUIREMENT = "MinkowskiEngine==0.5.4"
"""Built, not declared: an index has no wheel of it."""

REPAIR = "ssl3d install minkowski --force"


def version() -> str:
    """It is the supported one, and what it asks for is installed; raises what `optional` does."""
    from packaging.requirements import Requirement

    from ssl3d.doctor.versions import fit_one_another, optional

    requirement = Requirement(REQUIREMENT)
    found = optional(requirement, source="ssl3d install minkowski", repair=REPAIR)
    fit_one_another([requirement.name])
    return found
