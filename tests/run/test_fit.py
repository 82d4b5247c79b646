"""What is measured, logged and kept when, and how a run ends."""

from __future__ import annotations

import itertools
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_resume import rows, same
from torch import nn
from toy import Numbers, Toy, ToyBatch, run

from ssl3d.run.average import Average
from ssl3d.run.checkpoint_file import read_checkpoint
from ssl3d.run.gate import Buffers, take_step
from ssl3d.run.loop import Loop
from ssl3d.run.metrics_file import read_metrics
from ssl3d.run.optimizer import load_optimizer, optimizer_of, parameter_groups
from ssl3d.run.optimizer_spec import OptimizerSpec
from ssl3d.run.run_error import RunError
from ssl3d.run.tally import Means, Tally


def steps(folder: Path) -> list[int]:
    return [int(path.stem[5:]) for path in sorted((folder / "checkpoints").iterdir())]


def measured(folder: Path, name: str) -> list[int]:
    return [int(row["step"]) for row in rows(folder) if row.get(name)]


def test_each_thing_at_its_time(tmp_path: Path) -> None:
    run(Toy(), tmp_path, steps=7, log_every=3, validate_every=2, checkpoint_every=5)
    assert measured(tmp_path, "held_out/loss") == [0, 2, 4, 6, 7]
    assert measured(tmp_path, "averaged") == [0, 7]
    assert measured(tmp_path, "train/loss") == [3, 6, 7]
    assert steps(tmp_path) == [5, 7]


def test_means_weigh_by_shares_and_counts_add_up() -> None:
    tally, means = Tally(), Means()
    for loss, share, count in ((1.0, 0.5, 1), (4.0, 0.25, 2), (torch.nan, 0.0, 0)):
        tally.add(
            {
                "loss": torch.tensor(loss),
                "mse/level0": torch.tensor(loss),
                "share": torch.tensor(1.0 if share else 0.0),
                "share/mse": torch.tensor(share),
                "count/empty": torch.tensor(count),
            }
        )
    means.add(tally.take().tolist(), tally=tally)
    assert means.take() == {"loss": 2.5, "mse/level0": 2.0, "empty": 3.0}
    assert means.take() == {}


def test_the_average_is_that_of_all_steps(tmp_path: Path) -> None:
    """Against a list of the weights of each step."""
    run(
        Toy(),
        tmp_path,
        steps=4,
        optimizer={"ema": 0.75},
        checkpoint_every=1,
        keep_checkpoints=9,
    )
    saved = [read_checkpoint(tmp_path / f"checkpoints/step-00000000{i}.ckpt") for i in range(1, 5)]
    expected = saved[0]["state_dict"]["first.weight"]
    for one in saved[1:]:
        expected = 0.75 * expected + 0.25 * one["state_dict"]["first.weight"]
    torch.testing.assert_close(saved[-1]["average"]["weights"]["weight"], expected)


def test_statistics_are_averaged_too() -> None:
    norm = nn.BatchNorm1d(2)
    average = Average(norm, decay=0.5)
    for value in (2.0, 4.0):
        norm.running_mean.fill_(value)
        norm.num_batches_tracked += 1
        average.update(torch.tensor(True))
    assert average.module.running_mean.tolist() == [3.0, 3.0]
    assert average.module.num_batches_tracked == 2


def test_late_reading_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU a step's numbers are read one backward pass later."""
    options: dict[str, Any] = {
        "steps": 7,
        "log_every": 4,
        "validate_every": 4,
        "checkpoint_every": 7,
        "optimizer": {"ema": 0.9},
    }
    task = {"bad": {5, 13}}
    run(Toy(**task), tmp_path / "now", **options)
    monkeypatch.setattr(Loop, "__post_init__", lambda self: setattr(self, "late", True))
    run(Toy(**task), tmp_path / "late", **options)
    assert rows(tmp_path / "now") == rows(tmp_path / "late")
    last = "checkpoints/step-000000007.ckpt"
    assert same(*(read_checkpoint(tmp_path / name / last) for name in ("now", "late")))
    for step in (2, 4):
        path = f"faults/step-00000000{step}/weights.ckpt"
        assert same(*(read_checkpoint(tmp_path / name / path) for name in ("now", "late")))


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_a_fused_optimiser_skips_by_what_it_is_given(name: Any) -> None:
    """As on a GPU, where nobody asks the device."""
    layer = nn.Linear(2, 2)
    rule = optimizer_of(OptimizerSpec(name=name), groups=parameter_groups(layer), fused=True)

    def step(finite: bool) -> dict[str, Any]:
        for parameter in layer.parameters():
            parameter.grad = torch.full_like(parameter, 1.0 if finite else torch.nan)
        take_step(rule, finite=torch.tensor(finite), on_device=True)
        state = {**layer.state_dict(), "state": rule.state_dict()["state"]}
        return {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in state.items()}

    first = step(True)
    moments = [{k: v.clone() for k, v in one.items()} for one in rule.state.values()]
    second = step(False)
    assert all(torch.equal(first[key], second[key]) for key in ("weight", "bias"))
    assert same(moments, list(rule.state.values()))
    assert not torch.equal(step(True)["weight"], first["weight"])


def test_a_fused_optimiser_skips_its_first_step_too() -> None:
    """torch's SGD would begin with whatever lies in the memory of its moments."""
    layer = nn.Linear(2, 2)
    rule = optimizer_of(OptimizerSpec(name="sgd"), groups=parameter_groups(layer), fused=True)
    for parameter in layer.parameters():
        parameter.grad = torch.full_like(parameter, torch.nan)
    take_step(rule, finite=torch.tensor(False), on_device=True)
    assert not rule.state


def test_loggers_get_the_rows(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(Toy(), tmp_path, steps=4, loggers=("tensorboard",))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [2, 4]
    assert [event.step for event in events.Scalars("held_out/loss")] == [0, 4]


def test_a_task_may_say_something_of_what_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Talking(Toy):
        def remarks(self, columns: Any) -> list[str]:
            return [
                f"saw {name}" for name in ("held_out/loss", "train/negative") if name in columns
            ]

    run(Talking(), tmp_path, steps=3, log_every=2, validate_every=3)
    said = capsys.readouterr().out
    assert said.count("saw held_out/loss") == 2
    assert said.count("saw train/negative") == 2


def test_a_step_asks_the_device_nothing() -> None:
    """On device meta, which has no answers: all but the optimiser's own step, and the reading."""
    with torch.device("meta"):
        module = nn.BatchNorm1d(2)
        x = torch.empty(3, 2)
    tally, buffers, average = Tally(), Buffers(module), Average(module, decay=0.9)
    buffers.keep()
    loss = module(x).square().mean()
    loss.backward()
    tally.add({"loss": loss, "share": loss.detach(), "count/empty": loss.detach()})
    finite = torch.isfinite(nn.utils.clip_grad_norm_(module.parameters(), 1.0))
    buffers.put_back(unless=finite)
    average.update(finite)
    assert tally.take().shape == (3,)
    with pytest.raises(RuntimeError, match="meta"):
        bool(finite)


def test_moments_of_another_device_keep_this_ones_kernels() -> None:
    layer = nn.Linear(2, 2)
    rule, other = (
        optimizer_of(OptimizerSpec(), groups=parameter_groups(layer), fused=fused)
        for fused in (True, False)
    )
    load_optimizer(other, rule.state_dict())
    assert [group["fused"] for group in other.param_groups] == [None, None]


class Known(Toy):
    """Its dice is known for each step."""

    dice = (0.1, 0.2, 0.6, 0.4, 0.5, 0.6, 0.7, 0.8)

    def evaluate(self, module: Any, **at: int) -> dict[str, float]:  # noqa: ARG002
        return {"dice": self.dice[at["step"]]}


PATIENT = {"number": "dice", "larger": True, "patience": 3}


def test_it_ends_early_where_a_number_gets_no_better(tmp_path: Path) -> None:
    options = {"validate_every": 1, "checkpoint_every": 1, "keep_checkpoints": 1, "best": PATIENT}
    fitted = run(Known(), tmp_path, steps=7, **options)
    assert (fitted.ended, fitted.step, fitted.finished) == ("early", 5, True)
    assert steps(tmp_path) == [2, 5]
    assert measured(tmp_path, "averaged") == [0, 5]
    again = run(Known(), tmp_path, steps=7, resume=True, **options)
    assert (again.ended, again.step) == ("early", 5)
    more = {**options, "best": {**PATIENT, "patience": 9}}
    assert run(Known(), tmp_path, steps=7, resume=True, **more).ended == "finished"


def test_a_run_stopped_where_it_ends_early_ends_so(tmp_path: Path) -> None:
    """Each step is a start of its own, as where a scheduler stops them."""
    options: dict[str, Any] = {"steps": 7, "validate_every": 1, "best": PATIENT}
    run(Known(), tmp_path / "whole", **options)
    for step in range(1, 6):
        again = run(Known(), tmp_path / "parts", resume=step > 1, max_hours=1e-9, **options)
    assert (again.ended, again.step, again.exit_code) == ("early", 5, 0)
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")


def test_what_is_missing_is_measured_where_a_resume_ends_a_run(tmp_path: Path) -> None:
    """By fewer steps, by less patience; once."""
    often: dict[str, Any] = {"validate_every": 1, "checkpoint_every": 1}
    for name, changed, ended in (
        ("fewer", {"steps": 4}, "finished"),
        ("sooner", {"best": {**PATIENT, "patience": 2}}, "early"),
    ):
        folder = tmp_path / name
        for step in range(1, 5):
            run(Known(), folder, steps=7, max_hours=1e-9, resume=step > 1, **often)
        assert measured(folder, "averaged") == [0]
        for _ in range(2):
            fitted = run(Known(), folder, resume=True, **{"steps": 7, **often, **changed})
            assert (fitted.ended, fitted.step) == (ended, 4)
            assert measured(folder, "averaged") == [0, 4]
            assert [row["step"] for row in rows(folder)] == list("01234")


def test_fewer_steps_than_were_taken_are_refused(tmp_path: Path) -> None:
    run(Toy(), tmp_path, steps=4)
    before = (tmp_path / "metrics.csv").read_bytes()
    message = "given 2, and .* has taken 4 steps: give 4 to end it there, or more"
    with pytest.raises(RunError, match=rf"trainer\.steps: {message}"):
        run(Toy(), tmp_path, steps=2, resume=True)
    assert (tmp_path / "metrics.csv").read_bytes() == before


@pytest.mark.parametrize(("larger", "best"), [(True, 3), (False, 1)])
def test_the_best_is_kept_whenever_it_was_measured(tmp_path: Path, larger: bool, best: int) -> None:
    """Also where no checkpoint is due then."""

    class Wave(Known):
        dice = (0.5, 0.2, 0.6, 0.9, 0.5, 0.3, 0.7, 0.8)

    options: dict[str, Any] = {"validate_every": 1, "checkpoint_every": 4, "keep_checkpoints": 1}
    run(Wave(), tmp_path, steps=7, best={"number": "dice", "larger": larger}, **options)
    assert steps(tmp_path) == [best, 7]


def test_lost_metrics_take_no_best_checkpoint_along(tmp_path: Path) -> None:
    options: dict[str, Any] = {"validate_every": 1, "checkpoint_every": 1, "keep_checkpoints": 1}
    options |= {"best": {"number": "dice", "larger": True}}
    run(Known(), tmp_path, steps=4, **options)
    (tmp_path / "metrics.csv").rename(tmp_path / "metrics.csv.damaged")
    run(Known(), tmp_path, steps=5, resume=True, **options)
    assert steps(tmp_path) == [2, 4, 5]


def test_what_only_training_gives_is_no_best_number(tmp_path: Path) -> None:
    run(Toy(), tmp_path, steps=2)
    for name in ("train/loss", "step"):
        with pytest.raises(RunError, match=r"Measured are: averaged, held_out/loss$"):
            run(Toy(), tmp_path, steps=3, resume=True, best={"number": name})
        with pytest.raises(RunError, match=r"Measured are: averaged, held_out/loss$"):
            run(Toy(), tmp_path / name, steps=2, best={"number": name})


@pytest.mark.parametrize("given", [torch.tensor(2.0), np.float32(2.0), 2])
def test_any_number_may_be_measured(tmp_path: Path, given: Any) -> None:
    class Giving(Toy):
        def evaluate(self, module: Any, **at: int) -> dict[str, float]:  # noqa: ARG002
            return {"found": given}

    run(Giving(), tmp_path, steps=1)
    assert [row["found"] for row in rows(tmp_path)] == ["2.0", "2.0"]
    given = torch.ones(3)
    with pytest.raises(RunError, match=r"gave 'found': .*; must be one number"):
        run(Giving(), tmp_path / "b", steps=1)


def test_a_number_that_is_not_measured_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"'held_out/mse'\. Measured are: averaged, held_out/loss"):
        run(Toy(), tmp_path, steps=2, best={"number": "held_out/mse"})


def test_hours_end_a_start_and_the_next_one_goes_on(tmp_path: Path) -> None:
    fitted = run(Toy(), tmp_path, steps=3, max_hours=1e-9)
    assert (fitted.ended, fitted.step, fitted.exit_code) == ("hours", 1, 85)
    assert steps(tmp_path) == [1]
    assert run(Toy(), tmp_path, steps=3, resume=True).ended == "finished"


def test_hours_count_from_where_a_start_began(tmp_path: Path) -> None:
    began = time.monotonic() - 7200  # as where data were read that long
    fitted = run(Toy(), tmp_path, steps=3, max_hours=1.5, began=began)
    assert (fitted.ended, fitted.step) == ("hours", 1)


def test_a_signal_ends_it_after_the_step_with_its_code(tmp_path: Path) -> None:
    class Signalled(Toy):
        def batches(self, **at: int) -> Iterator[ToyBatch]:  # type: ignore[override]
            for batch in super().batches(**at):
                if batch.samples[0] == 4:
                    os.kill(os.getpid(), signal.SIGUSR1)
                yield batch

    fitted = run(Signalled(), tmp_path, steps=5)
    assert (fitted.ended, fitted.step, fitted.exit_code) == ("asked", 2, 85)
    assert not fitted.finished
    assert steps(tmp_path) == [2]


def test_waiting_for_data_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read = Numbers.__getitem__

    def slow(self: Numbers, start: int) -> ToyBatch:
        time.sleep(0.05)
        return read(self, start)

    monkeypatch.setattr(Numbers, "__getitem__", slow)
    run(Toy(), tmp_path / "short", steps=8, log_every=2)
    said = capsys.readouterr().out
    assert "waits for data" not in said
    share = float(re.findall(r"Training waited for data (\d+)% of its time: more data", said)[0])
    logged = read_metrics(tmp_path / "short" / "metrics.csv")
    waits = [row["data_wait"] for row in logged if "data_wait" in row]
    assert share / 100 == pytest.approx(sum(waits) / len(waits), abs=0.2)
    monkeypatch.setattr("ssl3d.run.feed.AFTER", 0.1)
    run(Toy(), tmp_path / "long", steps=8, log_every=2)
    said = capsys.readouterr().out
    assert said.count("of the time training waits for data") == 1
    assert "data.workers" in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda out: out.pop("loss"), "returned fit, positive.*: it must return 'loss' too"),
        (lambda out: out.update(fit=torch.ones(3)), r"returned 'fit' as shape \(3,\): it must be"),
        (lambda out: out.update(fit=0.5), "returned 'fit' as 0.5: it must be a tensor"),
    ],
)
def test_an_answer_that_is_none_is_said(tmp_path: Path, change: Any, message: str) -> None:
    def changed(module: nn.Module, *call: Any) -> None:
        if module.training:
            change(call[-1])

    task = Toy()
    task.module.register_forward_hook(changed)
    with pytest.raises(RunError, match=message):
        run(task, tmp_path, steps=1)


def test_names_that_vary_are_said(tmp_path: Path) -> None:
    """As those of what is measured only where something is hidden."""
    task, calls = Toy(), itertools.count(1)

    def vary(*call: Any) -> None:
        if next(calls) == 4:
            call[-1]["late"] = call[-1].pop("fit")

    task.module.register_forward_hook(vary)
    with pytest.raises(RunError, match="nothing to measure for fit, late, give any number and a"):
        run(task, tmp_path, steps=5)


def test_batches_that_end_are_said(tmp_path: Path) -> None:
    class Short(Toy):
        def batches(self, **at: int) -> Iterator[ToyBatch]:  # type: ignore[override]
            yield next(super().batches(**at))

    with pytest.raises(RunError, match="must be endless"):
        run(Short(), tmp_path, steps=2)


def test_half_precision_needs_a_gpu(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="16 needs a GPU; given a CPU: use 32 or bf16"):
        run(Toy(), tmp_path, steps=1, precision="16")


def test_bf16_trains(tmp_path: Path) -> None:
    assert run(Toy(), tmp_path, steps=2, precision="bf16").finished


def test_sharded_weights_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"given 'fsdp': sharded weights are not supported"):
        run(Toy(), tmp_path, steps=1, strategy="fsdp")


def test_deterministic_and_back(tmp_path: Path) -> None:
    seen = []

    class Asking(Toy):
        def evaluate(self, module: Any, **at: int) -> dict[str, float]:  # noqa: ARG002
            seen.append(torch.are_deterministic_algorithms_enabled())
            return {}

    run(Asking(), tmp_path, steps=1, deterministic=True)
    assert seen == [True, True]
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_task_is_asked_to_compile_and_to_save_memory(tmp_path: Path) -> None:
    asked = []

    class Asked(Toy):
        def compile(self) -> None:
            asked.append("compile")
            self.module.first.compile(backend="eager")

        def checkpoint_activations(self) -> None:
            asked.append("activations")

    run(Asked(), tmp_path / "a", steps=2, compile=True, checkpoint_activations=True)
    assert asked == ["activations", "compile"]
    run(Toy(), tmp_path / "b", steps=2)
    last = "checkpoints/step-000000002.ckpt"
    assert same(*(read_checkpoint(tmp_path / x / last) for x in "ab"))
    with pytest.raises(ValueError, match="this task cannot do so"):
        run(Toy(), tmp_path / "c", steps=2, checkpoint_activations=True)


def test_global_random_numbers_are_left_alone(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    run(Toy(workers=1), tmp_path, steps=2)
    assert torch.equal(torch.get_rng_state(), before)


def test_groups_may_scale_the_rate(tmp_path: Path) -> None:
    class Scaled(Toy):
        def parameter_groups(self) -> list[dict[str, Any]]:
            first, rest = super().parameter_groups()
            return [{**first, "lr_scale": 0.0}, rest]

    task = Scaled()
    before = task.module.first.weight.clone()
    run(task, tmp_path, steps=2, optimizer={"weight_decay": 0.0})
    assert torch.equal(task.module.first.weight, before)
