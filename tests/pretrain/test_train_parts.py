"""Schedule, groups of parameters, seeds, the metrics file, differences between specs."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from run_folders import assert_same_weights, checkpoint
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

import ssl3d
from ssl3d import ExperimentSpec
from ssl3d.files import write_json, write_text
from ssl3d.run.metrics_file import MetricsFile, read_metrics
from ssl3d.run.optimizer import decayed_names, optimizer_of, parameter_groups, set_rates
from ssl3d.run.optimizer_spec import OptimizerSpec
from ssl3d.run.resume import differences
from ssl3d.run.run_error import RunError
from ssl3d.run.schedule import learning_rate, weight_decay
from ssl3d.streams import Stream, derived_seed, generator, global_seed
from ssl3d.tasks.pretrain import activations
from ssl3d.tasks.pretrain.summary import print_summary, summarise

MakeSpec = Callable[..., ExperimentSpec]


def test_cosine_equals_torch() -> None:
    """torch's warm-up starts at a factor of its own: 1 / 10 is the first of ten steps."""
    steps, warmup = 100, 10
    spec = OptimizerSpec(lr=0.5, warmup=0.1, min_lr=1e-3)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    theirs = SequentialLR(
        optimizer,
        [
            LinearLR(optimizer, start_factor=1 / warmup, total_iters=warmup - 1),
            CosineAnnealingLR(optimizer, T_max=steps - warmup, eta_min=1e-3),
        ],
        milestones=[warmup],
    )
    for step in range(steps):
        expected = optimizer.param_groups[0]["lr"]
        assert learning_rate(spec, step=step, steps=steps) == pytest.approx(expected, rel=1e-9)
        optimizer.step()
        theirs.step()


def test_poly_and_constant() -> None:
    poly = OptimizerSpec(lr=2.0, schedule="poly", warmup=0.0)
    assert learning_rate(poly, step=25, steps=100) == pytest.approx(2 * 0.75**0.9)
    constant = OptimizerSpec(lr=2.0, schedule="constant", warmup=0.0)
    assert learning_rate(constant, step=99, steps=100) == 2.0


def test_cosine_cannot_go_up() -> None:
    with pytest.raises(ValueError, match=r"min_lr is 0\.1 and lr is 0\.01"):
        OptimizerSpec(lr=0.01, min_lr=0.1)
    assert OptimizerSpec(lr=0.01, min_lr=0.1, schedule="poly").min_lr == 0.1


@given(
    steps=st.integers(1, 50),
    warmup=st.floats(0, 0.99),
    schedule=st.sampled_from(["cosine", "poly", "constant"]),
)
def test_learning_rate_never_exceeds_its_peak(steps: int, warmup: float, schedule: str) -> None:
    spec = OptimizerSpec(lr=1e-2, warmup=warmup, schedule=schedule)
    rates = [learning_rate(spec, step=step, steps=steps) for step in range(steps)]
    assert all(0 < rate <= 1e-2 * (1 + 1e-12) for rate in rates)


def test_weight_decay_goes_from_start_to_end() -> None:
    spec = OptimizerSpec(weight_decay=0.04, weight_decay_end=0.2)
    values = [weight_decay(spec, step=step, steps=11) for step in range(11)]
    assert values[0] == pytest.approx(0.04)
    assert values[5] == pytest.approx(0.12)
    assert values[10] == pytest.approx(0.2)
    assert values == sorted(values)
    assert weight_decay(OptimizerSpec(weight_decay=0.3), step=7, steps=11) == 0.3


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("name", ["matrix", "bias"])
def test_lamb_equals_the_paper(name: str, corrected: bool) -> None:
    """Algorithm 2 of arXiv 1904.00962 in NumPy, with and without bias correction."""
    rng = np.random.default_rng(0)
    given = {"matrix": rng.normal(size=(20, 30)), "bias": rng.normal(size=3)}
    assert np.linalg.norm(given["matrix"]) > 10, "some implementations cut the norm at 10"
    module, expected = torch.nn.Module(), given[name]
    module.register_parameter(name, torch.nn.Parameter(torch.from_numpy(expected.copy())))
    parameter = module.get_parameter(name)
    options = {"lr": 0.1, "weight_decay": 0.2, "betas": (0.8, 0.9), "schedule": "constant"}
    spec = OptimizerSpec(name="lamb", bias_correction=corrected, warmup=0.0, **options)
    optimizer = optimizer_of(spec, groups=parameter_groups(module))
    m = v = np.zeros_like(expected)
    for t in range(1, 5):
        gradient = rng.normal(size=expected.shape)
        parameter.grad = torch.from_numpy(gradient)
        m = 0.8 * m + 0.2 * gradient
        v = 0.9 * v + 0.1 * gradient**2
        first, second = (1 - 0.8**t, 1 - 0.9**t) if corrected else (1, 1)
        update = m / first / (np.sqrt(v / second) + 1e-6)
        if name == "matrix":
            update = update + 0.2 * expected
            update *= np.linalg.norm(expected) / np.linalg.norm(update)
        expected = expected - 0.1 * update
        set_rates(optimizer, spec=spec, step=t + 3, steps=9, rate=the_rate)
        optimizer.step()
    np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-5, atol=1e-6)


def the_rate(group: Any, *, optimizer: OptimizerSpec, step: int, steps: int) -> float:  # noqa: ARG001
    """As a task's, for a group like any other."""
    return learning_rate(optimizer, step=step, steps=steps)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_others_have_no_bias_correction_to_choose(name: str) -> None:
    with pytest.raises(ValueError, match="bias_correction is LAMB's"):
        OptimizerSpec(name=name, bias_correction=True)


@pytest.mark.parametrize("name", ["sgd", "lamb"])
def test_other_optimisers_resume_bitwise(make_spec: MakeSpec, tmp_path: Path, name: str) -> None:
    optimizer = {"name": name, "schedule": "poly", "weight_decay_end": 0.2, "lr": 1e-3}
    optimizer |= {"bias_correction": True} if name == "lamb" else {}
    spec = make_spec(optimizer=optimizer, trainer={"steps": 4, "checkpoint_every": 2})
    ssl3d.pretrain(spec, out=tmp_path / "whole")
    ssl3d.pretrain(spec, out=tmp_path / "parts")
    (tmp_path / "parts/checkpoints/step-000000004.ckpt").unlink()
    ssl3d.pretrain(spec, out=tmp_path / "parts", resume=True)
    whole, parts = (checkpoint(tmp_path / name, step=4) for name in ("whole", "parts"))
    assert_same_weights(whole["state_dict"], parts["state_dict"])
    groups = parts["optimizer"]["param_groups"]
    assert [group["weight_decay"] for group in groups] == pytest.approx([0.2, 0.0])


def test_lamb_without_its_package(make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    with pytest.raises(RunError, match="pip install pytorch-optimizer"):
        ssl3d.pretrain(make_spec(optimizer={"name": "lamb"}), out="never-made")
    assert not Path("never-made").exists()


@pytest.mark.parametrize("positions", ["rope", "relative_bias"])
def test_only_matrices_and_kernels_decay(make_spec: MakeSpec, positions: str) -> None:
    backbone = {"widths": (8, 16), "depths": (1, 1), "heads": (1, 2), "positions": positions}
    model = make_spec(backbone={"name": "waveformer", **backbone}).build()
    decayed = decayed_names(model)
    parameters = dict(model.named_parameters())
    assert {parameters[name].dim() for name in decayed} == {2, 5}
    assert not [name for name in decayed if "token" in name or "bias" in name]
    biases = [p for name, p in parameters.items() if name not in decayed and p.dim() > 1]
    assert bool(biases) == (positions == "relative_bias")
    groups = optimizer_of(
        OptimizerSpec(weight_decay=0.3), groups=parameter_groups(model)
    ).param_groups
    assert [group["weight_decay"] for group in groups] == [0.3, 0.0]
    assert sum(len(group["params"]) for group in groups) == len(parameters)


def test_generators_depend_on_every_number() -> None:
    calls = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 0), (0, 0, 0, 0)]
    seeds = {derived_seed(*numbers) for numbers in calls}
    assert len(seeds) == len(calls)
    one, other = (torch.rand(4, generator=generator(3, Stream.VIEWS, 5)) for _ in range(2))
    assert torch.equal(one, other)


def test_global_seed_gives_the_state_back() -> None:
    before = torch.get_rng_state()
    draws = []
    for _ in range(2):
        with global_seed(1, Stream.LAYERS, 2, device=torch.device("cpu")):
            draws.append(torch.rand(3))
    assert torch.equal(draws[0], draws[1])
    assert torch.equal(torch.get_rng_state(), before)


def test_metrics_file_takes_new_columns_and_survives_a_resume(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    file = MetricsFile(path)
    rows = [{"step": 1.0, "a": 0.1 + 0.2}, {"step": 2.0, "a": 1e-17, "b": 2.0}, {"step": 3.0}]
    for row in rows:
        file.add(row)
    assert read_metrics(path) == rows
    assert path.read_text().splitlines()[0] == "step,a,b"
    again = MetricsFile(path, last_step=2)
    assert read_metrics(path) == rows[:2]
    again.add({"step": 3.0, "c": 4.0})
    assert read_metrics(path) == [*rows[:2], {"step": 3.0, "c": 4.0}]


def test_differences_between_plain_specs() -> None:
    before = {"a": {"b": 1, "c": [1, {"d": 2}]}, "e": 3}
    after = {"a": {"b": 1, "c": [1, {"d": 5}]}, "f": 4}
    found = differences(before, after)
    assert found == {"a.c.1.d": (2, 5), "e": (3, None), "f": (None, 4)}
    assert differences({"losses": [1]}, {"losses": [1, 2]}) == {"losses": ([1], [1, 2])}


def test_json_refuses_nan_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_text(path, "old")
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"loss": math.nan})
    assert path.read_text() == "old"


def test_summary_needs_no_data(make_spec: MakeSpec, capsys: pytest.CaptureFixture[str]) -> None:
    spec = make_spec(data={"volumes": "nowhere", "patch": (16, 16, 32)})
    found = summarise(spec)
    model = spec.build()
    assert found.encoder == sum(p.numel() for p in model.backbone.parameters())
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert found.grid == (4, 4, 8)
    assert found.visible == 51  # 40 % of 128 cells
    assert found.measured == (16, 16, 32)
    print_summary(spec)
    assert "51 of 128" in capsys.readouterr().out


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_activations_of_a_part_tell_those_of_the_whole(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    """On one that can be measured. Its weights are most of what it keeps in half precision."""
    primus = {"name": "primus", "width": 96, "depth": 4, "heads": 2, "patch": 4, "volume": 16}
    spec = make_spec(
        backbone=primus,
        decoder={"name": "patch", "head": "linear"},
        data={"patch": (32, 32, 32)},
        trainer={"precision": precision},
    )
    whole = summarise(spec)
    assert whole.measured == (32, 32, 32)
    monkeypatch.setattr(activations, "MOST_VOXELS", 1)
    part = summarise(spec)
    assert part.measured == (16, 16, 16)
    assert part.activations == pytest.approx(whole.activations, rel=0.1)
