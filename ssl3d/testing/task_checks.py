"""What every downstream task must do."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ssl3d.geometry import Stage, Triple, quotient, times
from ssl3d.kinds.decoder import DecoderOutput
from ssl3d.kinds.task import DownstreamTask
from ssl3d.kinds.task_config import TaskConfig
from ssl3d.testing.asks_nothing import asks_nothing
from ssl3d.testing.check import check, checks_of, largest_error, require, survives_json

GRID: Triple = (2, 3, 2)
CASES, CROPS = 3, 2
SPACING = (2.0, 1.0, 0.5)


@dataclass(frozen=True)
class Crops:
    """A labelled batch, see `ssl3d.kinds.task.Labelled`, and the feature maps of its crops."""

    stages: tuple[Tensor, ...]
    decoded: DecoderOutput | None
    volume: Tensor
    valid: Tensor
    labels: Tensor | None
    targets: Tensor | None
    counts: tuple[int, ...]

    @property
    def inputs(self) -> list[Tensor]:
        """What an encoder, or a decoder, would learn from."""
        return list(self.stages) if self.decoded is None else [self.decoded.volume]


@dataclass(frozen=True)
class TaskUnderTest:
    """A task and what it is tried on.

    Attributes:
        config: the task under test.
        stages: feature maps of the backbone, fine to coarse.
        targets: of a few training cases, a line for each, for tasks on cases; by default 0, 1, ...
            in every column.
    """

    config: TaskConfig
    stages: tuple[Stage, ...] = (Stage((2, 2, 2), 6), Stage((4, 4, 4), 10))
    targets: tuple[tuple[float, ...], ...] = field(default=())

    @property
    def crops(self) -> int:
        """Of each case."""
        return CROPS if self.config.per == "case" else 1

    def build(self) -> DownstreamTask:
        """The task, with the same parameters each time, after it has seen the targets."""
        torch.manual_seed(0)
        task = self.config.build(stages=self.stages)
        if self.config.per == "case":
            task.see_targets(self.known_targets())
        return task.eval()

    def known_targets(self) -> Tensor:
        """(CASES, columns)."""
        if self.targets:
            return torch.tensor(self.targets)
        columns = len(self.config.columns())
        return torch.arange(CASES)[:, None].remainder(2).float().expand(-1, columns).clone()

    def batch(self, *, labelled: bool = True) -> Crops:
        """Random crops; the last voxels of each crop, and the last crop of cases, are padding."""
        random = torch.Generator().manual_seed(1)
        counts = (self.crops,) * CASES
        rows, size = CASES * self.crops, times(GRID, self.stages[-1].stride)
        valid = torch.ones(rows, *size, dtype=torch.bool)
        valid[..., -self.stages[-1].stride[2] :] = False
        if self.crops > 1:
            valid[self.crops - 1 :: self.crops] = False
        stages = tuple(
            torch.randn(
                rows, s.channels, *quotient(size, s.stride), generator=random
            ).requires_grad_()
            for s in self.stages
        )
        volume = torch.randn(rows, 1, *size, generator=random)
        if self.config.per == "case":
            targets = self.known_targets()
            none = torch.full_like(targets, torch.nan)
            given = targets if labelled else none
            return Crops(
                stages, None, volume, valid, None, given[torch.arange(CASES) % len(given)], counts
            )
        outputs = torch.randn(rows, len(self.config.outputs()), *size, generator=random)
        outputs.requires_grad_()
        classes = len(self.config.legend()) + 1
        labels = torch.randint(classes, (rows, *size), generator=random).short()
        seen = valid if labelled else torch.zeros_like(valid)
        return Crops(stages, DecoderOutput(outputs, outputs), volume, seen, labels, None, counts)

    def outputs(self, task: DownstreamTask, batch: Crops) -> tuple[Tensor, ...]:
        """What the task gives for a batch, of tasks on cases for each case."""
        found: tuple[Tensor, ...] = task(batch.stages, decoded=batch.decoded, valid=batch.valid)
        if self.config.per == "voxel":
            return found
        return (task.joined(found[0], counts=batch.counts),)

    def decided(self, task: DownstreamTask, batch: Crops) -> list[tuple[Tensor, Tensor]]:
        """What is decided of each case, and the truth."""
        probabilities = task.probabilities(self.outputs(task, batch)[0].detach())
        truth = batch.labels if batch.targets is None else batch.targets
        assert truth is not None
        return [(task.decided(p), t) for p, t in zip(probabilities, truth, strict=True)]


@check()
def it_says_what_it_is(task: TaskUnderTest) -> None:
    """Outputs have names, targets have columns or a legend, and the stages fit."""
    config = task.config
    require(len(set(config.outputs())) == len(config.outputs()) > 0, "outputs() must be names")
    for option, message in config.problems(stages=task.stages):
        raise AssertionError(f"{option}: {message}")
    if config.per == "case":
        require(bool(config.columns()), "a task on cases names the columns of its targets")
    else:
        require(not config.columns(), "a task on voxels has no columns")
    require(0 not in config.legend().values(), "0 is background, and not in legend()")


@check()
def outputs_have_the_announced_shape(task: TaskUnderTest) -> None:
    """(R, K, D, H, W) for voxels, (B, K) for cases; and what may be averaged is as large."""
    built, batch = task.build(), task.batch()
    first = task.outputs(built, batch)[0]
    count = len(task.config.outputs())
    size = tuple(batch.volume.shape[2:])
    want = (CASES, count) if task.config.per == "case" else (CASES, count, *size)
    require(tuple(first.shape) == want, f"the outputs have shape {tuple(first.shape)}, not {want}")
    averaged = built.probabilities(first.half())
    require(averaged.shape == first.shape, f"probabilities have shape {tuple(averaged.shape)}")
    require(averaged.dtype == torch.float32, f"probabilities are of {averaged.dtype}")
    for decided, _ in task.decided(built, batch):
        want = (count,) if task.config.per == "case" else size
        require(tuple(decided.shape) == want, f"decided gives {tuple(decided.shape)}, not {want}")


@check()
def it_gives_scalars_and_a_loss_that_teaches(task: TaskUnderTest) -> None:
    """The encoder or decoder before it, and each of its own parameters."""
    built, batch = task.build(), task.batch()
    values = built.loss(task.outputs(built, batch), batch=batch)
    require("loss" in values, "loss must return a scalar named loss")
    for name, value in values.items():
        require(value.shape == () and bool(value.isfinite()), f"{name} is no finite scalar")
    torch.autograd.backward(values["loss"])
    grads = [x.grad for x in batch.inputs]
    learns = any(g is not None and bool(g.abs().sum() > 0) for g in grads)
    require(learns, "nothing before it would learn")
    without = [name for name, p in built.named_parameters() if p.grad is None]
    require(not without, f"without a gradient: {', '.join(without)}")


@check()
def what_is_not_labelled_teaches_nothing(task: TaskUnderTest) -> None:
    """Neither NaN nor a gradient where no target is known, or no voxel valid."""
    built, batch = task.build(), task.batch(labelled=False)
    values = built.loss(task.outputs(built, batch), batch=batch)
    same = values.keys() == built.loss(task.outputs(built, task.batch()), batch=task.batch()).keys()
    require(same, "the loss has other names where nothing is labelled")
    require(bool(values["loss"].isfinite()), "the loss is not finite where nothing is labelled")
    torch.autograd.backward(values["loss"])
    for x in batch.inputs:
        quiet = x.grad is None or not bool(x.grad.abs().sum() > 0)
        require(quiet, "what is not labelled has a gradient")


@check()
def padding_does_not_count(task: TaskUnderTest) -> None:
    """Features of sites, or outputs of voxels, where nothing is valid change no bit of the loss."""
    built, batch = task.build(), task.batch()
    before = built.loss(task.outputs(built, batch), batch=batch)["loss"]
    with torch.no_grad():
        for x in batch.inputs:
            x[..., -(x.shape[-1] // GRID[2]) :] = 50.0
            x[task.crops - 1 :: task.crops] = x[task.crops - 1 :: task.crops] + (task.crops > 1)
    after = built.loss(task.outputs(built, batch), batch=batch)["loss"]
    require(torch.equal(before, after), "padding changes the loss")


@check()
def a_step_asks_the_device_nothing(task: TaskUnderTest) -> None:
    """A loss that reads a value back would have every step wait for the device."""
    built, batch = task.build().to("meta"), task.batch()
    decoded = batch.decoded
    if decoded is not None:
        volume = _there(decoded.volume)
        decoded = DecoderOutput(volume, volume)
    there = Crops(
        tuple(_there(stage) for stage in batch.stages),
        decoded,
        volume=batch.volume.to("meta"),
        valid=batch.valid.to("meta"),
        labels=None if batch.labels is None else batch.labels.to("meta"),
        targets=None if batch.targets is None else batch.targets.to("meta"),
        counts=batch.counts,
    )
    with asks_nothing():
        torch.autograd.backward(built.loss(task.outputs(built, there), batch=there)["loss"])


@check()
def cases_do_not_meet(task: TaskUnderTest) -> None:
    """In evaluation the outputs of a case do not depend on the others."""
    built, batch = task.build(), task.batch()
    whole, rows = task.outputs(built, batch)[0], slice(0, task.crops)
    decoded = batch.decoded
    if decoded is not None:
        decoded = DecoderOutput(decoded.features[rows], decoded.volume[rows])
    stages = tuple(stage[rows] for stage in batch.stages)
    first = replace(
        batch, stages=stages, decoded=decoded, valid=batch.valid[rows], counts=batch.counts[:1]
    )
    alone = task.outputs(built, first)[0]
    largest_error(alone, whole[:1], name="the first case alone", tolerance=1e-5)


@check()
def numbers_are_functions_of_rows(task: TaskUnderTest) -> None:
    """Every case has the same names, and the summary does not depend on the order of cases."""
    built, batch = task.build(), task.batch()
    rows = [built.row(d, truth=t, spacing=SPACING) for d, t in task.decided(built, batch)]
    names = [tuple(row) for row in rows]
    require(len(set(names)) == 1, "rows have other names from case to case")
    for row in rows:
        require(all(isinstance(v, float | int) for v in row.values()), "a row holds no numbers")
        require(isinstance(built.badness(row), float), "badness must be a float")
    summary, turned = built.summary(rows), built.summary(rows[::-1])
    primary = task.config.primary
    require(primary in summary, f"summary has no {primary!r}, the primary number")
    require(summary.keys() == turned.keys(), "the summary has other names in another order")
    for name, value in summary.items():
        near = math.isclose(value, turned[name], rel_tol=1e-5, abs_tol=1e-6)
        both = math.isnan(value) and math.isnan(turned[name])
        require(near or both, f"{name} depends on the order of cases")
    require(built.summary(rows[:1]).keys() == summary.keys(), "one case has another summary")


@check()
def what_it_learned_of_targets_is_in_its_state(task: TaskUnderTest) -> None:
    """A task that is rebuilt and filled from a state dict predicts the same."""
    built, batch = task.build(), task.batch()
    again = task.config.build(stages=task.stages).eval()
    again.load_state_dict(built.state_dict())
    one, other = (t.probabilities(task.outputs(t, batch)[0]) for t in (built, again))
    require(torch.equal(one, other), "a state dict does not hold all that predictions depend on")


@check()
def the_config_survives_json(task: TaskUnderTest) -> None:
    """Specs are stored as JSON."""
    survives_json(task.config)


CHECKS = checks_of(globals())


def _there(values: Tensor) -> Tensor:
    """On device meta, to be learned from."""
    return values.detach().to("meta").requires_grad_()
