"""How training crops may be changed: the options. Imports no torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ssl3d.plugin.section import Section

Share = Annotated[
    float,
    Field(ge=0, le=1, description="share of the crops that each of the changes below is made to"),
]
Rotate = Annotated[
    float,
    Field(
        ge=0,
        le=180,
        description="largest angle about each axis, in degrees of the body, whatever the spacing",
        json_schema_extra={"unit": "degrees"},
    ),
]
Scale = Annotated[
    float,
    Field(ge=0, le=1, description="largest share by which a crop is enlarged or shrunk"),
]
Brightness = Annotated[
    float, Field(ge=0, description="largest shift, in standard deviations of the crop")
]
Contrast = Annotated[
    float,
    Field(ge=0, lt=1, description="largest share by which intensities are multiplied up or down"),
]
Gamma = Annotated[
    float,
    Field(
        ge=0,
        le=2,
        description="largest logarithm of the exponent between darkest and brightest",
    ),
]
Noise = Annotated[
    float, Field(ge=0, description="largest Gaussian noise, in standard deviations of the crop")
]
LowResolution = Annotated[
    float,
    Field(ge=1, le=8, description="largest factor by which resolution is lost; 1: never"),
]


class CropChanges(Section):
    """Random changes of training crops; all are off. Each one is drawn apart."""

    share: Share = 0.2
    rotate: Rotate = 0.0
    scale: Scale = 0.0
    brightness: Brightness = 0.0
    contrast: Contrast = 0.0
    gamma: Gamma = 0.0
    noise: Noise = 0.0
    low_resolution: LowResolution = 1.0

    @property
    def moves(self) -> bool:
        """True where crops may be turned or scaled."""
        return self.share > 0 and (self.rotate > 0 or self.scale > 0)

    @property
    def any(self) -> bool:
        """True where anything may be changed."""
        values = (self.brightness, self.contrast, self.gamma, self.noise, self.low_resolution - 1)
        return self.moves or (self.share > 0 and any(value > 0 for value in values))
