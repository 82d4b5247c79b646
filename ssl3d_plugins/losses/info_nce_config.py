"""Options of the loss `info_nce`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ssl3d.kinds.loss_config import LossConfig, Need


class InfoNCE(LossConfig):
    """Contrast of adjacent stages at the same place, or of views with their place in others.

    Between stages, on visible sites (`InfoNCELoss`), the task is easy: the coarser map is computed
    from the finer one, so even an encoder whose weights are random and frozen lets the heads find
    most positives. Judge the logged `top1` beside that of such an encoder, and not by itself.

    Between views (`InfoNCEViewsLoss`) it is the alignment of mask-in-mask (arXiv 2404.15580) with
    true places, other places as negatives and a temperature. The paper's public code has no
    temperature, the mode that its script runs has no negatives and compares a view of level 2 with
    its own projection, and that of level 3 is compared with the mean of its whole parent: either
    is solved by features that are all alike, which negatives punish. The paper adds 0.1 of each of
    two alignments to three restorations; here both are means over levels: weight 0.2 beside a
    restoration of weight 3 is the same.
    """

    builds = "ssl3d_plugins.losses.info_nce:build"
    name: Literal["info_nce"] = "info_nce"
    between: Literal["stages", "views"] = Field(
        default="stages",
        description="stages: of one view; views: the decoder's features of a view and of its place "
        "in the view that it lies in, as those of mask_in_mask do",
    )
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
        description="sites sampled in each volume, at most; per pair of stages. Between views "
        "nothing is sampled",
        json_schema_extra={"unit": "sites"},
    )
    negatives: Literal["volume", "batch"] = Field(
        default="volume",
        description="where negatives come from; volume: the same volume, between views the same "
        "parent; batch: all volumes of the batch, while training of all ranks. Held-out crops are "
        "measured one at a time, with their own negatives alone",
    )

    @model_validator(mode="after")
    def _nothing_is_sampled(self) -> InfoNCE:
        if self.between == "views" and self.samples != type(self).model_fields["samples"].default:
            raise ValueError(
                f"samples is {self.samples}, and between views all places count: leave it out"
            )
        return self

    def needs(self) -> frozenset[Need]:
        """Two stages or more; between views those that lie in others."""
        return frozenset({"two_stages"} if self.between == "stages" else {"parents"})
