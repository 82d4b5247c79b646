"""Names of the columns of a manifest of labelled volumes. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from ssl3d.data.columns import ImageColumns


class ManifestColumns(ImageColumns):
    """What the columns of a manifest are called; those that are not named here are free.

    Points name the first image.
    """

    label: str = Field("label", description="path of the label map")
    stratum: str = Field("stratum", description="what folds are balanced by, where there is one")
    fold: str = Field("fold", description="the fold, from 0, where there is such a column")
