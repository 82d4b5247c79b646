"""Devices that are not there, and the time of a step on those that are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from ssl3d import ExperimentSpec
from ssl3d.run.launch import launched
from ssl3d.run.run_error import RunError
from ssl3d.tasks.pretrain.step_time import time_step

MakeSpec = Callable[..., ExperimentSpec]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there are GPUs to use")
def test_all_gpus_where_there_are_none(make_spec: MakeSpec) -> None:
    spec = make_spec(trainer={"accelerator": "auto", "devices": -1})
    with pytest.raises(RunError, match=r"^trainer: .*devices"):
        launched(spec.trainer)


def test_the_time_of_a_step(make_spec: MakeSpec) -> None:
    before = torch.get_rng_state()
    found = time_step(make_spec(trainer={"accumulate": 2}))
    assert found.device == "cpu"
    assert 1 <= found.trials <= 10
    assert 0 < found.seconds < 60
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "16", "accelerator": "cpu"}, "precision: 16 needs a GPU"),
        pytest.param(
            {"accelerator": "gpu"},
            "accelerator: gpu, and torch sees no CUDA device",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
    ],
)
def test_the_time_of_a_step_that_cannot_be_taken(
    make_spec: MakeSpec, options: dict[str, str], message: str
) -> None:
    with pytest.raises(RunError, match=f"^trainer.{message}"):
        time_step(make_spec(trainer=options))
