"""A step as a CUDA graph: what can be shown of it without CUDA."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from graphs import Run, Weight, graph_of, line, spec_of
from torch import Tensor, nn

from ssl3d.kinds.batch import Batch
from ssl3d.run import graph as graph_module
from ssl3d.run.layout import laid_out
from ssl3d.run.run_error import RunError
from ssl3d.streams import global_seed
from ssl3d.tasks.pretrain.step_time import noise_batch


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
