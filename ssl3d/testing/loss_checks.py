"""What every loss must do."""

from __future__ import annotations

from collections.abc import Sequence
from unittest import SkipTest

import torch
from torch import Tensor

from ssl3d.kinds.output import StepOutput
from ssl3d.sparse import FeatureMap, SparseVolume
from ssl3d.sparse.hidden import cells_to_voxels, described
from ssl3d.testing.check import (
    check,
    checks_of,
    global_random_states_untouched,
    largest_error,
    refused,
    require,
    survives_json,
)
from ssl3d.testing.loss_under_test import BATCH, CELL, GRID, LARGER, LossUnderTest, step_of


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
    step, predictions, features = loss.step(), [], []
    for view in step.views:
        assert view.batch.valid is not None
        data = view.batch.cells.visible | view.batch.hidden.levels[0]
        features.append(_only(view.features, cells_to_voxels(data, cell=CELL)))
        predictions.append(_only(view.prediction, view.batch.valid))
    changed = _changed(step, predictions=predictions, features=features)
    same = torch.equal(loss.compute(step)["loss"], loss.compute(changed)["loss"])
    require(same, "what is predicted of padding changes the loss")


@check()
def more_padding_changes_nothing(loss: LossUnderTest) -> None:
    """A mean over voxels or cells leaves out padding from what it divides by, too."""
    step, larger = loss.step(), loss.step(grid=LARGER)
    value = loss.compute(step)["loss"]
    if loss.config.draws and not torch.equal(value, loss.compute(step, seed=1)["loss"]):
        raise SkipTest("what it draws may depend on the size of the volume")
    name = "the loss of the same volumes with more padding around them"
    largest_error(loss.compute(larger)["loss"], value, name=name, tolerance=1e-9)


@check()
def visible_cells_do_not_count(loss: LossUnderTest) -> None:
    """A restoration of what the encoder saw would teach it to copy."""
    step = loss.step()
    shown = (cells_to_voxels(view.batch.cells.visible, cell=CELL) for view in step.views)
    predictions = [_only(v.prediction, ~at) for v, at in zip(step.views, shown, strict=True)]
    changed = _changed(step, predictions=predictions)
    same = torch.equal(loss.compute(step)["loss"], loss.compute(changed)["loss"])
    require(same, "what is predicted of visible cells changes the loss")


@check(everything=(False, True))
def nothing_hidden_or_everything_is_no_nan(loss: LossUnderTest, *, everything: bool) -> None:
    """A step may hide nothing, or all; its numbers have the same names then."""
    values = loss.compute(loss.step(hidden=_hidden(everything=everything)))
    require(bool(values["loss"].isfinite()), "the loss is not finite")
    names, usual = sorted(values), sorted(loss.compute(loss.step()))
    what = "everything" if everything else "nothing"
    require(names == usual, f"gives {names} where {what} is hidden, and {usual} otherwise")


@check(hidden={"some": None, "nothing": False, "everything": True})
def measurable_says_where_there_is_something(loss: LossUnderTest, *, hidden: bool | None) -> None:
    """A bool for each sample, also by levels of views; without any of them the loss is 0."""
    step = loss.step(hidden=None if hidden is None else _hidden(everything=hidden))
    built = loss.build()
    found, by_view = built.measurable(step), built.measurable_views(step)
    wanted = described(torch.zeros(BATCH, dtype=torch.bool, device=loss.device))
    for one in (found, *by_view):
        require(described(one) == wanted, f"measurable gives {described(one)}, expected {wanted}")
    count = f"measurable_views gives {len(by_view)} for {len(step.views)} levels of views"
    require(len(by_view) == len(step.views), count)
    if hidden is False and "restoration" not in loss.config.needs():
        return  # what compares features may find some to compare
    there = bool(found.any())
    require(there or hidden is not None, "measurable says: nothing, where half is hidden")
    require(not there or hidden is not False, "measurable says: something, where nothing is hidden")
    value = float(loss.compute(step)["loss"].detach())
    require(there or value == 0, f"measurable says: nothing, and the loss is {value:g}, not 0")


@check()
def randomness_comes_from_the_generator_alone(loss: LossUnderTest) -> None:
    """One state, one value; global states stay as they are, and that one where `draws` is False."""
    step, built = loss.step(), loss.build()
    one, other = (torch.Generator().manual_seed(5) for _ in range(2))
    state = one.get_state()
    with global_random_states_untouched():
        first, second = (built(step, generator=each)["loss"] for each in (one, other))
    require(torch.equal(first, second), "two draws from one state of the generator differ")
    drawn = not torch.equal(state, one.get_state())
    require(
        loss.config.draws or not drawn,
        "draws from the generator, and its config says: draws = False",
    )


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


def _values(x: FeatureMap) -> Tensor:
    return x.features if isinstance(x, SparseVolume) else x


def _only(values: Tensor, where: Tensor) -> Tensor:
    """(R, C, D, H, W), with an absurd number where (R, D, H, W) is False."""
    return torch.where(where[:, None], values, 1e6)


def _changed(
    step: StepOutput, *, predictions: Sequence[Tensor], features: Sequence[Tensor] | None = None
) -> StepOutput:
    """The same step with other predictions; the decoder's features stay where none are given."""
    stages = [view.stages for view in step.views]
    features = features or [view.features for view in step.views]
    return step_of(step.batch, stages=stages, predictions=predictions, features=features)


def _hidden(*, everything: bool) -> Tensor:
    return torch.full((BATCH, *GRID), everything)
