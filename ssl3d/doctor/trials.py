"""What a sparse backend is tried on: its library, then the kit's comparison with the definition."""

from __future__ import annotations

from collections.abc import Callable
from unittest import SkipTest

import torch
from torch import Tensor

from ssl3d.doctor.check import NotThere, Wrong
from ssl3d.testing import sparse_backend_checks as kit
from ssl3d.testing.sparse_cases import Case, chain, draw_inputs, layouts, make_case
from ssl3d.testing.sparse_run import assert_close
from ssl3d.testing.sparse_under_test import SparseBackendUnderTest

CONVOLUTIONS = {
    "3³": make_case("conv3d", 3, edge=4, channels=(8, 12)),
    "3³ stride 2": make_case("conv3d", 3, 2, edge=4, channels=(8, 12)),
    "1 × 3 × 3 stride 1 × 2 × 2": make_case(
        "conv3d", (1, 3, 3), (1, 2, 2), edge=4, channels=(8, 12)
    ),
    "2³ stride 2": make_case("conv3d", 2, 2, edge=4, channels=(8, 12)),
    "3³ depthwise": make_case("conv3d", 3, edge=4, groups=8, channels=(8, 8)),
}
ON_NOTHING = (
    make_case("conv3d", 3),
    make_case("conv3d", 3, 2),
    make_case("conv_transpose3d", 2, 2),
    make_case("max_pool3d", 3, 2),
    make_case("avg_pool3d", 3, 2),
)
NETWORK = chain((2, 2, 2), up=(2, 2, 2))


def library(b: SparseBackendUnderTest) -> str:
    """The backend can be built: its library is there and loads."""
    try:
        about = b.config.about(device=b.device)
        return f"{type(b.backend).__name__} loads" + (f"; {about}" if about else "")
    except ImportError as error:
        # The backend's own words say what to do. Python's, which name a module, tell of a library
        # that is there in part.
        if error.name is not None:
            raise Wrong(f"its library cannot be used: {error}") from error
        if isinstance(error, ModuleNotFoundError):
            raise NotThere("its library is not installed", advice=str(error)) from error
        raise Wrong("its library cannot be used", advice=str(error)) from error


def tensor_creation(b: SparseBackendUnderTest) -> str:
    """Sites go into the library and come back in their order: a kernel that changes nothing."""
    case, visible = make_case("conv3d", 3, edge=4, channels=(8, 8)), _samples()
    inputs = draw_inputs(case, visible)
    inputs.weight.zero_()[range(8), range(8), 1, 1, 1] = 1.0
    inputs.bias.zero_()
    b.needs(case)
    error = b.compare(case, visible, inputs=inputs)
    sites = inputs.features[..., 0].numel()
    return f"{sites} sites come back in their order, off by {error:.0e}"


def convolution(b: SparseBackendUnderTest) -> str:
    """Values and gradients of the kernels and strides that backbones are made of."""
    errors, lacking = [0.0], []
    for name, case in CONVOLUTIONS.items():
        try:
            b.needs(case)
            errors.append(b.compare(case, _samples()))
        except SkipTest:
            lacking.append(name)
        except AssertionError as error:
            raise Wrong(f"{name}: {error}") from error
    if len(lacking) == len(CONVOLUTIONS):
        raise NotThere("the library has no convolution of these kinds")
    without = f"; the library lacks {', '.join(lacking)}" if lacking else ""
    return f"{len(CONVOLUTIONS) - len(lacking)} kinds, {_off(max(errors))}{without}"


def batch_norm(b: SparseBackendUnderTest) -> str:
    """Statistics over visible sites, also where a sample shows nothing."""
    return _off(kit.batch_norm_counts_visible_sites(b, layout="empty_sample"))


def many_channels(b: SparseBackendUnderTest) -> str:
    """625 sites with 256 channels: the last stages of a network."""
    visible = torch.zeros(1, 2, 2, 2, dtype=torch.bool)
    visible.view(-1)[[0, 1, 3, 6, 7]] = True
    return _one(b, make_case("conv3d", 3, edge=5, channels=(256, 256)), visible)


def many_sites(b: SparseBackendUnderTest) -> str:
    """A million sites with 4 channels: the first stages of a network."""
    visible = torch.zeros(1, 10, 10, 20, dtype=torch.bool)
    order = torch.randperm(2000, generator=torch.Generator().manual_seed(0))
    visible.view(-1)[order[:1000]] = True
    case = make_case("conv3d", 3, edge=10, channels=(4, 4))
    # A dense convolution in double precision would unfold 2 GiB here.
    return _one(b, case, visible, dtype=torch.float32)


def network(b: SparseBackendUnderTest) -> str:
    """Values of a network that goes down two stages and up again."""
    actual, expected = b.through(NETWORK, _samples())
    expected = {"values": expected["values"]}
    return _off(assert_close(actual, expected, tolerance=b.tolerance))


def backward(b: SparseBackendUnderTest) -> str:
    """Gradients of the same network: of its input and of every parameter."""
    actual, expected = b.through(NETWORK, _samples())
    del expected["values"]
    return _off(assert_close(actual, expected, tolerance=b.tolerance))


def empty_input(b: SparseBackendUnderTest) -> str:
    """No visible cell: results without rows, gradients of zero, and the process lives on."""
    usable = [case for case in ON_NOTHING if b.config.supports(case.op)]
    for case in usable:
        b.compare(case, layouts()["empty_batch"])
    return f"{len(usable)} operations, forward and backward"


TRIALS: dict[str, Callable[[SparseBackendUnderTest], str]] = {
    "library": library,
    "tensor creation": tensor_creation,
    "convolution": convolution,
    "batch norm": batch_norm,
    "625 sites, 256 channels": many_channels,
    "1 000 000 sites, 4 channels": many_sites,
    "network": network,
    "backward": backward,
    "empty input": empty_input,
}


def _one(
    b: SparseBackendUnderTest, case: Case, visible: Tensor, *, dtype: torch.dtype = torch.float64
) -> str:
    b.needs(case)
    return _off(b.compare(case, visible, dtype=dtype))


def _samples() -> Tensor:
    """Three samples of 3 × 4 × 3 cells: some are visible, none, and all."""
    visible = torch.rand(3, 3, 4, 3, generator=torch.Generator().manual_seed(0)) < 0.4
    visible[1], visible[2] = False, True
    return visible


def _off(error: float) -> str:
    return f"off by {error:.0e} of the dense reference"
