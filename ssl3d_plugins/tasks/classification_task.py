"""The task `classification`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Stage
from ssl3d.kinds.decoder import DecoderOutput
from ssl3d.kinds.task import DownstreamTask, Labelled, Row
from ssl3d.measure.discrimination import classes_summary, labels_summary
from ssl3d_plugins.tasks.classification_config import Classification
from ssl3d_plugins.tasks.pooled import PooledHead


class ClassificationTask(DownstreamTask):
    """See `Classification` for the options.

    `balance` is a buffer: the weight of each class, or of what is present in each label.
    """

    config: Classification

    def __init__(self, config: Classification, *, stages: Sequence[Stage]) -> None:
        super().__init__(config, stages=stages)
        names = config.outputs()
        self.head = PooledHead(
            stages,
            outputs=len(names),
            sites=config.sites,
            crops=config.crops,
            dropout=config.dropout,
        )
        self.register_buffer("balance", torch.ones(len(names)))
        weights = torch.tensor(list(config.output_weights().values()))
        self.register_buffer("weights", weights, persistent=False)

    def see_targets(self, targets: Tensor) -> None:
        """Balance classes, or what is present and what is not, by all training targets.

        Raises:
            ValueError: the training cases have one class only, or a value that is no class.
        """
        known = ~targets.isnan()
        balance = self.get_buffer("balance")
        if self.config.classes is not None:
            index = targets[known[:, 0], 0].long()
            if len(index) and not 0 <= index.min() <= index.max() < len(balance):
                raise ValueError(
                    f"column {self.config.column}: class {int(index.max())} is none of "
                    f"{', '.join(self.config.classes)}, which are 0, 1, ..."
                )
            counts = torch.bincount(index, minlength=len(balance)).float()
            if (counts > 0).sum() < 2:
                raise ValueError(
                    f"column {self.config.column}: the training cases are of one class only, "
                    "which leaves nothing to tell apart: give cases of another one too"
                )
            new = counts.sum() / (counts.count_nonzero() * counts.clamp(min=1))
        else:
            present, absent = (((targets == v) & known).sum(0).float() for v in (1, 0))
            wrong = sorted(set(targets[known & (targets != 0) & (targets != 1)].tolist()))
            if wrong:
                raise ValueError(f"columns of labels hold {wrong}; a label is 0 or 1, or empty")
            one_sided = ((present == 0) | (absent == 0)).tolist()
            if all(one_sided):
                raise ValueError(
                    "every label has one value only among the training cases, which leaves nothing "
                    "to learn: give cases with and without"
                )
            # What is one-sided has nothing to balance.
            new = torch.where((present > 0) & (absent > 0), absent / present.clamp(min=1), 1.0)
        if self.config.balance:
            balance.copy_(new)

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
        """Logits (B, K)."""
        outputs: Tensor = self.head.joined(crops, counts=counts)
        return outputs

    def loss(self, outputs: Sequence[Tensor], *, batch: Labelled) -> dict[str, Tensor]:
        """`loss`: cross-entropy, or binary cross-entropy by the labels' weights.

        `count/missing` counts targets that are not there.
        """
        assert batch.targets is not None, "classification needs targets"
        known = ~batch.targets.isnan()
        balance = self.get_buffer("balance")
        if self.config.classes is not None:
            index = batch.targets[:, 0].nan_to_num().long()
            each = F.cross_entropy(outputs[0].float(), index, reduction="none")
            # Over cases, not over weights: those of a batch of one class would cancel.
            loss = (each * balance[index] * known[:, 0]).sum() / known.sum().clamp(min=1)
        else:
            target = batch.targets.float().nan_to_num()
            each = F.binary_cross_entropy_with_logits(
                outputs[0].float(), target, reduction="none", pos_weight=balance
            )
            weight = self.get_buffer("weights") * known
            # The weights' sum, so that what is missing makes the others count no less.
            loss = (each * weight).sum() / weight.sum().clamp(min=1e-6)
        return {"loss": loss, "count/missing": (~known).sum().float()}

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Softmax over classes, or a sigmoid for each label."""
        scores = outputs.float()
        return scores.softmax(-1) if self.config.classes is not None else scores.sigmoid()

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
        """`probability/NAME` and `target/NAME`; of classes one `target`, their index.

        `error` is the cross-entropy without any weights: what cases are sorted by.
        """
        names = self.config.outputs()
        row = {f"probability/{n}": float(p) for n, p in zip(names, decided, strict=True)}
        guess = decided.double().clamp(1e-7, 1 - 1e-7)
        if self.config.classes is not None:
            value = float(truth[0])
            error = math.nan if math.isnan(value) else -math.log(float(guess[int(value)]))
            return {"error": error, "target": value, **row}
        target = truth.double()
        each = -(target * guess.log() + (1 - target) * (1 - guess).log())
        row |= {f"target/{n}": float(t) for n, t in zip(names, truth, strict=True)}
        return {"error": float(each.nanmean()), **row}

    def summary(self, rows: Sequence[Mapping[str, float]]) -> Row:
        """See `ssl3d.measure.discrimination`."""
        if self.config.classes is not None:
            return classes_summary(rows, classes=self.config.outputs())
        return labels_summary(rows, weights=self.config.output_weights())

    def badness(self, row: Mapping[str, float]) -> float:
        """The cross-entropy."""
        return row["error"]
