"""What is captured as a CUDA graph, and what cannot be in one."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from graphs import Weight, graph_of, line, spec_of
from torch import Tensor, nn

from ssl3d.run import graph as graph_module
from ssl3d.run.cuda_capture import WARM_UP, changes_refused, draws_refused, on_cuda
from ssl3d.run.deterministic import deterministic
from ssl3d.run.run_error import RunError
from ssl3d.run.search import searching
from ssl3d.tasks.pretrain.step_time import noise_batch


def fake_cuda(monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> list[str]:
    """Streams and graphs that do nothing; gives the modes of captures."""
    modes: list[str] = []

    @contextmanager
    def graph_context(_graph: object, *, capture_error_mode: str) -> Iterator[None]:
        modes.append(capture_error_mode)
        yield
        if error is not None:
            raise error

    stream = SimpleNamespace(wait_stream=lambda _other: None)
    of_cuda = {
        "Stream": lambda: stream,
        "current_stream": lambda: stream,
        "stream": lambda _stream: nullcontext(),
        "CUDAGraph": lambda: SimpleNamespace(replay=lambda: None),
        "graph": graph_context,
        "get_sync_debug_mode": lambda: 0,
        "set_sync_debug_mode": lambda _mode: None,
    }
    for name, value in of_cuda.items():
        monkeypatch.setattr(torch.cuda, name, value)
    return modes


def test_a_thread_that_pins_batches_does_not_spoil_the_capture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seen on a GPU: two of ten fine-tunings ended at their first step."""
    modes = fake_cuda(monkeypatch)
    runs: list[int] = []
    on_cuda(nn.Identity())(lambda: runs.append(1) or {})
    assert modes == ["thread_local"]
    assert len(runs) == WARM_UP + 2


def test_a_capture_that_fails_ends_the_run_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """torch does not recover from it."""
    fake_cuda(monkeypatch, error=RuntimeError("invalidated\nmore"))
    model = Weight()
    graph = graph_of(model.step, module=model, always=False, capture=on_cuda(model))
    monkeypatch.setattr(graph_module, "OFTEN", 1)
    with pytest.raises(RunError, match=r"could not be captured \(invalidated\): set it to false"):
        graph(line(1.0))


class Part(nn.Module):
    """Keeps something on the host, and changes it."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.calls = kind, 0
        self.own, self.generator = random.Random(0), torch.Generator()
        self.register_buffer("mean", torch.zeros(2))
        self.hook = lambda: None

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "counter":
            self.calls += 1
        if self.kind == "own random":
            x = x * self.own.random()
        if self.kind == "own generator":
            x = x * torch.rand(2, generator=self.generator)
        if self.kind == "new buffer":
            self.mean = self.mean * 0.5 + x
        if self.kind == "buffer in place":
            self.mean.mul_(0.5).add_(x.mean(0))
        return x


@pytest.mark.parametrize("kind", ["counter", "own random", "own generator", "new buffer"])
def test_what_a_part_keeps_on_the_host_is_not_captured(kind: str) -> None:
    """It would stay what it was in one step."""
    module = nn.Sequential(nn.Identity(), Part(kind))
    with (
        pytest.raises(RuntimeError, match=r"^1\.\w+ keeps something on the host"),
        changes_refused(module),
    ):
        module(torch.ones(2))


def test_what_lies_on_the_device_may_change() -> None:
    module = nn.Sequential(Part("buffer in place"), nn.BatchNorm1d(2), nn.Dropout(0.5))
    with changes_refused(module):
        module(torch.ones(3, 2)).sum().backward()


@pytest.mark.parametrize(
    "backbone",
    [
        {"name": "resunet", "widths": [4, 8], "blocks": [1, 1], "norm": "batch", "drop_path": 0.3},
        {"name": "waveformer", "widths": [12, 12], "depths": [1, 1], "heads": [2, 2]},
        {"name": "primus", "width": 12, "depth": 2, "heads": 2, "patch": 4, "drop_path": 0.3},
    ],
    ids=lambda backbone: backbone["name"],
)
def test_networks_of_this_project_keep_nothing_on_the_host(backbone: dict[str, Any]) -> None:
    spec = spec_of().replace(backbone=backbone)
    model = spec.build().train()
    batches = [noise_batch(model, spec=spec, samples=2, patch=(16, 16, 16)) for _ in range(2)]
    model.step(batches[0], generator=torch.Generator()).loss.backward()  # caches fill
    with changes_refused(nn.Sequential(model)):
        model.step(batches[1], generator=torch.Generator()).loss.backward()


@pytest.mark.parametrize(
    "draw",
    [lambda: torch.rand(1), random.random, lambda: np.random.rand()],
    ids=["torch", "Python", "NumPy"],
)
def test_what_draws_on_the_host_is_not_captured(draw: Callable[[], Any]) -> None:
    """In a graph it would be what the first batch drew."""
    with draws_refused():
        torch.zeros(1) + 1
        torch.rand(1, generator=torch.Generator())
    with pytest.raises(RuntimeError, match="draws at random on the host"), draws_refused():
        draw()


@pytest.mark.parametrize("before", [True, False])
def test_cudnn_tries_kernels_inside_and_is_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch, *, before: bool
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", before)
    with searching():
        assert torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.benchmark == before
    with deterministic(True), searching():
        assert not torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.benchmark == before
