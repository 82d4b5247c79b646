"""A downstream task: what a pre-trained encoder is fine-tuned for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol

from torch import Tensor, nn

from ssl3d.geometry import Stage
from ssl3d.kinds.decoder import DecoderOutput
from ssl3d.plugin.config import ComponentConfig

IGNORE = -1
"""Class of voxels that count for nothing: padding, and what nobody labelled."""

Row = dict[str, float]
"""Numbers of one case by name; NaN where there is nothing to measure."""


class Labelled(Protocol):
    """Crops of labelled cases: R rows, case by case, of B cases.

    Attributes:
        volume: (R, C, D, H, W).
        valid: (R, D, H, W) bool; None where all voxels are valid.
        labels: (R, D, H, W) whole numbers, a class or IGNORE; None for tasks on cases.
        targets: (B, columns) float, NaN where nobody knows; None for tasks on voxels.
        counts: rows of each case.
    """

    @property
    def volume(self) -> Tensor: ...
    @property
    def valid(self) -> Tensor | None: ...
    @property
    def labels(self) -> Tensor | None: ...
    @property
    def targets(self) -> Tensor | None: ...
    @property
    def counts(self) -> tuple[int, ...]: ...


class DownstreamTask(nn.Module, ABC):
    """Head, loss and numbers of a task.

    What is averaged over windows, flips and models is what `probabilities` gives, and a case's
    numbers are those of what `decided` makes of the mean.
    """

    def __init__(self, config: ComponentConfig, *, stages: Sequence[Stage]) -> None:
        super().__init__()
        self.config = config
        self.stages = tuple(stages)

    def see_targets(self, targets: Tensor) -> None:
        """Take from all training targets (N, columns) what the task keeps of them in buffers.

        Called once before training. By default nothing is.
        """

    @abstractmethod
    def forward(
        self, stages: Sequence[Tensor], *, decoded: DecoderOutput | None, valid: Tensor | None
    ) -> tuple[Tensor, ...]:
        """What a task makes of crops, each by itself.

        Args:
            stages: (R, C, d, h, w) each, fine to coarse.
            decoded: what a decoder with K output channels made of them; None for tasks on cases.
            valid: (R, D, H, W) bool; None where all voxels are valid.

        Returns:
            Of tasks on voxels the outputs, (R, K, D, H, W) without bounds, and coarser ones behind
            them for the loss alone. Of tasks on cases one vector for each crop, (R, F): what
            `joined` needs, of a crop of padding alone as well.
        """

    def joined(self, crops: Tensor, *, counts: Sequence[int]) -> Tensor:
        """The outputs of each case, (B, K) without bounds, from the vectors of its crops.

        Tasks on cases write it. A crop of padding alone says nothing where there are others.

        Args:
            crops: (R, F), case by case.
            counts: rows of each case.
        """
        raise NotImplementedError(f"{type(self).__name__} is on voxels, and joins no crops")

    @abstractmethod
    def loss(self, outputs: Sequence[Tensor], *, batch: Labelled) -> dict[str, Tensor]:
        """Named scalars: `loss` is optimised, the others are logged, `count/...` are added up.

        Names are the same every time. Padding and what is not labelled teach nothing.

        Args:
            outputs: of `forward` for tasks on voxels, that of `joined` alone for tasks on cases.
            batch: what they are of.
        """

    @abstractmethod
    def probabilities(self, outputs: Tensor) -> Tensor:
        """What may be averaged, in single precision, of the outputs' shape."""

    @abstractmethod
    def decided(self, probabilities: Tensor) -> Tensor:
        """Of one case: (K, D, H, W) to a map (D, H, W), of classes or numbers; (K,) as it is."""

    @abstractmethod
    def row(self, decided: Tensor, *, truth: Tensor, spacing: tuple[float, float, float]) -> Row:
        """The numbers of one case.

        Args:
            decided: see there.
            truth: classes (D, H, W) and IGNORE, or targets (columns,).
            spacing: of the voxels in mm, z y x.

        Returns:
            The same names for every case. What `summary` needs is in it.
        """

    @abstractmethod
    def summary(self, rows: Sequence[Mapping[str, float]]) -> Row:
        """Numbers over cases, the config's `primary` among them: a function of the rows alone."""

    @abstractmethod
    def badness(self, row: Mapping[str, float]) -> float:
        """What cases are sorted by, the worst first; NaN where nothing can be said."""
