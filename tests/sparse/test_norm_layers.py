"""Norms of the visible part against statistics taken by boolean indexing of a dense volume."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from volumes import Case, cases

from ssl3d.sparse import CellGrid, SparseVolume
from ssl3d.sparse.hidden import cells_to_voxels
from ssl3d.sparse.layers import BatchNorm, InstanceNorm, LayerNorm, NormKind, make_norm
from ssl3d_plugins.sparse_cells import Cells

BACKEND = Cells().build()
KINDS: tuple[NormKind, ...] = ("layer", "batch", "instance")


def norm(kind: NormKind, channels: int) -> nn.Module:
    """A norm in double precision whose scale and shift are not 1 and 0."""
    layer = make_norm(kind, channels).double()
    with torch.no_grad():
        for i, parameter in enumerate(layer.parameters()):
            parameter.copy_(torch.linspace(0.5, 2, channels).double() - i)
    return layer


def naive(kind: NormKind, volume: Tensor, *, visible: Tensor, layer: nn.Module) -> Tensor:
    """Statistics by boolean indexing; `visible` is (B, D, H, W). Hidden sites become 0."""
    out = torch.zeros_like(volume)
    rows = volume.movedim(1, -1)
    results = out.movedim(1, -1)
    samples = [visible] if kind != "instance" else []
    if kind == "instance":
        for b in range(len(volume)):
            one = torch.zeros_like(visible)
            one[b] = visible[b]
            samples.append(one)
    for seen in samples:
        if not seen.any():
            continue
        sites = rows[seen]
        axis = 1 if kind == "layer" else 0
        mean = sites.mean(axis, keepdim=True)
        variance = (sites - mean).square().mean(axis, keepdim=True)
        normal = (sites - mean) / torch.sqrt(variance + 1e-5)
        results[seen] = normal * layer.weight + layer.bias
    return out


@pytest.mark.parametrize("kind", KINDS)
@given(case=cases(min_visible=1, edges=(2, 3)))
def test_norms_see_visible_sites_only(kind: NormKind, case: Case) -> None:
    layer = norm(kind, case.volume.shape[1])
    visible = cells_to_voxels(case.cells.visible, cell=case.cells.cell)
    inputs = [case.volume.clone().requires_grad_() for _ in range(2)]
    x = SparseVolume.from_dense(inputs[0], cells=case.cells, backend=BACKEND)
    sparse = layer(x).to_dense()
    dense = naive(kind, inputs[1], visible=visible, layer=layer)
    torch.testing.assert_close(sparse, dense, rtol=1e-9, atol=1e-9)
    upstream = torch.randn(dense.shape, generator=torch.Generator().manual_seed(0)).double()
    gradients = [
        torch.autograd.grad((out * upstream).sum(), [given, *layer.parameters()])
        for out, given in zip((sparse, dense), inputs, strict=True)
    ]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@given(case=cases(edges=(2, 3)))
def test_with_nothing_hidden_sparse_equals_dense(kind: NormKind, case: Case) -> None:
    layer = norm(kind, case.volume.shape[1])
    cells = CellGrid(torch.ones_like(case.cells.visible), cell=case.cells.cell)
    x = SparseVolume.from_dense(case.volume, cells=cells, backend=BACKEND)
    torch.testing.assert_close(layer(x).to_dense(), layer(case.volume), rtol=1e-9, atol=1e-9)


@given(case=cases(min_visible=1, edges=(2, 2)), momentum=st.sampled_from([0.1, 0.7]))
def test_running_statistics_are_those_of_visible_sites(case: Case, momentum: float) -> None:
    channels = case.volume.shape[1]
    ours, theirs = (m.double() for m in (BatchNorm(channels), nn.BatchNorm1d(channels)))
    ours.momentum = theirs.momentum = momentum
    x = SparseVolume.from_dense(case.volume, cells=case.cells, backend=BACKEND)
    ours(x)
    theirs(case.cells.gather(case.volume).reshape(-1, channels))
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)
    ours.eval()
    theirs.eval()
    torch.testing.assert_close(ours(x).sites, theirs(x.sites))


def one_site(*, samples: int) -> SparseVolume:
    """One visible site in each sample."""
    visible = torch.zeros(samples, 1, 1, 2, dtype=torch.bool)
    visible[..., 0] = True
    cells = CellGrid(visible, cell=(1, 1, 1))
    return SparseVolume.from_dense(torch.randn(samples, 2, 1, 1, 2), cells=cells, backend=BACKEND)


def test_one_visible_site_has_no_variance() -> None:
    with pytest.raises(
        ValueError, match=r"one visible site, at stride 1.* of the whole batch"
    ) as e:
        BatchNorm(2)(one_site(samples=1))
    assert e.value.sample == 0
    with pytest.raises(ValueError, match=r"one visible site, at stride 1.* of sample 0 .*padding"):
        InstanceNorm(2)(one_site(samples=2))
    assert BatchNorm(2)(one_site(samples=2)).sites.shape == (2, 2)
    assert BatchNorm(2).eval()(one_site(samples=1)).sites.shape == (1, 2)
    assert LayerNorm(2)(one_site(samples=1)).sites.shape == (1, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_visible_gives_nothing(kind: NormKind) -> None:
    cells = CellGrid(torch.zeros(2, 1, 1, 2, dtype=torch.bool), cell=(2, 2, 2))
    x = SparseVolume.from_dense(torch.randn(2, 3, 2, 2, 4), cells=cells, backend=BACKEND)
    assert norm(kind, 3)(x.map(torch.Tensor.double)).features.shape == (0, 2, 2, 2, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_have_torchs_names(kind: NormKind) -> None:
    theirs = {"layer": nn.LayerNorm, "batch": nn.BatchNorm3d, "instance": nn.InstanceNorm3d}[kind]
    extra = {"affine": True} if kind == "instance" else {}
    reference = theirs(4, **extra).state_dict()
    assert list(make_norm(kind, 4).state_dict()) == list(reference)


def test_batch_norm_without_momentum_averages_all_batches() -> None:
    ours, theirs = BatchNorm(3, momentum=None), nn.BatchNorm3d(3, momentum=None)
    for seed in range(3):
        x = torch.randn(2, 3, 2, 2, 2, generator=torch.Generator().manual_seed(seed))
        torch.testing.assert_close(ours(x), theirs(x))
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)
