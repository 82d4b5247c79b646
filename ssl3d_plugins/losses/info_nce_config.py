"""Options of the loss `info_nce`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from ssl3d.kinds.loss_config import LossConfig, Need


class InfoNCE(LossConfig):
    """Contrast of adjacent stages at the same place, on visible sites; see `InfoNCELoss`.

    Beware that the task is easy: the coarser map is computed from the finer one, so even an
    encoder whose weights are random and frozen lets the heads find most positives. Judge the logged
    `top1` beside that of such an encoder, and not by itself.
    """

    builds = "ssl3d_plugins.losses.info_nce_loss:InfoNCELoss"
    name: Literal["info_nce"] = "info_nce"
    temperature: float = Field(default=0.1, gt=0, description="divides the cosine similarities")
    width: int = Field(
        default=128,
        ge=1,
        le=65536,
        description="channels of both projection heads",
        json_schema_extra={"unit": "channels"},
    )
    samples: int = Field(
        default=256,
        ge=2,
        le=65536,
        description="sites sampled in each volume, at most; per pair of stages",
        json_schema_extra={"unit": "sites"},
    )
    negatives: Literal["volume", "batch"] = Field(
        default="volume",
        description="where negatives come from; volume: the same volume; batch: all volumes of the "
        "batch, while training of all ranks. Held-out crops are measured one at a time, with their "
        "own negatives alone",
    )

    @model_validator(mode="before")
    @classmethod
    def _between_stages(cls, options: Any) -> Any:
        """Older specs say `between: stages`, of what this loss always does."""
        if isinstance(options, dict) and options.get("between") == "stages":
            return {name: value for name, value in options.items() if name != "between"}
        return options

    def needs(self) -> frozenset[Need]:
        """Two stages or more."""
        return frozenset({"two_stages"})
