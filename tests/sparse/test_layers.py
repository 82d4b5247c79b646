"""Layers on a dense tensor do what torch's do, and pointwise ones need no backend."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from volumes import Case, cases

from ssl3d.geometry import Operation, Triple
from ssl3d.sparse import SparseVolume
from ssl3d.sparse.layers import (
    Activation,
    AvgPool3d,
    Conv3d,
    ConvTranspose3d,
    Interpolate,
    Linear,
    MaxPool3d,
)
from ssl3d_plugins.sparse_cells import Cells

BACKEND = Cells().build()
FORMS = [((3, 3, 3), (1, 1, 1)), ((1, 3, 3), (1, 2, 2)), ((2, 2, 2), (2, 2, 2)), ((1, 2, 2),) * 2]


@pytest.mark.parametrize(("kernel", "stride"), FORMS)
def test_a_dense_tensor_is_divided_by_the_stride_and_multiplied_back(
    kernel: Triple, stride: Triple
) -> None:
    x = torch.randn(2, 4, 4, 8, 8)
    smaller = tuple(n // s for n, s in zip(x.shape[2:], stride, strict=True))
    down = Conv3d(4, 6, kernel=kernel, stride=stride, groups=2)
    up = ConvTranspose3d(6, 4, kernel=kernel, stride=stride, groups=2)
    assert down(x).shape == (2, 6, *smaller)
    assert up(down(x)).shape == x.shape
    for pool in (MaxPool3d, AvgPool3d):
        assert pool(kernel=kernel, stride=stride)(x).shape == (2, 4, *smaller)
    assert Interpolate(scale=stride)(down(x)).shape == (2, 6, *x.shape[2:])


def test_parameters_are_in_torchs_layout() -> None:
    reference = nn.Conv3d(4, 6, (1, 3, 3), groups=2).state_dict()
    assert {
        n: p.shape for n, p in Conv3d(4, 6, kernel=(1, 3, 3), groups=2).state_dict().items()
    } == {n: p.shape for n, p in reference.items()}
    layer = Conv3d(4, 6, kernel=(1, 3, 3), groups=2)
    x = torch.randn(1, 4, 3, 5, 5)
    expected = F.conv3d(x, layer.weight, layer.bias, padding=(0, 1, 1), groups=2)
    assert torch.equal(layer(x), expected)


@given(cases())
def test_linear_is_a_convolution_with_kernel_one(case: Case) -> None:
    channels = case.volume.shape[1]
    linear, conv = Linear(channels, 5).double(), Conv3d(channels, 5, kernel=1).double()
    conv.load_state_dict(
        {n: p.view_as(conv.state_dict()[n]) for n, p in linear.state_dict().items()}
    )
    torch.testing.assert_close(linear(case.volume), conv(case.volume))
    x = SparseVolume.from_dense(case.volume, cells=case.cells, backend=BACKEND)
    torch.testing.assert_close(linear(x).features, case.cells.gather(conv(case.volume)))
    relu = Activation(nn.ReLU())
    assert torch.equal(relu(x).features, case.cells.gather(relu(case.volume)))


@given(
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    padding=st.integers(0, 2),
    transposed=st.booleans(),
)
def test_operations_without_a_meaning_are_named(
    kernel: int, stride: int, padding: int, transposed: bool
) -> None:
    kind = "conv_transpose3d" if transposed else "conv3d"
    op = Operation(kind, (1, kernel, 1), (1, stride, 1), (0, padding, 0))
    fits = (
        (kernel == stride and padding == 0)
        or (kernel % 2 == 1 and padding == kernel // 2 and stride <= 2)
        or (transposed and (kernel, stride, padding) == (4, 2, 1))
    )
    found = list(op.problems())
    assert (not found) == fits
    assert all(f"kernel {kernel}, stride {stride}, padding {padding}" in one for one in found)
