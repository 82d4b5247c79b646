"""One convolution forward and backward, by one way after another."""

from __future__ import annotations

import functools
import importlib.util

import torch
from torch import Tensor

from ssl3d.geometry import Operation, Triple
from ssl3d.sparse import CellGrid
from ssl3d_plugins.sparse_cells.across import FUSED, HALO, Way, convolve
from ssl3d_plugins.sparse_cells.traced import constant_in_graphs

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
"""Of the difference between two ways, as a share of the result; in half precision `ROUGH`."""

ROUGH = 2e-2
"""Also where single precision is TF32, as torch's convolutions on GPUs are by default."""


class Trial:
    """A convolution of random features on cells of which a quarter is visible.

    Args:
        op: a convolution without groups, of any channels.
        edge: sites per cell edge of its input.
        dtype: of features and weight.
        device: where it is computed.
        grid: cells per axis.
    """

    def __init__(
        self,
        op: Operation,
        *,
        edge: Triple,
        dtype: torch.dtype,
        device: torch.device,
        grid: int = 4,
    ) -> None:
        generator = torch.Generator().manual_seed(0)
        order = torch.rand(grid**3, generator=generator).argsort()
        visible = (order < -(-(grid**3) // 4)).view(1, grid, grid, grid)
        self.op, self.device = op, device
        self.cells = CellGrid(visible, cell=edge).prepared().to(device)
        channels, out = op.channels

        def leaf(*shape: int) -> Tensor:
            values = torch.randn(shape, generator=generator).to(device, dtype)
            return values.requires_grad_()

        self.features = leaf(self.cells.n, *edge, channels)
        self.weight = leaf(out, channels, *op.kernel)

    def run(self, way: Way) -> tuple[Tensor, ...]:
        """Values, and gradients of features and weight."""
        x, weight = self.features, self.weight
        y = convolve(x, weight, None, cells=self.cells, op=self.op, way=way)
        return (y.detach(), *torch.autograd.grad(y, [x, weight], y.detach()))

    def differs(self, got: tuple[Tensor, ...], want: tuple[Tensor, ...]) -> str:
        """In which way two results differ by more than rounding; empty where they do not."""
        rough = self.device.type == "cuda" and self.features.dtype == torch.float32
        bound = ROUGH if rough else TOLERANCE.get(self.features.dtype, ROUGH)
        for name, a, b in zip(("values", "gradient", "weight's gradient"), got, want, strict=True):
            off = float((a.double() - b.double()).norm() / b.double().norm())
            if not off <= bound:  # NaN is off too
                return f"{name} off by {off:.2g} of their size"
        return ""


@constant_in_graphs
def trouble(device: torch.device) -> str:
    """Why the fused kernels cannot be used on a GPU; empty where they work, which is tried once."""
    if not torch.cuda.is_available():
        return "no GPU is there"
    return _trouble(torch.cuda.current_device() if device.index is None else device.index)


@functools.cache
def _trouble(index: int) -> str:
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed: pip install 'ssl3d[triton]'"
    major, minor = torch.cuda.get_device_capability(index)
    if major < 8:
        return f"compute capability 8.0 or later is needed, this GPU has {major}.{minor}"
    one: Triple = (1, 1, 1)
    op = Operation("conv3d", (3, 3, 3), one, one, 1, (16, 16))
    device = torch.device("cuda", index)
    try:  # it compiles, for which a C compiler and Python's headers must be there
        with torch.inference_mode(False), torch.enable_grad():
            trial = Trial(op, edge=(2, 2, 2), dtype=torch.bfloat16, device=device)
            return trial.differs(trial.run(FUSED), trial.run(HALO))
    except Exception as error:  # whatever Triton, a compiler or a driver may raise
        return " ".join(f"{type(error).__name__}: {error}".split())[:300]
