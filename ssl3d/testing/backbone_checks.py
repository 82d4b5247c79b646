"""What every backbone must do."""

from __future__ import annotations

import pkgutil
import re
from dataclasses import replace
from unittest import SkipTest

import torch
from torch.nn import functional as F

from ssl3d.kinds.network_plan import NetworkPlan
from ssl3d.sparse import CellGrid, SparseVolume
from ssl3d.sparse.hidden import cells_to_voxels
from ssl3d.sparse.layers import OneSiteError
from ssl3d.tasks.export import ways_of
from ssl3d.testing.backbone_under_test import BackboneUnderTest, as_announced, sparse_backend
from ssl3d.testing.check import (
    check,
    checks_of,
    refused,
    require,
    same_bits_asked_of,
    survives_json,
)
from ssl3d.testing.recorder import Recorder

BACKENDS = ("cells", "dense")


@check()
def stages_are_what_the_config_says(b: BackboneUnderTest) -> None:
    """Strides, channels and sizes of the feature maps."""
    cells, backbone = b.cells(everything=True), b.build()
    stages = b.config.stages()
    require(backbone.stages == stages, f"stages are {backbone.stages}, the config says {stages}")
    volume = b.volume(cells)
    as_announced(backbone, volume)
    backend = sparse_backend("dense")
    as_announced(backbone, SparseVolume.from_dense(volume, cells=cells, backend=backend))


@check()
def operations_are_what_the_config_says(b: BackboneUnderTest) -> None:
    """Neither more nor fewer than validation compares with the sparse backend."""
    cells, recorder = b.cells(), Recorder(sparse_backend("dense"))
    one = replace(b, in_channels=1)
    one.build()(SparseVolume.from_dense(one.volume(cells), cells=cells, backend=recorder))
    announced = set(b.config.operations())
    for what, operations in {
        "not announced": recorder.operations - announced,
        "announced and not asked for": announced - recorder.operations,
    }.items():
        named = "; ".join(sorted(op.describe() for op in operations))
        require(not operations, f"operations {what}: {named}")


@check(backend=BACKENDS)
def nothing_hidden_is_the_dense_result(b: BackboneUnderTest, *, backend: str) -> float:
    """Values, gradients and running statistics; gives the largest error."""
    errors = []
    for multiple in b.multiples:
        cells = b.cells(multiple=multiple, everything=True)
        volume = b.volume(cells)
        sparse = b.results(volume, cells=cells, backend=backend, maps=True)
        errors.append(b.close(sparse, b.results(volume, backend=backend)))
    return max(errors)


@check(training=(True, False), finite=(True, False), backend=BACKENDS)
def no_leak(b: BackboneUnderTest, *, training: bool, finite: bool, backend: str) -> None:
    """Hidden voxels change no bit of any feature, gradient or running statistic."""
    b = b if b.training == training else replace(b, training=training)
    cells, hidden = b.cells(), cells_to_voxels(~b.cells().visible, cell=b.cells().cell)[:, None]
    volume, other = b.volume(cells), 100 * b.volume(cells, seed=1)
    if not finite:
        other = torch.where(other > 0, torch.inf, torch.nan)
    with same_bits_asked_of(b.device):
        first = b.results(volume, cells=cells, backend=backend)
        second = b.results(torch.where(hidden, other, volume), cells=cells, backend=backend)
    for name, value in first.items():
        changed = second[name]
        if value is None or changed is None:
            raise AssertionError(f"{name} is missing")
        require(bool(value.isfinite().all()), f"{name} is not finite")
        require(torch.equal(value, changed), f"hidden voxels change {name}")


@check(training=(True, False))
def hidden_cells_count_nowhere(b: BackboneUnderTest, *, training: bool) -> None:
    """More of them around the grid change no visible feature, gradient or running statistic.

    A norm that took its mean over all sites would change: hidden ones are 0 and leak nothing.
    """
    if b.depends_on_grid_size:
        raise SkipTest("features depend on the size of the grid")
    b = replace(b, training=training)
    cells, (z, y, x) = b.cells(), b.cells().cell
    volume = b.volume(cells)
    larger = CellGrid(F.pad(cells.visible, (0, 1, 0, 1, 0, 1)), cell=cells.cell)
    want = b.results(volume, cells=cells, backend="cells")
    got = b.results(F.pad(volume, (0, x, 0, y, 0, z)), cells=larger, backend="cells")
    del want["the gradient of the volume"]  # which is larger
    try:
        b.close(got, want)
    except AssertionError as error:
        raise AssertionError(f"more hidden cells around the grid: {error}") from error


@check()
def backends_agree(b: BackboneUnderTest) -> None:
    """On visible cells, in values and gradients."""
    cells = b.cells(multiple=b.multiples[-1])
    first, second = (b.results(b.volume(cells), cells=cells, backend=name) for name in BACKENDS)
    b.close(second, first)


@check(visible=(True, False))
def every_parameter_has_a_gradient(b: BackboneUnderTest, *, visible: bool) -> None:
    """Distributed training waits for each of them, also where a rank shows nothing."""
    cells = b.cells()
    if not visible:
        cells = CellGrid(torch.zeros_like(cells.visible), cell=cells.cell)
    results = b.results(b.volume(cells), cells=cells, backend="cells")
    without = [name for name, value in results.items() if value is None]
    require(not without, f"missing: {', '.join(without)}")


@check()
def samples_do_not_meet(b: BackboneUnderTest) -> None:
    """In evaluation a sample's features do not depend on the others of its batch."""
    b = replace(b, training=False, gradients=False)
    cells = b.cells()
    volume, alone = b.volume(cells), CellGrid(cells.visible[1:], cell=cells.cell)
    both = b.results(volume, cells=cells, backend="cells", maps=True)
    one = b.results(volume[1:], cells=alone, backend="cells", maps=True)
    stages = [name for name in both if name.startswith("stage ")]
    b.close({n: both[n][1:] for n in stages}, {n: one[n] for n in stages})  # type: ignore[index]


@check()
def its_own_weights_load(b: BackboneUnderTest) -> None:
    """All of them; one that is missing or of another shape is an error that names it."""
    weights, target = b.build().state_dict(), b.config.build(in_channels=b.in_channels)
    report = target.to(b.device, b.dtype).load_weights(weights)
    require(not report.missing, f"its own weights are missing: {report.missing}")
    for name, value in target.state_dict().items():
        require(torch.equal(value, weights[name]), f"{name} is not what was loaded")
    for name, value in weights.items():
        last, other = re.escape(name.split(".")[-1]), value.new_zeros(value.numel() + 1)
        with refused(f"weights without {name}", naming=last):
            target.load_weights({n: v for n, v in weights.items() if n != name})
        with refused(f"weights with a {name} of shape {tuple(other.shape)}", naming=last):
            target.load_weights({**weights, name: other})


@check()
def the_config_survives_json(b: BackboneUnderTest) -> None:
    """Specs are stored as JSON."""
    survives_json(b.config)


@check()
def it_accepts_its_own_cell(b: BackboneUnderTest) -> None:
    """The total stride is a cell size without problems."""
    problems = [p.message for p in b.config.problems(cell=b.config.total_stride, sparse=True)]
    require(not problems, f"objects to its own total stride: {'; '.join(problems)}")


@check(samples=(1, 2))
def norms_are_what_the_config_says(b: BackboneUnderTest, *, samples: int) -> None:
    """One visible site has no variance: instance norm fails on it, batch norm where it is alone."""
    norms = b.config.instance_norm_stages()
    if samples == 1:
        norms += b.config.batch_norm_stages()
    told, cells = b.config.stages()[-1] in norms, b.one_each(samples)
    try:
        replace(b, gradients=False).results(b.volume(cells), cells=cells, backend="cells")
        refused = False
    except OneSiteError:
        refused = True
    require(
        refused == told,
        f"one visible site of the deepest stage in {samples} of {cells.batch} samples is "
        f"{'an' if refused else 'no'} error, and the config says {'' if told else 'not '}so",
    )


@check()
def a_plan_gives_the_planned_strides(b: BackboneUnderTest) -> None:
    """Options for given strides, where it has any, are valid and come to these strides."""
    plan = NetworkPlan(((1, 1, 1), (1, 2, 2), (2, 2, 2)), kernels=((1, 3, 3), *[(3, 3, 3)] * 2))
    config = type(b.config)
    options = config.planned(plan)
    if options is not None:
        total = config(**options).total_stride
        require(total == plan.total_stride, f"planned {plan.total_stride}, options give {total}")


@check()
def its_exports_can_be_called(b: BackboneUnderTest) -> None:
    """Each has a name of its own, and what it builds is there."""
    for name, way in ways_of(b.config).items():
        function = pkgutil.resolve_name(way.builds)
        require(callable(function), f"export {name!r}: {way.builds} is no function")


CHECKS = checks_of(globals())
