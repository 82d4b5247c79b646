"""How intensities are normalised: the options. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from ssl3d.plugin.section import Section, by_name, name_of


class _Range(Section):
    lower: float
    upper: float

    @model_validator(mode="after")
    def _ordered(self) -> _Range:
        if self.lower >= self.upper:
            raise ValueError(
                f"lower is {self.lower:g} and upper is {self.upper:g}: lower must be below upper"
            )
        return self


class CTWindow(_Range):
    """CT numbers from `lower` to `upper` become 0 to 1; what lies outside is clipped."""

    name: Literal["ct_window"] = "ct_window"
    lower: float = Field(-1000.0, description="becomes 0, in HU")
    upper: float = Field(1000.0, description="becomes 1, in HU")


class Percentile(_Range):
    """The volume's own `lower` and `upper` percentiles become 0 and 1, each channel apart.

    Where the two coincide (a volume that is nearly all background) the extremes are used.
    """

    name: Literal["percentile"] = "percentile"
    lower: float = Field(0.5, ge=0, le=100, description="percentile that becomes 0, in percent")
    upper: float = Field(99.5, ge=0, le=100, description="percentile that becomes 1, in percent")
    clip: bool = Field(True, description="clip what lies outside to 0 and 1")


class ZScore(Section):
    """Mean 0 and standard deviation 1 over the foreground, each channel apart."""

    name: Literal["zscore"] = "zscore"


Normalise = Annotated[
    Annotated[CTWindow, Tag("ct_window")]
    | Annotated[Percentile, Tag("percentile")]
    | Annotated[ZScore, Tag("zscore")],
    Discriminator(name_of),
    BeforeValidator(by_name),
]
