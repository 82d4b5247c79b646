"""Names of the columns of a manifest. Imports no torch."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from ssl3d.plugin.section import Section


class ImageColumns(Section):
    """What every manifest may say of an image."""

    image: str | tuple[str, ...] = Field(
        "image",
        description="path of the image, or for several channels a column each",
    )
    group: str = Field("group", description="who it is of, where there is such a column")
    modality: str = Field(
        "modality", description="what it was made by, such as CT or T1w, where there is one"
    )
    valid: str = Field(
        "valid",
        description="path of a mask on its grid, 0 where it says nothing, where there is one",
    )

    @property
    def images(self) -> tuple[str, ...]:
        """One for each channel."""
        return (self.image,) if isinstance(self.image, str) else self.image

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        others = [getattr(self, name) for name in type(self).model_fields if name != "image"]
        names = [*self.images, *(name for name in others if name is not None)]
        if not self.images or len(set(names)) < len(names):
            raise ValueError(f"the columns are called {names}: give each a name of its own")
        return self


class VolumeColumns(ImageColumns):
    """What the columns of `manifest` are called; others are free."""

    weight: str = Field(
        "weight",
        description="how often it is drawn, relative to others, where sampling goes by weight",
    )
    visit: str | None = Field(
        None,
        description="the visit, of its group; given, such as visit, every two volumes of one are a "
        "sample, as by visit_by; none: visits pair nothing",
    )
