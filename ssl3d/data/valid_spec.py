"""Which voxels of a volume say nothing, as options. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ssl3d.plugin.section import Section


class ValidRegion(Section):
    """Voxels that are neither encoded nor restored, found in each volume; nothing by default.

    Masks that are given (`data.valid`, a manifest's column) are obeyed as well.
    """

    padding: bool = Field(
        False,
        description="True: voxels of one exact value that are connected to the border and fill at "
        "least 1 % of it say nothing, as those of padding, defacing and skull stripping",
    )
    body: Literal["otsu"] | float | None = Field(
        None,
        description="voxels outside of the body say nothing: it is the largest part of the first "
        'channel above "otsu" (found per volume) or a number in the unit of the files, holes '
        "filled slice by slice; none: all may be valid",
    )
