"""How the learning rate of each part of a model goes over the steps. Imports no torch.

One path for all recipes: a recipe is, for each part and step, a factor of `optimizer.lr`, and
whether the encoder trains. So arms differ in what their names say. Source of the shapes: nnssl's
fine-tuning (arXiv 2410.23132, arXiv 2412.17041).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ssl3d.plugin.section import Section, by_name

POLY_POWER = 0.9
"""Exponent of the decay, as in nnU-Net (doi:10.1038/s41592-020-01008-z)."""

Part = Literal["encoder", "decoder"]
"""`decoder` is all that is not the encoder: decoder, head, or both."""

Name = Literal["plain", "sawtooth", "frozen", "scratch"]


class Recipe(Section):
    """What trains when, and how fast."""

    name: Name | None = Field(
        default=None,
        description="plain: everything, a linear warm-up and a polynomial decay; sawtooth: first "
        "decoder and head alone, up and down, then everything as in plain; frozen: decoder and "
        "head as in plain, the encoder never; scratch: as plain, for an encoder that is not "
        "pre-trained; none: plain with an encoder, else scratch",
    )
    peak: float = Field(
        default=1.0,
        gt=0,
        le=1000,
        description="highest rate as a factor of optimizer.lr; public code takes 0.1 for encoders "
        "that are pre-trained, which cost much where it was measured (docs/evidence.md)",
    )
    warmup: float = Field(
        default=0.05, ge=0, lt=1, description="share of all steps in which the rate goes up"
    )
    decoder_first: float = Field(
        default=0.05,
        ge=0,
        lt=1,
        description="of sawtooth: share of all steps in which decoder and head train alone, half "
        "of them up and half of them down",
    )
    encoder_rate: float = Field(
        default=1.0, gt=0, le=1000, description="factor of the encoder's rate"
    )
    layer_decay: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="factor of a stage's rate for each stage between it and the deepest one: below "
        "1, stages near the input change less",
    )

    def trains(self, part: Part, *, step: int, steps: int) -> bool:
        """True where a part changes in step `step` (from 0) of `steps`."""
        if part == "decoder":
            return True
        return self.name != "frozen" and step >= sum(self._alone(steps))

    def rate(self, part: Part, *, step: int, steps: int, depth: int = 0) -> float:
        """Factor of `optimizer.lr` in step `step` (from 0) of `steps`.

        Args:
            part: of the model.
            step: from 0.
            steps: of the whole training.
            depth: of the encoder: stages between this one and the deepest.
        """
        if not self.trains(part, step=step, steps=steps):
            return 0.0
        peak = self.peak
        if part == "encoder":
            peak *= self.encoder_rate * self.layer_decay**depth
        up, down = self._alone(steps)
        if step < up + down:
            return peak * _up_and_down(step, up=up, total=up + down)
        return peak * _up_and_down(
            step - up - down, up=round(self.warmup * steps), total=steps - up - down
        )

    def rate_of(self, group: Mapping[str, Any], *, step: int, steps: int) -> float:
        """The factor of a group of parameters that says `part` and `depth`."""
        return self.rate(group["part"], step=step, steps=steps, depth=group["depth"])

    def _alone(self, steps: int) -> tuple[int, int]:
        """Steps up and down in which decoder and head train alone."""
        if self.name != "sawtooth":
            return 0, 0
        half = round(self.decoder_first / 2 * steps)
        return half, half


RecipeField = Annotated[Recipe, BeforeValidator(by_name)]
"""A field of a spec: a name alone, or a recipe with options."""


def _up_and_down(step: int, *, up: int, total: int) -> float:
    """Linearly up to 1 in `up` steps, then as (1 - t)^0.9 to 0."""
    if step < up:
        return (step + 1) / up
    return float((1 - (step - up) / max(1, total - up)) ** POLY_POWER)
