"""Schedule, groups of parameters, seeds, the metrics file, differences between specs."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from ssl3d import ExperimentSpec
from ssl3d.report.write import write_json, write_text
from ssl3d.spec import OptimizerSpec
from ssl3d.train import print_summary, summarise
from ssl3d.train.folder import differences
from ssl3d.train.metrics import MetricsFile, read_metrics
from ssl3d.train.optimizer import decayed_names, make_optimizer
from ssl3d.train.schedule import learning_rate
from ssl3d.train.seeds import Stream, derived_seed, generator, global_seed

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


@given(
    steps=st.integers(1, 50),
    warmup=st.floats(0, 0.99),
    schedule=st.sampled_from(["cosine", "poly", "constant"]),
)
def test_learning_rate_never_exceeds_its_peak(steps: int, warmup: float, schedule: str) -> None:
    spec = OptimizerSpec(lr=1e-2, warmup=warmup, schedule=schedule)
    rates = [learning_rate(spec, step=step, steps=steps) for step in range(steps)]
    assert all(0 < rate <= 1e-2 * (1 + 1e-12) for rate in rates)


def test_only_matrices_and_kernels_decay(make_spec: MakeSpec) -> None:
    model = make_spec().build()
    decayed = decayed_names(model)
    parameters = dict(model.named_parameters())
    assert {parameters[name].dim() for name in decayed} == {2, 5}
    assert not [name for name in decayed if "token" in name or name.endswith("bias")]
    groups = make_optimizer(
        OptimizerSpec(weight_decay=0.3), parameters=parameters.items(), decayed=decayed
    ).param_groups
    assert [group["weight_decay"] for group in groups] == [0.3, 0.0]
    assert sum(len(group["params"]) for group in groups) == len(parameters)


def test_generators_depend_on_every_number() -> None:
    calls = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 0), (0, 0, 0, 0)]
    seeds = {derived_seed(*numbers) for numbers in calls}
    assert len(seeds) == len(calls)
    one, other = (torch.rand(4, generator=generator(3, Stream.MASK, 5)) for _ in range(2))
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
    assert found.measured == (16, 16, 16)
    print_summary(spec)
    assert "51 of 128" in capsys.readouterr().out


def test_measured_activations_scale_with_cells(make_spec: MakeSpec) -> None:
    """The rule by which large patches are estimated, on one that can be measured."""
    half, whole = (
        summarise(make_spec(data={"patch": patch})).activations
        for patch in [(8, 16, 16), (16, 16, 16)]
    )
    assert whole == pytest.approx(2 * half, rel=0.1)
