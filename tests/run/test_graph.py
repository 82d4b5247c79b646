"""A step as a CUDA graph: what can be shown of it without CUDA."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from toy import Toy, run

from ssl3d import ExperimentSpec, SpecError
from ssl3d.kinds.batch import Batch
from ssl3d.run import graph as graph_module
from ssl3d.run.cuda_capture import WARM_UP, changes_refused, draws_refused, on_cuda
from ssl3d.run.deterministic import deterministic
from ssl3d.run.graph import GraphedStep
from ssl3d.run.graphed import graphed
from ssl3d.run.layout import laid_out
from ssl3d.run.run_error import RunError
from ssl3d.run.search import searching
from ssl3d.run.trainer_spec import TrainerSpec
from ssl3d.streams import global_seed
from ssl3d.tasks.pretrain.step_time import noise_batch

Run = Callable[[], Mapping[str, Tensor]]


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


def test_each_batch_is_copied_in_and_its_tables_are_made_anew() -> None:
    model = spec_of().build()

    def step(batch: Any) -> dict[str, Tensor]:
        loss = model.step(batch, generator=torch.Generator()).loss
        loss.backward()
        return {"loss": loss}

    def gradients() -> list[Tensor]:
        return [one.grad.clone() for one in model.parameters() if one.grad is not None]

    graph = graph_of(step, module=model)
    batches = [
        noise_batch(model, spec=spec_of(seed=seed), samples=2, patch=(16, 16, 16))
        for seed in range(3)
    ]
    assert not torch.equal(batches[0].views[0].cells.rows, batches[1].views[0].cells.rows)
    for batch in batches:
        statistics = {name: one.clone() for name, one in model.named_buffers()}
        found = graph(batch)["loss"]
        after, again = gradients(), {name: one.clone() for name, one in model.named_buffers()}
        model.zero_grad()
        model.load_state_dict(statistics, strict=False)
        torch.testing.assert_close(found, step(batch)["loss"].detach(), rtol=0, atol=0)
        torch.testing.assert_close(after, gradients(), rtol=0, atol=0)
        torch.testing.assert_close(again, dict(model.named_buffers()), rtol=0, atol=0)
    other = noise_batch(model, spec=spec_of(), samples=1, patch=(16, 16, 16))
    with pytest.raises(RunError, match=r"trainer\.cuda_graph: a batch shows other cells"):
        graph(other)


def test_the_first_step_draws_what_any_other_would() -> None:
    """So a resumed run, whose first step is a later one, is the run that was not stopped."""
    model = nn.Sequential(nn.Linear(64, 64), nn.Dropout(0.5))
    graph = graph_of(lambda batch: {"loss": step_of(model, batch)}, module=model)
    batch = SimpleNamespace(volume=torch.ones(1, 64), samples=(0,), sources=("",))
    found: list[Tensor] = []
    for _ in range(2):
        with global_seed(0, device=torch.device("cpu")):
            found.append(graph(batch)["loss"])
    torch.testing.assert_close(*found, rtol=0, atol=0)


def step_of(model: nn.Module, batch: Any) -> Tensor:
    loss: Tensor = model(batch.volume).square().sum()
    torch.autograd.backward(loss)
    return loss


@pytest.mark.parametrize("name", ["valid", "present"])
@pytest.mark.parametrize("first", [True, False])
def test_a_batch_that_has_more_tensors_or_fewer_is_refused(name: str, *, first: bool) -> None:
    """Padding, and channels that samples lack, come with some batches and not with others."""
    model = spec_of().build()
    whole = noise_batch(model, spec=spec_of(), samples=2, patch=(16, 16, 16))
    (views,) = whole.views
    shape = (2, 1) if name == "present" else (2, 16, 16, 16)
    more = copy.copy(views)
    setattr(more, name, torch.ones(shape, dtype=torch.bool))
    other = Batch((more,), samples=whole.samples, sources=whole.sources)
    graph = graph_of(
        lambda batch: {"loss": model.step(batch, generator=torch.Generator()).loss},
        module=model,
        capture=lambda run: (run(), lambda: None),
    )
    graph(whole if first else other)
    with pytest.raises(RunError, match="has padding or lacks channels"):
        graph(other if first else whole)


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


@pytest.fixture
def _at_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes twice is captured."""
    monkeypatch.setattr(graph_module, "OFTEN", 2)


@pytest.mark.usefixtures("_at_the_second")
def test_auto_captures_what_comes_often_and_computes_the_rest_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searched: list[bool] = []
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    monkeypatch.setattr(graph_module, "LOOK", 5)
    model = Weight()

    def step(batch: Any) -> dict[str, Tensor]:
        searched.append(torch.backends.cudnn.benchmark)
        return model.step(batch)

    graph = graph_of(step, module=model, always=False, capture=model.capture, say=model.say.append)
    sizes = [2, 3, 4, 3, 2, 3, 2]
    captures = [0, 0, 0, 1, 1, 1, 1]
    for n, (size, captured) in enumerate(zip(sizes, captures, strict=True), start=1):
        model.weight.grad = None
        values = [float(n)] * size
        found = graph(line(*values))["loss"].detach()
        assert float(found) == 2 * sum(values)
        assert model.weight.grad is not None
        assert float(model.weight.grad) == sum(values)
        assert model.captures == captured
    # Of the fourth step the capture, and the run that stands for the graph.
    assert searched == [False, False, False, True, False, False, False, False]
    (early,) = model.say
    assert early.startswith("4 of 5 steps were not launched as one CUDA graph")
    said = graph.in_words()
    assert said is not None
    assert said.startswith("5 of 7 steps were not launched as one CUDA graph")


def test_auto_says_nothing_where_all_batches_are_alike() -> None:
    model = Weight()
    graph = graph_of(
        model.step, module=model, always=False, capture=model.capture, say=model.say.append
    )
    for step in range(1, 2 * graph_module.OFTEN):
        graph(line(1.0))
        assert model.captures == (step >= graph_module.OFTEN)
    assert graph.in_words() is None
    assert not model.say


class Counting(Weight):
    """Counts its steps in a buffer."""

    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def step(self, batch: Any) -> dict[str, Tensor]:
        self.seen += 1
        return super().step(batch)


@pytest.mark.usefixtures("_at_the_second")
@pytest.mark.parametrize("always", [True, False])
@pytest.mark.parametrize("kind", [RuntimeError, torch.OutOfMemoryError])
def test_a_step_that_cannot_be_captured(kind: type[RuntimeError], *, always: bool) -> None:
    """An error, or said once and computed without, from statistics that it has not changed."""
    model = Counting()

    def capture(run: Run) -> tuple[Any, Callable[[], None]]:
        run()
        raise kind("called a synchronizing CUDA operation\nmore")

    graph = graph_of(model.step, module=model, always=always, capture=capture, say=model.say.append)
    if always:
        with pytest.raises(
            RunError if kind is RuntimeError else kind, match="called a synchronizing"
        ):
            graph(line(1.0))
        return
    for step in range(1, 5):
        model.weight.grad = None
        assert float(graph(line(1.0, 2.0))["loss"].detach()) == 6
        assert model.weight.grad is not None
        assert float(model.weight.grad) == 3
        assert float(model.seen) == step
    (said,) = model.say
    assert "one by one from here, for called a synchronizing CUDA operation" in said
    assert "more" not in said
    assert graph.in_words() is None


@pytest.mark.usefixtures("_at_the_second")
def test_where_memory_is_short_beside_the_graph_it_goes() -> None:
    """The step is computed again, from statistics of before."""

    class Full(Counting):
        def step(self, batch: Any) -> dict[str, Tensor]:
            found = super().step(batch)
            if len(batch.volume) == 3 and not self.say:
                raise torch.OutOfMemoryError("out of memory")
            return found

    model = Full()
    graph = graph_of(
        model.step, module=model, always=False, capture=model.capture, say=model.say.append
    )
    for _ in range(2):
        graph(line(1.0))
    before = float(model.seen)
    model.weight.grad = None
    assert float(graph(line(1.0, 2.0, 3.0))["loss"].detach()) == 12
    assert float(model.weight.grad) == 6
    assert float(model.seen) == before + 1
    (said,) = model.say
    assert "memory is short beside the graph's" in said
    graph(line(1.0))
    assert model.captures == 1


@pytest.mark.parametrize("always", [True, False])
def test_a_batch_that_cannot_be_compared(*, always: bool) -> None:
    model = Weight()
    graph = graph_of(model.step, module=model, always=always, say=model.say.append)
    batch = line(1.0)
    batch.what = lambda: None
    if always:
        with pytest.raises(RunError, match="a batch holds what cannot be compared"):
            graph(batch)
        return
    for _ in range(3):
        graph(batch)
    (said,) = model.say
    assert "a batch holds what cannot be compared" in said


def test_one_tensor_at_two_places_is_another_layout_than_two() -> None:
    one = torch.ones(2)
    shared, apart = (
        SimpleNamespace(a=one, b=other, samples=(), sources=()) for other in (one, one.clone())
    )
    assert laid_out(shared)[0] != laid_out(apart)[0]
    assert len(laid_out(shared)[1]) == 1
    assert len(laid_out(apart)[1]) == 2


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
