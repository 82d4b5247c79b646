"""What the options of a downstream task are, and what validation asks of them. Imports no torch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from ssl3d.geometry import Stage
from ssl3d.plugin.config import ComponentConfig, Problem

if TYPE_CHECKING:
    from ssl3d.kinds.task import DownstreamTask


class TaskConfig(ComponentConfig):
    """Options of a downstream task: what a pre-trained encoder is fine-tuned for.

    Attributes:
        per: what is predicted for: each `voxel`, on a decoder, or each `case`, on the stages.
        targets: what the columns of a case hold: a `class`, a whole number from 0, or a `number`.
        primary: which number of `summary` says how good a model is.
        larger_is_better: of the primary number.
        static: True where crops and losses are computed on the device alone, by the same operations
            for each batch of one shape: `trainer.cuda_graph` then launches a step as a whole.
    """

    kind: ClassVar[str] = "task"
    makes: ClassVar[str] = "ssl3d.kinds.task:DownstreamTask"
    answers: ClassVar[tuple[str, ...]] = (
        "outputs",
        "columns",
        "column_classes",
        "legend",
        "ignored",
        "problems",
    )
    per: ClassVar[Literal["voxel", "case"]]
    targets: ClassVar[Literal["class", "number"]] = "number"
    primary: ClassVar[str]
    larger_is_better: ClassVar[bool] = True
    static: ClassVar[bool] = False

    @abstractmethod
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, K: channels of a map, or columns of a table."""

    def columns(self) -> tuple[str, ...]:
        """Names of the targets of a case, in a table of labelled cases; none for voxels."""
        return ()

    def column_classes(self) -> tuple[str, ...]:
        """What a column may say in place of 0, 1, ..., no other; none: any whole number from 0."""
        return ()

    def output_weights(self) -> Mapping[str, float]:
        """Weight of each output in means over outputs; 1 each by default."""
        return dict.fromkeys(self.outputs(), 1.0)

    def legend(self) -> Mapping[str, int]:
        """Name to value in the files of each label but the background, which is 0.

        Class i of a map is the i-th of them, from 1. None where voxels have no labels.
        """
        return {}

    def ignored(self) -> int | None:
        """Value in label files of voxels that nobody labelled."""
        return None

    def problems(self, *, stages: Sequence[Stage]) -> Iterable[Problem]:  # noqa: ARG002
        """What does not fit a backbone with these stages, fine to coarse."""
        return ()

    def build(self, *, stages: Sequence[Stage]) -> DownstreamTask:
        """Make the module, with parameters from torch's global generator."""
        task: DownstreamTask = self._make(stages=stages)
        return task
