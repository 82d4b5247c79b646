"""Whether the steps of a run are CUDA graphs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from graphs import spec_of
from toy import Toy, run

from ssl3d import SpecError
from ssl3d.run.graphed import graphed
from ssl3d.run.run_error import RunError
from ssl3d.run.trainer_spec import TrainerSpec


def fabric_of(device: str, *, ranks: int = 1) -> Any:
    return SimpleNamespace(device=torch.device(device), world_size=ranks)


@pytest.mark.parametrize("given", ["auto", True, False])
def test_where_steps_are_graphs(given: Any) -> None:
    trainer = TrainerSpec(cuda_graph=given)
    assert graphed(trainer, fabric=fabric_of("cuda"), not_static=None) is (given is not False)
    for fabric, why in (
        (fabric_of("cpu"), None),
        (fabric_of("cuda", ranks=2), None),
        (fabric_of("cuda"), "shapes change"),
    ):
        if given is True:
            with pytest.raises(RunError, match="set it to auto or false"):
                graphed(trainer, fabric=fabric, not_static=why)
        else:
            assert not graphed(trainer, fabric=fabric, not_static=why)


@pytest.mark.parametrize("options", [{"accumulate": 2}, {"compile": True}, {"precision": "16"}])
def test_auto_leaves_out_what_a_graph_cannot_hold(options: dict[str, Any]) -> None:
    trainer = TrainerSpec(**options)
    assert trainer.cuda_graph == "auto"
    assert not graphed(trainer, fabric=fabric_of("cuda"), not_static=None)


@pytest.mark.parametrize(
    "options",
    [
        {"devices": 2},
        {"nodes": 2},
        {"strategy": "ddp"},
        {"accelerator": "cpu"},
        {"accumulate": 2},
        {"precision": "16"},
        {"compile": True},
        {"checkpoint_activations": True},
    ],
    ids=str,
)
def test_what_a_graph_cannot_hold_is_refused_by_name(options: dict[str, Any]) -> None:
    (name,) = options
    TrainerSpec(**options)
    with pytest.raises(ValueError, match=f"cuda_graph is true, with {name}"):
        TrainerSpec(cuda_graph=True, **options)


def test_a_spec_without_one_shape_is_refused_by_name() -> None:
    spec_of(trainer={"cuda_graph": True})
    spec_of(ratio=(0.5, 0.75))  # auto
    with pytest.raises(SpecError, match=r"trainer.cuda_graph.*masker 'random'"):
        spec_of(trainer={"cuda_graph": True}, ratio=(0.5, 0.75))
    with pytest.raises(SpecError, match=r"trainer.cuda_graph.*views_at_once computes"):
        spec_of(trainer={"cuda_graph": True}, views_at_once=1)
    with pytest.raises(SpecError, match=r"trainer.cuda_graph.*'info_nce' draws"):
        spec_of(trainer={"cuda_graph": True}, losses=["mse", "info_nce"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without CUDA")
def test_without_cuda_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"trainer\.cuda_graph: there is no CUDA here"):
        run(Toy(), tmp_path, steps=1, cuda_graph=True, accelerator="auto", devices="auto")
