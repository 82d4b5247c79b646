"""A loss under test: the random steps that it is tried on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Stage, Triple, quotient, times
from ssl3d.kinds.batch import Batch, ViewBatch
from ssl3d.kinds.decoder import DecoderOutput
from ssl3d.kinds.level import Level
from ssl3d.kinds.loss import Loss
from ssl3d.kinds.loss_config import LossConfig
from ssl3d.kinds.output import StepOutput, ViewOutput
from ssl3d.masked.target import hidden_patches
from ssl3d.plugin.registry import installed
from ssl3d.sparse import CellGrid, FeatureMap, HiddenLevels, SparseBackend, SparseVolume
from ssl3d.sparse.backend_config import SparseBackendConfig
from ssl3d.sparse.hidden import cells_to_voxels

CELL: Triple = (4, 4, 8)
GRID: Triple = (2, 3, 2)
BATCH = 2
LEVELS = (Level(1, times(GRID, CELL)), Level(2, times(GRID, CELL), place=(1, 1, 2)))
"""Views, and two that lie in each, for losses that look at both."""

LARGER: Triple = (3, 4, 4)
"""The grid with padding behind each axis, in whole places."""


@dataclass(frozen=True)
class LossUnderTest:
    """A loss and what it is tried on.

    Attributes:
        config: the loss under test.
        stages: feature maps that it is given, fine to coarse.
        device: where it computes.
    """

    config: LossConfig
    stages: tuple[Stage, ...] = (Stage((2, 2, 2), 6), Stage((4, 4, 4), 10))
    device: str = "cpu"

    @property
    def levels(self) -> int:
        """Levels of views: a loss that needs parents has two."""
        return 2 if "parents" in self.config.needs() else 1

    def build(self, *, stages: int | None = None) -> Loss:
        """The loss in float64; its parameters do not depend on what was drawn before.

        Args:
            stages: how many of them it is built for; None: all.
        """
        torch.manual_seed(0)
        built = self.config.build(
            stages=self.stages[:stages], features=Stage((1, 1, 1), 1), levels=self.levels
        )
        return built.double().to(self.device)

    def step(
        self,
        *,
        hidden: Tensor | None = None,
        dense: bool = False,
        restored: bool = True,
        grid: Triple = GRID,
    ) -> StepOutput:
        """A random step of one view a sample, and two more in it where the loss needs parents.

        The last cell of the first row is padding, and so is the first plane of its first cell.
        Predictions, which are the decoder's features as well, and feature maps require gradients.

        Args:
            hidden: (B, Gd, Gh, Gw) bool, about half of the cells by default.
            dense: feature maps are those of `encoder_input="zeroed"`.
            restored: there is a prediction.
            grid: cells of a view; those beyond `GRID` are padding, and all else is the same.
        """
        random, views, maps = torch.Generator().manual_seed(1), [], []
        for level in LEVELS[: self.levels]:
            views.append(_views(level, hidden=hidden, random=random, grid=grid))
            cells = views[-1].cells.to(self.device)
            maps.append(
                tuple(_features(s, cells=cells, random=random, dense=dense) for s in self.stages)
            )
        size = times(grid, CELL)
        batch = Batch(tuple(views), samples=tuple(range(BATCH)), sources=("random",) * BATCH)
        predictions = [
            _padded(torch.randn(len(view), 1, *times(GRID, CELL), generator=random), to=size)
            .to(self.device, torch.float64)
            .requires_grad_()
            for view in views
        ]
        batch = batch.to(self.device)
        return step_of(batch, stages=maps, predictions=predictions if restored else None)

    def compute(self, step: StepOutput, *, seed: int = 0) -> dict[str, Tensor]:
        """What the loss gives for `step`."""
        values: dict[str, Tensor] = self.build()(
            step, generator=torch.Generator().manual_seed(seed)
        )
        return values


def step_of(
    batch: Batch,
    *,
    stages: Sequence[tuple[FeatureMap, ...]],
    predictions: Sequence[Tensor] | None,
    features: Sequence[Tensor] | None = None,
) -> StepOutput:
    """A step with a normalised target.

    Args:
        batch: what was given.
        stages: feature maps of each level of views.
        predictions: of each level; None: nothing was restored.
        features: the decoder's, of each level; None: the predictions.
    """
    made = []
    for number, (views, maps) in enumerate(zip(batch.views, stages, strict=True)):
        if predictions is None:
            made.append(ViewOutput(views, maps, "patch_normalised"))
            continue
        volume = predictions[number]
        found = hidden_patches(views, prediction=volume, target="patch_normalised")
        decoded = DecoderOutput((features or predictions)[number], volume)
        made.append(ViewOutput(views, maps, "patch_normalised", decoded=decoded, found=found))
    return StepOutput(batch, tuple(made))


def _views(
    level: Level, *, hidden: Tensor | None, random: torch.Generator, grid: Triple
) -> ViewBatch:
    """Random views of one level, in unlike places of those that they lie in."""
    rows = BATCH * level.count
    padding = torch.zeros(rows, *GRID, dtype=torch.bool)
    padding[0, -1, -1, -1] = True
    if hidden is None:
        hidden = torch.rand(rows, *GRID, generator=random) < 0.5
        hidden[:, 0, 0, 0], hidden[:, 0, 0, 1] = True, False
    else:
        hidden = hidden.repeat_interleave(level.count, 0)
    hidden = hidden & ~padding
    valid = ~cells_to_voxels(padding, cell=CELL)
    valid[0, 0, : CELL[1], : CELL[2]] = False
    volume = torch.rand(rows, 1, *times(GRID, CELL), generator=random, dtype=torch.float64)
    size = times(grid, CELL)
    volume, valid = (_padded(x, to=size) for x in (volume * valid[:, None], valid))
    visible, hidden = (_padded(x, to=grid) for x in (~hidden & ~padding, hidden))
    number, inside = torch.arange(rows), level.place is not None
    corner = torch.stack([number % 2, number % 3, torch.zeros_like(number)], 1)
    extent = torch.tensor(level.place or (0, 0, 0)).expand_as(corner)
    return ViewBatch(
        volume,
        valid=valid,
        cells=CellGrid(visible, cell=CELL).prepared(),
        hidden=HiddenLevels((hidden,)),
        hidden_positions=(hidden.flatten().nonzero().flatten(),),
        level=replace(level, size=size),
        parent=number // level.count if inside else None,
        parent_box=torch.stack([corner, extent], 1) if inside else None,
    )


def _features(stage: Stage, *, cells: CellGrid, random: torch.Generator, dense: bool) -> FeatureMap:
    """Random features of a stage."""
    size = quotient(times(GRID, CELL), stage.stride)
    volume = torch.randn(cells.batch, stage.channels, *size, generator=random).double()
    size = quotient(times(cells.grid, CELL), stage.stride)
    volume = _padded(volume, to=size).to(cells.visible.device)
    if dense:
        return volume.requires_grad_()
    features = cells.gather(volume, stride=stage.stride).requires_grad_()
    return SparseVolume(features, cells, stage.stride, _backend())


def _padded(x: Tensor, *, to: Triple) -> Tensor:
    """Zeros, or False, behind the last three axes."""
    z, y, w = (edge - have for edge, have in zip(to, x.shape[-3:], strict=True))
    return F.pad(x, (0, w, 0, y, 0, z))


def _backend() -> SparseBackend:
    config = installed().config("sparse_backend", name="dense")()  # type: ignore[call-arg]
    assert isinstance(config, SparseBackendConfig)
    return config.build()
