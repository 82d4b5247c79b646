"""The `optimizer` part of a spec: update rule and schedules. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ssl3d.plugin.section import Section

OF_OTHERS = {"adamw": "always corrects its moments", "sgd": "has none of its moments to correct"}

FREE_ON_RESUME = frozenset({"lr", "min_lr", "clip"})
"""What a run may change that goes on: how large steps are, and not by which rule they are taken."""

Decay = Annotated[float, Field(ge=0, lt=1)]


class OptimizerSpec(Section):
    """AdamW with a linear warm-up and a cosine decay by default.

    Norms, biases, tokens and whatever else has one dimension are not decayed.
    """

    name: Literal["adamw", "sgd", "lamb"] = Field(
        default="adamw",
        description="the update rule; sgd: with Nesterov momentum; lamb: arXiv 1904.00962, from "
        "the package pytorch-optimizer",
    )
    lr: float = Field(default=3e-4, gt=0, description="peak learning rate")
    weight_decay: float = Field(default=0.05, ge=0, description="not on norms, biases and tokens")
    weight_decay_end: float | None = Field(
        default=None,
        ge=0,
        description="weight decay of the last step, reached along half a cosine; none: constant",
    )
    betas: tuple[Decay, Decay] = Field(
        default=(0.9, 0.95), description="decay rates of AdamW's and LAMB's two moments"
    )
    bias_correction: bool = Field(
        default=False,
        description="LAMB's moments corrected for their start at zero, as in SparK's public code; "
        "the paper of LAMB leaves it out, AdamW always has it",
    )
    momentum: float = Field(default=0.99, ge=0, lt=1, description="SGD's Nesterov momentum")
    schedule: Literal["cosine", "poly", "constant"] = Field(
        default="cosine", description="decay after the warm-up; poly: (1 - t)^0.9"
    )
    warmup: float = Field(default=0.05, ge=0, lt=1, description="share of the steps to warm up")
    min_lr: float = Field(default=0.0, ge=0, description="learning rate at the end of a cosine")
    clip: float | None = Field(
        default=1.0, gt=0, description="largest norm of the gradient; none: do not clip"
    )
    ema: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="decay, a step, of a moving average of the encoder's weights, such as 0.999; "
        "the average is then what is exported. none: export the weights as they are",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> OptimizerSpec:
        if self.schedule == "cosine" and self.min_lr > self.lr:
            raise ValueError(
                f"min_lr is {self.min_lr:g} and lr is {self.lr:g}: the cosine goes down from lr to "
                "min_lr, so give a min_lr of at most lr"
            )
        if self.bias_correction and self.name != "lamb":
            raise ValueError(
                f"bias_correction is LAMB's: {self.name} {OF_OTHERS[self.name]}; leave it out"
            )
        return self


def rule_of(spec: OptimizerSpec, *, seed: int) -> dict[str, Any]:
    """What a run that goes on keeps, in plain values: how it learns and what it draws."""
    return {"seed": seed, "optimizer": spec.model_dump(mode="json", exclude=set(FREE_ON_RESUME))}
