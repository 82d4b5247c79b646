"""The task `grade`: a logit for each grade that a case may reach."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from grade_task.config import Grade
from ssl3d.geometry import Stage
from ssl3d.kinds.decoder import DecoderOutput
from ssl3d.kinds.task import DownstreamTask, Labelled, Row


class GradeTask(DownstreamTask):
    """A linear map of the deepest stage's mean over valid sites; the highest crop speaks."""

    config: Grade

    def __init__(self, config: Grade, *, stages: Sequence[Stage]) -> None:
        super().__init__(config, stages=stages)
        self.head = nn.Linear(stages[-1].channels, config.highest)

    def forward(
        self,
        stages: Sequence[Tensor],
        *,
        decoded: DecoderOutput | None,  # noqa: ARG002
        valid: Tensor | None,
    ) -> tuple[Tensor, ...]:
        """(R, C, d, h, w) of the last stage to the logits (R, K) of each crop."""
        x = stages[-1].float()
        weight = torch.ones_like(x[:, :1])
        if valid is not None:
            weight = F.avg_pool3d(valid[:, None].float(), self.stages[-1].stride)
        mean = (x * weight).flatten(2).sum(2) / weight.flatten(2).sum(2).clamp(min=1e-6)
        # A crop of padding alone says nothing.
        return (self.head(mean).masked_fill(~weight.flatten(1).any(1, keepdim=True), -100.0),)

    def joined(self, crops: Tensor, *, counts: Sequence[int]) -> Tensor:
        """The highest logits of each case, (B, K)."""
        return torch.stack([case.amax(0) for case in crops.split(list(counts))])

    def loss(self, outputs: Sequence[Tensor], *, batch: Labelled) -> dict[str, Tensor]:
        """Binary cross-entropy of "at least", over cases with a grade."""
        assert batch.targets is not None
        known = ~batch.targets.isnan()
        steps = torch.arange(1, self.config.highest + 1, device=batch.targets.device)
        reached = (batch.targets >= steps).float()
        each = F.binary_cross_entropy_with_logits(outputs[0].float(), reached, reduction="none")
        return {"loss": (each * known).sum() / (known.sum() * len(steps)).clamp(min=1)}

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Of each grade to be reached."""
        return outputs.float().sigmoid()

    def decided(self, probabilities: Tensor) -> Tensor:
        """(K,) as it is."""
        return probabilities

    def row(
        self,
        decided: Tensor,
        *,
        truth: Tensor,
        spacing: tuple[float, float, float],  # noqa: ARG002
    ) -> Row:
        """The grade that is likely reached, the true one, and how far they are apart."""
        grade = float((decided > 0.5).sum())
        return {"error": abs(grade - float(truth[0])), "grade": grade, "target": float(truth[0])}

    def summary(self, rows: Sequence[Mapping[str, float]]) -> Row:
        """Mean absolute error and accuracy over cases with a grade."""
        errors = [row["error"] for row in rows if not math.isnan(row["error"])]
        count = len(errors) or math.nan
        return {"mae": sum(errors) / count, "accuracy": errors.count(0.0) / count}

    def badness(self, row: Mapping[str, float]) -> float:
        """How far the grade is off."""
        return row["error"]
