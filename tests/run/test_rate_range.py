"""The learning-rate range test of any task."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from toy import Toy

from ssl3d.report.rates import draw_rates
from ssl3d.run.launch import launched
from ssl3d.run.optimizer import optimizer_of
from ssl3d.run.optimizer_spec import OptimizerSpec
from ssl3d.run.rate_range import RateRange, rate_range
from ssl3d.run.run_error import RunError
from ssl3d.run.trainer_spec import TrainerSpec
from ssl3d.streams import Stream, global_seed

SGD = OptimizerSpec(name="sgd", momentum=0, weight_decay=0, clip=None)


def found(task: Toy, *, optimizer: OptimizerSpec = SGD, **options: Any) -> RateRange:
    fabric = launched(TrainerSpec(accelerator="cpu", devices=1))
    given = {"lowest": 1e-4, "highest": 100.0, "steps": 60, **options}
    return rate_range(task, fabric=fabric, optimizer=optimizer, seed=1, **given)


def test_it_finds_what_a_plain_loop_finds() -> None:
    mine, task = found(Toy(), steps=20, highest=1e-2), Toy()
    rule = optimizer_of(SGD, groups=task.parameter_groups())
    batches = task.batches(start=0, rank=0, world=1)
    for step in range(20):
        batch = next(batches)
        with global_seed(1, Stream.LAYERS, *batch.samples, device=torch.device("cpu")):
            loss = task.module(batch)["loss"]
        assert mine.losses[step] == float(loss.detach())
        loss.backward()
        assert mine.rates[step] == pytest.approx(1e-4 * 100 ** (step / 19))
        for group in rule.param_groups:
            group["lr"] = mine.rates[step]
        rule.step()
        rule.zero_grad()
    mean = sum(0.9 ** (19 - i) * loss for i, loss in enumerate(mine.losses))
    assert mine.smoothed[-1] == pytest.approx(mean / sum(0.9**i for i in range(20)))


def test_it_ends_where_the_loss_diverges_and_suggests_less() -> None:
    test = found(Toy())
    assert len(test.rates) == len(test.losses) == len(test.smoothed) < 60, (
        "it ends before the last rate"
    )
    assert test.suggestion == test.rates[test.lowest] / 10


def test_the_module_is_left_as_it_was() -> None:
    task = Toy()
    before = {name: value.clone() for name, value in task.module.state_dict().items()}
    task.module.eval()
    state = torch.get_rng_state()
    found(task)
    assert not task.module.training
    assert all(torch.equal(value, before[k]) for k, value in task.module.state_dict().items())
    assert all(parameter.grad is None for parameter in task.module.parameters())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("smoothed", [(1.0, 2.0, 3.0), (3.0, 2.0, 1.0)])
def test_nothing_is_suggested_without_a_minimum(smoothed: tuple[float, ...]) -> None:
    assert RateRange((1e-3, 1e-2, 1e-1), smoothed, smoothed).suggestion is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lowest": 1.0, "highest": 0.1}, "given rates from 1 to 0.1 in 60 steps"),
        ({"lowest": 0.0}, "given rates from 0 to 100"),
        ({"highest": float("inf")}, "given rates from 0.0001 to inf .* below the last, which is"),
    ],
)
def test_rates_must_rise(options: dict[str, float], message: str) -> None:
    with pytest.raises(RunError, match=message):
        found(Toy(), **options)


def test_a_loss_that_ceases_to_be_finite_is_the_end(tmp_path: Path) -> None:
    """It counts as a rise, also where the loss fell until there."""
    test = found(Toy(bad={4 * 20}), highest=1e-3)
    assert len(test.rates) == len(test.losses) == len(test.smoothed) == 21
    assert math.isnan(test.losses[-1])
    assert test.smoothed[-1] == math.inf
    rates, losses, smoothed = (1e-3, 1e-2, 1e-1), (3.0, 2.0, math.nan), (3.0, 2.0, math.inf)
    assert RateRange(rates, losses, smoothed).suggestion == 1e-3
    for n in (2, 3):
        given = {"losses": losses[-n:], "smoothed": smoothed[-n:]}
        draw_rates(rates[-n:], **given, suggestion=None, path=tmp_path / "lr.png")


def test_lamb_corrects_its_moments_as_in_training() -> None:
    pytest.importorskip("pytorch_optimizer")
    plain, corrected = (
        found(Toy(), optimizer=OptimizerSpec(name="lamb", bias_correction=on), steps=5).losses
        for on in (False, True)
    )
    assert plain[0] == corrected[0]
    assert plain[2:] != corrected[2:]


def test_a_loss_that_is_not_finite_is_said() -> None:
    with pytest.raises(RunError, match="the first loss is not finite"):
        found(Toy(bad={0}))
