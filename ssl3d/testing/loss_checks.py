"""What every loss must do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

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
from ssl3d.testing.check import check, checks_of, refused, require, survives_json

CELL: Triple = (4, 4, 8)
GRID: Triple = (2, 3, 2)
BATCH = 2
LEVELS = (Level(1, times(GRID, CELL)), Level(2, times(GRID, CELL), place=(1, 1, 2)))
"""Views, and two that lie in each, for losses that look at both."""


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
        self, *, hidden: Tensor | None = None, dense: bool = False, restored: bool = True
    ) -> StepOutput:
        """A random step of one view a sample, and two more in it where the loss needs parents.

        The last cell of the first row is padding. Predictions, which are the decoder's features as
        well, and feature maps require gradients.

        Args:
            hidden: (B, Gd, Gh, Gw) bool, about half of the cells by default.
            dense: feature maps are those of `encoder_input="zeroed"`.
            restored: there is a prediction.
        """
        random, views, maps = torch.Generator().manual_seed(1), [], []
        for level in LEVELS[: self.levels]:
            views.append(_views(level, hidden=hidden, random=random))
            cells = views[-1].cells.to(self.device)
            maps.append(
                tuple(_features(s, cells=cells, random=random, dense=dense) for s in self.stages)
            )
        batch = Batch(tuple(views), samples=tuple(range(BATCH)), sources=("random",) * BATCH)
        predictions = [
            torch.randn(view.volume.shape, generator=random)
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
) -> StepOutput:
    """A step with a normalised target; stages and predictions are those of each level of views."""
    made = []
    for number, (views, maps) in enumerate(zip(batch.views, stages, strict=True)):
        if predictions is None:
            made.append(ViewOutput(views, maps, "patch_normalised"))
            continue
        volume = predictions[number]
        found = hidden_patches(views, prediction=volume, target="patch_normalised")
        decoded = DecoderOutput(volume, volume)
        made.append(ViewOutput(views, maps, "patch_normalised", decoded=decoded, found=found))
    return StepOutput(batch, tuple(made))


@check(dense=(False, True))
def it_gives_scalars_and_a_loss_that_teaches(loss: LossUnderTest, *, dense: bool) -> None:
    """`dense` feature maps are those of `encoder_input="zeroed"`."""
    step = loss.step(dense=dense)
    values = loss.compute(step)
    require("loss" in values, "forward must return a scalar named loss")
    for name, value in values.items():
        require(value.shape == (), f"{name} is no scalar")
        require(bool(value.isfinite()), f"{name} is not finite")
    inputs = [view.prediction for view in step.views]
    inputs += [_values(stage) for view in step.views for stage in view.stages]
    gradients = torch.autograd.grad(values["loss"], inputs, allow_unused=True)
    found = [gradient for gradient in gradients if gradient is not None]
    require(any(bool(g.abs().sum() > 0) for g in found), "nothing to learn from")
    require(all(bool(g.isfinite().all()) for g in found), "a gradient is not finite")


@check()
def every_parameter_has_a_gradient(loss: LossUnderTest) -> None:
    """Distributed training waits for each of them."""
    built = loss.build()
    built(loss.step(), generator=torch.Generator().manual_seed(0))["loss"].backward()
    without = [name for name, p in built.named_parameters() if p.grad is None]
    require(not without, f"without a gradient: {', '.join(without)}")


@check()
def padding_does_not_count(loss: LossUnderTest) -> None:
    """A prediction where no voxel is valid changes no bit."""
    step, others = loss.step(), []
    for view in step.views:
        assert view.batch.valid is not None
        others.append(torch.where(view.batch.valid[:, None], view.prediction, 1e6))
    stages = [view.stages for view in step.views]
    changed = loss.compute(step_of(step.batch, stages=stages, predictions=others))
    values = loss.compute(step)
    require(torch.equal(values["loss"], changed["loss"]), "padding changes the loss")


@check(everything=(False, True))
def nothing_hidden_or_everything_is_no_nan(loss: LossUnderTest, *, everything: bool) -> None:
    """A step may hide nothing, or all."""
    hidden = torch.full((BATCH, *GRID), everything)
    value = loss.compute(loss.step(hidden=hidden))["loss"]
    require(bool(value.isfinite()), "the loss is not finite")


@check()
def randomness_comes_from_the_generator_alone(loss: LossUnderTest) -> None:
    """One state, one value; torch's own state stays as it is."""
    step, built = loss.step(), loss.build()
    state = torch.get_rng_state()
    first, second = (
        built(step, generator=torch.Generator().manual_seed(5))["loss"] for _ in range(2)
    )
    require(torch.equal(first, second), "two draws from one state of the generator differ")
    require(torch.equal(state, torch.get_rng_state()), "global random state was used")


@check()
def it_asks_for_two_stages_where_it_needs_them(loss: LossUnderTest) -> None:
    """And works with one where it does not."""
    if "two_stages" in loss.config.needs():
        with refused("one stage for a loss that needs two", naming="stage"):
            loss.build(stages=1)
        return
    step = loss.step()
    single = step_of(
        step.batch,
        stages=[view.stages[:1] for view in step.views],
        predictions=[view.prediction for view in step.views],
    )
    values = loss.build(stages=1)(single, generator=torch.Generator().manual_seed(0))
    require(bool(values["loss"].isfinite()), "the loss of one stage is not finite")


@check()
def it_restores_only_where_it_says_so(loss: LossUnderTest) -> None:
    """Where no loss of a spec needs a restoration there is no decoder, and no prediction."""
    step = loss.step(restored=False)
    if loss.config.needs() & {"restoration", "parents"}:
        with refused("a step without a prediction", naming="restored"):
            loss.compute(step)
        return
    same = torch.equal(loss.compute(step)["loss"], loss.compute(loss.step())["loss"])
    require(same, "the loss is another without a prediction, which needs() does not ask for")


@check()
def the_config_survives_json(loss: LossUnderTest) -> None:
    """Specs are stored as JSON; logs have the label, or the name."""
    survives_json(loss.config)
    title = loss.config.label or loss.config.name
    require(loss.config.title == title, f"title is {loss.config.title!r}, expected {title!r}")


CHECKS = checks_of(globals())


def _views(level: Level, *, hidden: Tensor | None, random: torch.Generator) -> ViewBatch:
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
    shape = (rows, 1, *times(GRID, CELL))
    number, inside = torch.arange(rows), level.place is not None
    corner = torch.stack([number % 2, number % 3, torch.zeros_like(number)], 1)
    extent = torch.tensor(level.place or (0, 0, 0)).expand_as(corner)
    return ViewBatch(
        torch.rand(shape, generator=random, dtype=torch.float64) * valid[:, None],
        valid=valid,
        cells=CellGrid(~hidden & ~padding, cell=CELL).prepared(),
        hidden=HiddenLevels((hidden,)),
        hidden_positions=(hidden.flatten().nonzero().flatten(),),
        level=level,
        parent=number // level.count if inside else None,
        parent_box=torch.stack([corner, extent], 1) if inside else None,
    )


def _features(stage: Stage, *, cells: CellGrid, random: torch.Generator, dense: bool) -> FeatureMap:
    """Random features of a stage."""
    size = quotient(times(GRID, CELL), stage.stride)
    volume = torch.randn(cells.batch, stage.channels, *size, generator=random).double()
    volume = volume.to(cells.visible.device)
    if dense:
        return volume.requires_grad_()
    features = cells.gather(volume, stride=stage.stride).requires_grad_()
    return SparseVolume(features, cells, stage.stride, _backend())


def _values(x: FeatureMap) -> Tensor:
    return x.features if isinstance(x, SparseVolume) else x


def _backend() -> SparseBackend:
    config = installed().config("sparse_backend", name="dense")()  # type: ignore[call-arg]
    assert isinstance(config, SparseBackendConfig)
    return config.build()
