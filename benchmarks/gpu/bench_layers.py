"""A 3³ convolution at each stage of ResEnc-L (160³, batch 2), way by way, in bfloat16.

Beside the ways of `cells` and dense: spconv and MinkowskiEngine, where they are installed.
"""

from __future__ import annotations

from typing import Any

import torch
from internals import CellGrid, SparseVolume, interpreted, kernel_rows, library, ways
from internals import Operation as Op
from settings import Settings, spec_of
from timing import Run, synchronise, timed
from torch import Tensor

STAGES = ((32, 32), (16, 64), (8, 128), (4, 256), (2, 320), (1, 320))
"""Sites per cell edge, and channels."""


class Layer:
    """One convolution: its input, dense and in cells, and its weight."""

    def __init__(
        self, visible: Tensor, *, cell: int, edge: int, channels: int, stride: int
    ) -> None:
        self.visible, self.cell, self.edge, self.stride = visible, cell, edge, stride
        self.kept, half = self.cells(), {"device": visible.device, "dtype": torch.bfloat16}
        self.features = torch.randn(self.kept.n, edge, edge, edge, channels, **half)
        self.features.requires_grad_()
        weight = torch.randn(channels, channels, 3, 3, 3, **half) * (27 * channels) ** -0.5
        self.weight = weight.contiguous(memory_format=torch.channels_last_3d).requires_grad_()
        self.backend = spec_of("tiny_res", form="visible", hidden=0.5).sparse_backend.build()
        self.flops = 3 * 2 * 27 * channels**2 * self.kept.n * (edge // stride) ** 3

    def cells(self) -> CellGrid:
        """The grid of a new batch, without any table."""
        return CellGrid(self.visible, cell=(self.cell,) * 3)

    def sparse(self, form: str, *, new_grid: bool = False) -> Run:
        """Forward and backward on visible cells."""
        stage = (self.cell // self.edge,) * 3

        def run() -> None:
            cells = self.cells() if new_grid else self.kept
            with ways(form):
                x = SparseVolume(self.features, cells, stage, self.backend)
                y = self.backend.conv3d(
                    x, self.weight, stride=(self.stride,) * 3, padding=(1, 1, 1)
                ).features
                torch.autograd.grad(y, [self.features, self.weight], torch.ones_like(y))

        return run

    def library(self, name: str) -> Run:
        """Forward and backward by another sparse library, which computes in single precision."""
        backend, stage = library(name), (self.cell // self.edge,) * 3

        def run() -> None:
            x = SparseVolume(self.features, self.kept, stage, backend)
            y = backend.conv3d(x, self.weight, stride=(self.stride,) * 3, padding=(1, 1, 1))
            leaves = [self.features, self.weight]
            torch.autograd.grad(y.features, leaves, torch.ones_like(y.features))

        return run

    def fused(self) -> Run:
        """The kernels of `cells` in Triton; interpreted where there is no GPU."""
        run, on_a_cpu = self.sparse("fused"), not self.features.is_cuda

        def fused() -> None:
            with interpreted(on_a_cpu):
                run()

        return fused

    def dense(self, layout: torch.memory_format) -> Run:
        """Forward and backward on the whole volume."""
        volume = self.kept.scatter(self.features.detach())
        x = volume.contiguous(memory_format=layout).requires_grad_()
        weight = self.weight.detach().contiguous(memory_format=layout).requires_grad_()

        def run() -> None:
            y = torch.nn.functional.conv3d(x, weight, None, self.stride, 1)
            torch.autograd.grad(y, [x, weight], torch.ones_like(y))

        return run

    def columns(self) -> Run:
        """One matrix product for each of forward, input gradient and weight gradient."""
        op = Op("conv3d", (3, 3, 3), (1, 1, 1), (1, 1, 1))
        rows = kernel_rows(self.kept, edge=(self.edge,) * 3, op=op.footprint)
        rows = rows.t().contiguous().int()  # (sites, 27)

        def run() -> None:
            y = Columns.apply(self.features.flatten(0, 3), self.weight, rows)
            torch.autograd.grad(y, [self.features, self.weight], torch.ones_like(y))

        return run

    def runs(self) -> dict[str, Run]:
        """Everything that is timed; pairs and columns where a neighbourhood fits in memory."""
        found = {
            "dense": self.dense(torch.contiguous_format),
            "dense cl": self.dense(torch.channels_last_3d),
            "chosen": self.sparse("chosen"),
            "halo": self.sparse("halo"),
            "halo + tables": self.sparse("halo", new_grid=True),
        }
        if self.features.is_cuda or self.edge == 1:  # interpreted it takes minutes elsewhere
            found["fused"] = self.fused()
        for name in ("spconv", "minkowski"):
            if library(name) is not None:
                found[f"{name}, single"] = self.library(name)
        if self.edge <= 8:
            found["all pairs"] = self.sparse("all pairs")
        if self.edge <= 8 and self.stride == 1:
            found["columns"] = self.columns()
        return found


class Columns(torch.autograd.Function):
    """(sites, 27·C) × (27·C, O) over gathered neighbourhoods; the gradient gathers as well."""

    @staticmethod
    def forward(ctx: Any, sites: Tensor, weight: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(sites, weight, rows)
        return gathered(sites, rows) @ weight.permute(2, 3, 4, 1, 0).reshape(-1, weight.shape[0])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        sites, weight, rows = ctx.saved_tensors
        back = weight.flip(2, 3, 4).permute(2, 3, 4, 0, 1).reshape(-1, weight.shape[1])
        grad_weight = (grad.t() @ gathered(sites, rows)).view(-1, 3, 3, 3, weight.shape[1])
        return gathered(grad, rows) @ back, grad_weight.permute(0, 4, 1, 2, 3), None


def gathered(sites: Tensor, rows: Tensor) -> Tensor:
    """(sites, C) and rows (sites, 27) to (sites, 27·C), zeros where nothing is seen."""
    padded = torch.cat([sites, sites.new_zeros(1, sites.shape[1])])
    return padded.index_select(0, rows.flatten()).view(len(rows), -1)


def run(settings: Settings) -> dict[str, Any]:
    """Every stage, without and with stride 2."""
    grid, batch, cell = (3, 1, 8) if settings.tiny else (5, 2, 32)
    order = torch.rand(batch, grid**3, generator=torch.Generator().manual_seed(0)).argsort(1)
    visible = (order >= round(settings.hidden * grid**3)).view(batch, grid, grid, grid)
    rows: list[dict[str, Any]] = []
    for edge, wide in STAGES:
        channels = wide // 8 if settings.tiny else wide
        for stride in (1, 2) if 1 < edge <= cell else (1,) if edge == 1 else ():
            layer = Layer(
                visible.to(settings.device), cell=cell, edge=edge, channels=channels, stride=stride
            )
            result = timed(working(layer, settings), settings)
            milliseconds = {name: values["ms"] for name, values in result.items()}
            wall = {name: values["wall ms"] for name, values in result.items()}
            where = {"edge": edge, "channels": channels, "stride": stride}
            rows.append({**where, "TFLOP": layer.flops / 1e12, "ms": milliseconds, "wall ms": wall})
            best = min(ms for name, ms in milliseconds.items() if name.startswith("dense"))
            text = ", ".join(f"{n} {ms:.2f} ({ms / best:.2f})" for n, ms in milliseconds.items())
            rate = layer.flops * visible.numel() / layer.kept.n / best / 1e9
            print(
                f"{edge:2}³ sites, {channels:3} ch, stride {stride}: {text}; "
                f"dense at {rate:.0f} TFLOP/s",
                flush=True,
            )
            settings.save("layers", {"rows": rows})
    return {"rows": rows}


def working(layer: Layer, settings: Settings) -> dict[str, Run]:
    """The runs that work on this device; a way that fails is said and left out."""
    found = {}
    for name, one in layer.runs().items():
        try:
            one()
            synchronise(settings)
            found[name] = one
        except Exception as error:
            print(f"layer {layer.edge}³ {name}: {type(error).__name__}: {error}"[:300])
    return found
