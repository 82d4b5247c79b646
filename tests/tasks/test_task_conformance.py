"""The tasks do what every task must do; and tasks that do not are noticed."""

from __future__ import annotations

import pytest
import torch

from ssl3d.testing.task import TaskConformance
from ssl3d.testing.task_checks import CHECKS, TaskUnderTest
from ssl3d_plugins.tasks import Classification, Regression, Segmentation


class TestSegmentation(TaskConformance):
    config = Segmentation(labels={"anterior": 1, "posterior": 2035}, ignore=255)


class TestLabels(TaskConformance):
    config = Classification(labels=("left", "right"), column_weights={"left": 13.0})


class TestClassesByAttention(TaskConformance):
    config = Classification(classes=("benign", "malignant"), crops="attention", sites="both")


class TestRegression(TaskConformance):
    config = Regression(values=("age", "height"), sites="maximum")
    targets = ((20.0, 150.0), (30.0, 180.0), (70.0, 190.0))


class Spoilt(Regression):
    """A regression with something done to the object."""

    def build(self, **context):
        task = super().build(**context)
        self.spoil(task)
        return task

    def spoil(self, task):
        raise NotImplementedError


class PaddingCounts(Spoilt):
    def spoil(self, task):
        right = task.forward
        task.forward = lambda stages, **named: right(stages, **{**named, "valid": None})


class MissingTeaches(Spoilt):
    def spoil(self, task):
        task.loss = lambda outputs, **_: {"loss": outputs[0].square().mean()}


class ForgetsTheMean(Spoilt):
    def spoil(self, task):
        for name in ("mean", "deviation"):
            value = task.get_buffer(name)
            delattr(task, name)
            task.register_buffer(name, value, persistent=False)


class BatchMean(Spoilt):
    def spoil(self, task):
        right = task.joined
        task.joined = lambda *a, **named: right(*a, **named) - right(*a, **named).mean(0)


class NoPrimary(Spoilt):
    def spoil(self, task):
        task.summary = lambda _: {"other": 0.0}


class OrderCounts(Spoilt):
    def spoil(self, task):
        task.summary = lambda rows: {"mae": rows[0]["error"], "r2": 0.0}


class Detached(Spoilt):
    def spoil(self, task):
        right = task.forward
        task.forward = lambda s, **named: right([x.detach() for x in s], **named)


class Asks(Spoilt):
    def spoil(self, task):
        right = task.loss
        task.loss = lambda outputs, batch: right(outputs, batch=batch) if outputs[0].max() else {}


class AnotherShape(Spoilt):
    def spoil(self, task):
        right = task.joined
        task.joined = lambda *a, **named: right(*a, **named)[:, :0]


class AnotherName(Regression):
    def columns(self):
        return ()


@pytest.mark.parametrize(
    ("config", "noticed"),
    [
        (PaddingCounts, "padding_does_not_count"),
        (MissingTeaches, "what_is_not_labelled_teaches_nothing"),
        (ForgetsTheMean, "what_it_learned_of_targets_is_in_its_state"),
        (BatchMean, "cases_do_not_meet"),
        (NoPrimary, "numbers_are_functions_of_rows"),
        (OrderCounts, "numbers_are_functions_of_rows"),
        (Detached, "it_gives_scalars_and_a_loss_that_teaches"),
        (Asks, "a_step_asks_the_device_nothing"),
        (AnotherShape, "outputs_have_the_announced_shape"),
        (AnotherName, "it_says_what_it_is"),
    ],
)
def test_the_kit_notices(config: type[Regression], noticed: str) -> None:
    (check,) = (check for check in CHECKS if check.name == noticed)
    targets = ((1.0,), (2.0,), (5.0,))
    with pytest.raises((AssertionError, RuntimeError)), torch.random.fork_rng():
        check(TaskUnderTest(config(values=("age",)), targets=targets))
