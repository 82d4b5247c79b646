"""How a volume is predicted window by window. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from ssl3d.plugin.section import Section


class WindowSpec(Section):
    """Windows of the size of the patch, weighted by a Gaussian where they overlap."""

    overlap: float = Field(
        default=0.5, ge=0, lt=1, description="share of a window that the next one sees again"
    )
    mirror: tuple[Annotated[int, Field(ge=0, le=2)], ...] = Field(
        default=(),
        description="axes (0: z, 1: y, 2: x) along which each window is also predicted mirrored, "
        "in all combinations; not along x where labels tell left from right",
    )
    batch: int = Field(default=1, ge=1, le=4096, description="windows at once")
    precision: Literal["auto", "32", "bf16", "16"] = Field(
        default="auto",
        description="32: single; bf16 and 16: half where it is safe; auto: as it was trained in",
    )

    @field_validator("mirror")
    @classmethod
    def _each_once(cls, axes: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(axes)) < len(axes):
            raise ValueError(f"given {list(axes)}: name each axis once")
        return axes
