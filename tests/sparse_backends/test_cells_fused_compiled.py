"""The fused kernels are compiled for GPUs, without one, with the arguments of real launches."""

# ruff: noqa: E402
from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

triton = pytest.importorskip("triton", reason="Triton has no wheel for this system")

from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from ssl3d.geometry import Operation
from ssl3d.sparse import CellGrid, SparseVolume
from ssl3d.testing.sparse_cases import Case, draw_inputs, make_case
from ssl3d_plugins.sparse_cells import Cells, backend, fused
from ssl3d_plugins.sparse_cells.across import FUSED
from ssl3d_plugins.sparse_cells.fused import blocks, conv, kernels

SHARED = {80: 163 * 1024, 86: 99 * 1024, 90: 227 * 1024}
"""Bytes of shared memory that a program may have, by compute capability."""

SAME = make_case("conv3d", 3, edge=2, channels=(64, 64))
STRIDED = make_case("conv3d", 3, 2, edge=4, channels=(32, 64))
STEM = make_case("conv3d", 3, edge=(1, 4, 2), channels=(1, 32))
WIDE = make_case("conv3d", 3, edge=1, channels=(320, 512))
BF16, TF32, SINGLE = (torch.bfloat16, "ieee"), (torch.float32, "tf32"), (torch.float32, "ieee")
STEPS = ("down", "up", "weight_gradient")


class Recorder:
    """Stands for a kernel, and keeps what it is launched with."""

    def __init__(self) -> None:
        self.launched: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def __getitem__(self, _grid: tuple[int, ...]) -> Callable[..., None]:
        return lambda *args, **options: self.launched.append((args, options))


def launch(
    case: Case, step: str, dtype: torch.dtype, patch: pytest.MonkeyPatch
) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """A kernel, and the arguments that a step launches it with."""
    patch.setattr(blocks, "PROGRAMS", 0)  # the largest blocks, as for many sites
    record = SimpleNamespace(gather=Recorder(), correlate=Recorder())
    patch.setattr(fused, "kernels", record)
    visible = torch.ones(1, 4, 4, 2, dtype=torch.bool)
    cells, inputs = CellGrid(visible, cell=case.cell), draw_inputs(case, visible)
    fine, weight, bias = (t.to(dtype) for t in inputs)
    coarse = conv.down(fine, weight, bias, cells=cells, op=case.op).movedim(1, -1)
    if step == "up":
        conv.up(coarse, weight, None, cells=cells, op=case.op)
    elif step == "weight_gradient":
        conv.weight_gradient(fine, coarse, weight, cells=cells, op=case.op)
    name = "correlate" if step == "weight_gradient" else "gather"
    return getattr(kernels, name), *getattr(record, name).launched[-1]


def compiled(
    case: Case,
    step: str,
    numbers: tuple[torch.dtype, str],
    *,
    architecture: int,
    patch: pytest.MonkeyPatch,
) -> Any:
    dtype, precision = numbers
    patch.setattr(conv, "_exact", lambda _: (dtype, precision) == SINGLE)
    kernel, given, options = launch(case, step, dtype, patch)
    options |= {"PRECISION": precision, "SINGLE": False}  # as for tensors on a GPU
    runs = {f"num_{name}": options.pop(f"num_{name}") for name in ("warps", "stages")}
    names = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.int64: "*i64"}
    types = [names[a.dtype] if isinstance(a, torch.Tensor) else "i32" for a in given]
    whole = {(i,): [["tt.divisibility", 16]] for i, kind in enumerate(types) if "*" in kind}
    rest = dict.fromkeys(kernel.arg_names[len(given) :], "constexpr")
    signature = dict(zip(kernel.arg_names, types, strict=False)) | rest
    source = ASTSource(fn=kernel, signature=signature, constexprs=options, attrs=whole)
    return triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=runs)


def check(
    case: Case, step: str, numbers: Any, architecture: int, patch: pytest.MonkeyPatch, cache: Path
) -> None:
    with triton.knobs.cache.scope():
        triton.knobs.cache.dir = str(cache)
        made = compiled(case, step, numbers, architecture=architecture, patch=patch)
    assert made.metadata.shared <= SHARED[architecture]
    assert f".target sm_{architecture}" in made.asm["ptx"]
    assert made.asm["cubin"]  # by the assembler of NVIDIA that comes with Triton
    on_tensor_cores = re.search(r"\bmma\.sync|\bwgmma\.mma", made.asm["ptx"])
    assert bool(on_tensor_cores) == (numbers != SINGLE)
    assert "atom" not in made.asm["ptx"]  # sums in a fixed order


@pytest.mark.parametrize(
    ("architecture", "step", "numbers"),
    [(80, "down", BF16), (90, "weight_gradient", BF16), (90, "up", TF32), (86, "down", TF32)],
)
def test_one_of_each(
    architecture: int,
    step: str,
    numbers: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    case = {"up": STRIDED, "down": WIDE}.get(step, SAME)
    check(case, step, numbers, architecture, monkeypatch, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [80, 90])
@pytest.mark.parametrize("numbers", [BF16, TF32, SINGLE], ids=["bf16", "tf32", "single"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("case", [STRIDED, STEM, WIDE], ids=str)
def test_every_shape(
    case: Case,
    step: str,
    numbers: Any,
    architecture: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    check(case, step, numbers, architecture, monkeypatch, tmp_path)


def test_forward_and_backward_are_one_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """`torch.compile` takes the kernels as they are: nothing around them stops it."""
    monkeypatch.setattr("torch.utils._triton.has_triton", lambda: True)
    monkeypatch.setattr(backend, "choose", lambda *_, **__: FUSED)
    op: Operation = make_case("conv3d", 3, channels=(8, 8)).op
    cells = CellGrid(torch.ones(1, 2, 2, 2).bool(), cell=(4, 4, 4)).prepared()
    weight, bias = torch.randn(8, 8, 3, 3, 3).requires_grad_(), torch.randn(8).requires_grad_()
    sparse, graphs = Cells().build(), []

    def convolve(x: torch.Tensor) -> torch.Tensor:
        given = SparseVolume(x, cells, (1, 1, 1), sparse)
        once = sparse.conv3d(given, weight, bias, stride=op.stride, padding=op.padding)
        return sparse.conv3d(once, weight, stride=(2, 2, 2), padding=op.padding).features

    def traced(graph: torch.fx.GraphModule, _: Any) -> Callable[..., Any]:
        graphs.append(graph)
        return lambda *_: (torch.zeros(cells.n, 2, 2, 2, 8),)

    x = torch.randn(cells.n, 4, 4, 4, 8).requires_grad_()
    torch.compile(convolve, backend=traced, fullgraph=True)(x)
    (graph,) = graphs
    bodies = [m for name, m in graph.named_modules() if re.fullmatch(r"(fwd|bwd)_body_\d", name)]
    launches = [
        sum("triton_kernel_wrapper" in str(node.target) for node in body.graph.nodes)
        for body in bodies
    ]
    assert sorted(launches) == [1, 1, 2, 2]  # forward; back, and the gradient of the weight
