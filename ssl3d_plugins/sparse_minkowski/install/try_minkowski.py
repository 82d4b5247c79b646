"""A convolution by the installed MinkowskiEngine against torch's; run in a process of its own."""

from __future__ import annotations

import MinkowskiEngine
import torch

from ssl3d.testing.sparse_cases import make_case
from ssl3d.testing.sparse_under_test import SparseBackendUnderTest
from ssl3d_plugins.sparse_minkowski.config import Minkowski


def largest_difference(device: str) -> float:
    """Largest difference of output and gradients to the dense convolution, where few are visible.

    Raises:
        AssertionError: it is too large; says where.
    """
    case = make_case("conv3d", 3, edge=2, channels=(4, 8))
    visible = torch.rand(2, 2, 3, 4, generator=torch.Generator().manual_seed(0)) < 0.7
    return SparseBackendUnderTest(Minkowski(), device=device).compare(case, visible)


def main() -> None:
    """Print the difference on every device that the build serves."""
    gpu = MinkowskiEngine.is_cuda_available() and torch.cuda.is_available()
    for device in ("cpu", "cuda") if gpu else ("cpu",):
        difference = largest_difference(device)
        print(f"{device}: largest difference to the dense convolution {difference:.1e}")


if __name__ == "__main__":
    main()
