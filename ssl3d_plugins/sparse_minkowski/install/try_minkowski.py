"""A convolution by the installed MinkowskiEngine against torch's; run in a process of its own."""

from __future__ import annotations

import sys

import MinkowskiEngine
import torch

from ssl3d.sparse import CellGrid, SparseVolume
from ssl3d.sparse.layers import Conv3d
from ssl3d_plugins.sparse_minkowski.config import Minkowski

TOLERANCE = 1e-9


def largest_difference(device: str) -> float:
    """Largest absolute difference of output and gradients to the dense convolution on `device`."""
    torch.manual_seed(0)
    layer = Conv3d(4, 8, kernel=3).to(device, torch.float64)
    volume = torch.randn(2, 4, 4, 6, 8, device=device, dtype=torch.float64, requires_grad=True)
    cells = CellGrid(torch.ones(2, 2, 3, 4, dtype=torch.bool, device=device), cell=(2, 2, 2))
    x = SparseVolume.from_dense(volume, cells=cells, backend=Minkowski().build())
    outputs = layer(x).to_dense(), layer(volume)
    direction = torch.randn_like(outputs[1])
    of = (volume, *layer.parameters())
    found, expected = ((y, *torch.autograd.grad(y, of, direction)) for y in outputs)
    return max(float((a - b).detach().abs().max()) for a, b in zip(found, expected, strict=True))


def main() -> int:
    """Print the difference on every device the build serves; 1 if one is too large."""
    gpu = MinkowskiEngine.is_cuda_available() and torch.cuda.is_available()
    status = 0
    for device in ("cpu", "cuda") if gpu else ("cpu",):
        difference = largest_difference(device)
        print(f"{device}: largest difference to the dense convolution {difference:.1e}")
        status = status or int(not difference < TOLERANCE)
    return status


if __name__ == "__main__":
    sys.exit(main())
