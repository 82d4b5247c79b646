"""Steps on a GPU: nothing leaks, and they are what they are on a CPU."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import test_no_leak as no_leak
import torch
from gpu_device import DEVICE, MARKS
from torch import Tensor

from ssl3d.data.half_batch import HalfBatch, halved
from ssl3d.kinds.batch import Batch
from ssl3d.masked.inputs import given_batch
from ssl3d.masked.model import PretrainModel
from ssl3d.run.precision import autocast
from ssl3d.sparse import SparseVolume
from ssl3d.testing.check import same_bits_asked_of

pytestmark = MARKS

BACKBONES = no_leak.variants("backbone", no_leak.SMALL)
VIEWS = no_leak.variants("views", no_leak.VIEWS)
WAVE, RES = (
    {"name": name, **form}
    for name, form in (
        ("waveformer", no_leak.SMALL["waveformer"]["default"]),
        ("resunet", no_leak.SMALL["resunet"]["instance norm"]),
    )
)
TWO = pytest.mark.parametrize("backbone", [WAVE, RES], ids=["waveformer", "resunet"])


def made(model: PretrainModel, *, dtype: torch.dtype = torch.float32) -> Batch:
    """Views as a loader makes them, on the CPU."""
    volume, valid = no_leak.inputs(model)
    parts = {"views": model.views, "masker": model.masker, "generator": drawn()}
    return given_batch(volume.to(dtype), valid=valid, hidden=None, **parts)


def drawn() -> torch.Generator:
    """What a loss may draw from, alike in every call."""
    return torch.Generator().manual_seed(0)


def numbers_of(model: PretrainModel, batch: Batch) -> dict[str, Tensor]:
    """Losses and gradients, on the CPU."""
    model.zero_grad()
    output = model.step(batch, generator=drawn())
    torch.autograd.backward(output.loss)
    gradients = {n: p.grad.cpu() for n, p in model.named_parameters() if p.grad is not None}
    return {**gradients, **{name: one.detach().cpu() for name, one in output.losses.items()}}


@pytest.mark.parametrize("precision", ["32", "bf16"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_hidden_voxels_change_no_bit(backbone: Any, precision: str) -> None:
    model = no_leak.build(backbone=backbone, sparse_backend="cells")
    with same_bits_asked_of(DEVICE):
        for training in (False, True):
            no_leak.check(model, training=training, device=DEVICE, precision=precision)


@pytest.mark.parametrize("views", VIEWS)
def test_hidden_voxels_change_no_bit_of_any_view(views: Any) -> None:
    model = no_leak.build(backbone=RES, sparse_backend="cells", masker="mim", views=views)
    with same_bits_asked_of(DEVICE):
        no_leak.check(model, training=True, device=DEVICE)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_step_is_what_it_is_on_a_cpu(backbone: Any) -> None:
    """Losses and every gradient, in double precision: nothing depends on the device."""
    compare(no_leak.build(backbone=backbone, sparse_backend="cells", masker="mim"))


@pytest.mark.parametrize("views", VIEWS)
def test_views_are_what_they_are_on_a_cpu(views: Any) -> None:
    """Those that are enlarged on the device as well."""
    compare(no_leak.build(backbone=RES, sparse_backend="cells", masker="mim", views=views))


def compare(model: PretrainModel) -> None:
    """A step on both devices, in double precision."""
    model = model.double()
    batch = made(model, dtype=torch.float64)
    want = numbers_of(copy.deepcopy(model), batch)
    found = numbers_of(model.to(DEVICE), batch.to(DEVICE))
    assert found.keys() == want.keys()
    for name, value in want.items():
        bound = 1e-8 * max(1.0, float(value.abs().max()))
        assert float((found[name] - value).abs().max()) <= bound, name


@pytest.mark.parametrize("backbone", BACKBONES)
def test_with_nothing_hidden_a_step_is_dense(backbone: Any) -> None:
    sparse = no_leak.build(backbone=backbone, sparse_backend="cells")
    dense = no_leak.build(backbone=backbone, sparse_backend="cells", encoder_input="zeroed")
    sparse, dense = sparse.double().to(DEVICE), dense.double().to(DEVICE)
    dense.load_state_dict({k: v for k, v in sparse.state_dict().items() if ".token" not in k})
    volume = no_leak.inputs(sparse)[0].double().to(DEVICE)
    nothing = torch.zeros(no_leak.BATCH, *no_leak.GRID, dtype=torch.bool)
    outs = [m(volume, hidden=nothing, generator=drawn()) for m in (sparse, dense)]
    for visible, whole in zip(outs[0].stages, outs[1].stages, strict=True):
        full = visible.to_dense() if isinstance(visible, SparseVolume) else visible
        torch.testing.assert_close(full, whole, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("precision", ["32", "bf16"])
@TWO
def test_gradients_repeat_bit_for_bit(backbone: Any, precision: str) -> None:
    """What resuming bitwise rests on, with `trainer.deterministic`: without it they do not."""
    model = no_leak.build(backbone=backbone, sparse_backend="cells", masker="mim").to(DEVICE)
    batch = made(model).to(DEVICE)
    found = []
    for _ in range(3):
        with same_bits_asked_of(DEVICE), autocast(precision, device=torch.device(DEVICE)):
            found.append(numbers_of(model, batch))
    for other in found[1:]:
        assert all(torch.equal(value, other[name]) for name, value in found[0].items())


@TWO
def test_half_of_the_bytes_arrive_as_they_were(backbone: Any) -> None:
    """Pinned, as a loader hands them on; what is valid is told by NaN."""
    batch = made(no_leak.build(backbone=backbone))
    half = halved(batch)
    assert isinstance(half, HalfBatch)
    there = (half.pin_memory() if DEVICE == "cuda" else half).to(DEVICE)
    for view, again in zip(batch.views, there.views, strict=True):
        assert torch.equal(again.volume.cpu(), view.volume.half().float())
        assert view.valid is not None
        assert again.valid is not None
        assert torch.equal(again.valid.cpu(), view.valid)
