"""How training crops are changed: the `augment` part of a fine-tuning spec. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pydantic import Field

from ssl3d.data.augment_spec import (
    Brightness,
    Contrast,
    CropChanges,
    Gamma,
    LowResolution,
    Noise,
    Rotate,
    Scale,
    Share,
)

_SIDE = re.compile(r"(?<![a-z])(left|right)(?![a-z])", re.IGNORECASE)
_OTHER = {"left": "right", "right": "left"}


class AugmentSpec(CropChanges):
    """Random changes of training crops; what is 0 is off. Each change is drawn apart."""

    flips: tuple[bool, bool, bool] = Field(
        (False, False, True),
        description="axes (z, y, x) along which a crop may be flipped, each in half of the crops. "
        "Volumes are in RAS and no body comes upside down or back to front: switch z and y on for "
        "what has no direction. x is left to right: switch it off where labels are left or right",
    )
    share: Share = 0.2
    rotate: Rotate = 20.0
    scale: Scale = 0.25
    brightness: Brightness = 0.2
    contrast: Contrast = 0.25
    gamma: Gamma = 0.4
    noise: Noise = 0.15
    low_resolution: LowResolution = 2.0

    @classmethod
    def off(cls) -> AugmentSpec:
        """Changes nothing."""
        return cls(flips=(False, False, False), share=0)

    def check_sides(self, names: Iterable[str]) -> None:
        """Refuse to flip left to right where names come in a left and a right form.

        Raises:
            ValueError: names the two.
        """
        pair = sides_of(names) if self.flips[2] else None
        if pair is not None:
            raise ValueError(
                f"labels {pair[0]!r} and {pair[1]!r} change places when a crop is flipped left to "
                "right: set augment.flips to [false, false, false]"
            )


def sides_of(names: Iterable[str]) -> tuple[str, str] | None:
    """Two names of which one is of the left what the other is of the right; None without such."""
    known = {name.lower(): name for name in names}
    for low, name in known.items():
        other = _SIDE.sub(lambda found: _OTHER[found[1].lower()], low)
        if other != low and other in known:
            return name, known[other]
    return None
