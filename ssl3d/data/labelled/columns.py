"""Names of the columns of a manifest. Imports no torch."""

from __future__ import annotations

from pydantic import Field, model_validator

from ssl3d.plugin.section import Section


class ManifestColumns(Section):
    """What the columns of a manifest are called; those that are not named here are free."""

    image: str | tuple[str, ...] = Field(
        "image",
        description="path of the image, or for several channels a column each; "
        "points name the first",
    )
    label: str = Field("label", description="path of the label map")
    group: str = Field("group", description="who it is of, where there is such a column")
    stratum: str = Field("stratum", description="what folds are balanced by, where there is one")
    fold: str = Field("fold", description="the fold, from 0, where there is such a column")

    @property
    def images(self) -> tuple[str, ...]:
        """One for each channel."""
        return (self.image,) if isinstance(self.image, str) else self.image

    @model_validator(mode="after")
    def _each_once(self) -> ManifestColumns:
        names = [*self.images, self.label, self.group, self.stratum, self.fold]
        if not self.images or len(set(names)) < len(names):
            raise ValueError(f"the columns are called {names}: give each a name of its own")
        return self
