"""Small parts of the tests of graphs, and a capture without CUDA."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from ssl3d import ExperimentSpec
from ssl3d.run.cuda_capture import Run
from ssl3d.run.graph import GraphedStep


def spec_of(*, ratio: Any = 0.5, seed: int = 0, **more: Any) -> ExperimentSpec:
    return ExperimentSpec(
        backbone={"name": "resunet", "widths": [4, 8], "blocks": [1, 1]},
        masker={"name": "random", "ratio": ratio},
        data={"volumes": "none", "patch": 16, "batch_size": 2},
        cell=4,
        seed=seed,
        **more,
    )


def recorded(module: nn.Module) -> Callable[[Run], tuple[Any, Callable[[], None]]]:
    """In place of a CUDA graph: runs again, and writes its results where the first ones lie."""

    def capture(run: Run) -> tuple[Any, Callable[[], None]]:
        outputs = {name: one.detach().clone() for name, one in run().items()}
        parameters = list(module.parameters())
        gradients = [one.grad for one in parameters]

        def replay() -> None:
            for name, value in run().items():
                outputs[name].copy_(value.detach())
            for memory, parameter in zip(gradients, parameters, strict=True):
                assert memory is not None
                assert parameter.grad is not None
                memory.copy_(parameter.grad)

        return outputs, replay

    return capture


def graph_of(step: Any, *, module: nn.Module, always: bool = True, **more: Any) -> GraphedStep:
    more = {"capture": recorded(module), "say": [].append, **more}
    return GraphedStep(step, module=module, always=always, **more)


def line(*values: float) -> SimpleNamespace:
    """A batch of so many numbers."""
    return SimpleNamespace(volume=torch.tensor(values), samples=(0,), sources=("",))


class Weight(nn.Module):
    """A weight, its steps, and how many of them were without a graph."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))
        self.captures = self.steps = 0
        self.say: list[str] = []

    def step(self, batch: Any) -> dict[str, Tensor]:
        self.steps += 1
        loss = (self.weight * batch.volume).sum()
        torch.autograd.backward(loss)
        return {"loss": loss}

    def capture(self, run: Run) -> tuple[Any, Callable[[], None]]:
        self.captures += 1
        return recorded(self)(run)
