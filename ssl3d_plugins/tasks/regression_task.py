"""The task `regression`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Stage
from ssl3d.kinds.decoder import DecoderOutput
from ssl3d.kinds.task import DownstreamTask, Labelled, Row
from ssl3d.measure.value_error import values_summary
from ssl3d_plugins.tasks.pooled import PooledHead
from ssl3d_plugins.tasks.regression_config import Regression

ERRORS: dict[str, Callable[..., Tensor]] = {
    "huber": F.huber_loss,
    "mse": F.mse_loss,
    "l1": F.l1_loss,
}


class RegressionTask(DownstreamTask):
    """See `Regression` for the options. Outputs are standardised; buffers hold mean and deviation.

    With several crops joined by their maximum, the crop with the largest value speaks for a case.
    """

    config: Regression

    def __init__(self, config: Regression, *, stages: Sequence[Stage]) -> None:
        super().__init__(config, stages=stages)
        count = len(config.values)
        self.head = PooledHead(
            stages,
            outputs=count,
            sites=config.sites,
            crops=config.crops,
            dropout=config.dropout,
        )
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("deviation", torch.ones(count))

    def see_targets(self, targets: Tensor) -> None:
        """Mean and deviation of all training targets; what has one number alone is not scaled.

        Raises:
            ValueError: no column has two different numbers.
        """
        columns = [column[~column.isnan()].double() for column in targets.T]
        several = [len(known.unique()) > 1 for known in columns]
        if not any(several):
            raise ValueError(
                f"columns {', '.join(self.config.values)}: the training cases have fewer than two "
                "different numbers there, and nothing can be learned from them: give others"
            )
        for i, known in enumerate(columns):
            if len(known):
                self.get_buffer("mean")[i] = known.mean()
            if several[i]:
                self.get_buffer("deviation")[i] = known.std()

    def forward(
        self,
        stages: Sequence[Tensor],
        *,
        decoded: DecoderOutput | None,  # noqa: ARG002
        valid: Tensor | None,
    ) -> tuple[Tensor, ...]:
        """Pooled features of each crop."""
        return (self.head(stages, valid=valid),)

    def joined(self, crops: Tensor, *, counts: Sequence[int]) -> Tensor:
        """Standardised values (B, K)."""
        outputs: Tensor = self.head.joined(crops, counts=counts)
        return outputs

    def loss(self, outputs: Sequence[Tensor], *, batch: Labelled) -> dict[str, Tensor]:
        """`loss`, the mean over targets that are there; `count/missing` counts the others."""
        assert batch.targets is not None, "regression needs targets"
        known = ~batch.targets.isnan()
        target = (batch.targets.float() - self.get_buffer("mean")) / self.get_buffer("deviation")
        error = ERRORS[self.config.loss]
        each = error(outputs[0].float(), target.nan_to_num(), reduction="none")
        loss = (each * known).sum() / known.sum().clamp(min=1)
        return {"loss": loss, "count/missing": (~known).sum().float()}

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Values in their units."""
        return outputs.float() * self.get_buffer("deviation") + self.get_buffer("mean")

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
        """`predicted/NAME` and `target/NAME`; `error` is the mean of standardised ones."""
        names = self.config.values
        far = (decided - truth).abs() / self.get_buffer("deviation").to(decided.device)
        row = {f"predicted/{n}": float(v) for n, v in zip(names, decided, strict=True)}
        row |= {f"target/{n}": float(v) for n, v in zip(names, truth, strict=True)}
        return {"error": float(far.nanmean()), **row}

    def summary(self, rows: Sequence[Mapping[str, float]]) -> Row:
        """See `ssl3d.measure.value_error`."""
        return values_summary(rows, columns=self.config.values)

    def badness(self, row: Mapping[str, float]) -> float:
        """The error."""
        return row["error"]
