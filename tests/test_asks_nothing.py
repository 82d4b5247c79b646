"""A step of encoder and decoder asks its device nothing, once the grid of the batch is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ssl3d.geometry import Operation, times
from ssl3d.sparse import CellGrid, FeatureMap, SparseVolume
from ssl3d.sparse.layers import (
    AvgPool3d,
    BatchNorm,
    Conv3d,
    ConvTranspose3d,
    InstanceNorm,
    Interpolate,
    MaxPool3d,
    sync,
)
from ssl3d.testing.asks_nothing import asks_nothing
from ssl3d_plugins.decoders import Spark
from ssl3d_plugins.resunet import ResUNet
from ssl3d_plugins.sparse_cells import Cells
from ssl3d_plugins.sparse_cells.across import HALO, PAIRS
from ssl3d_plugins.sparse_cells.choice import choose
from ssl3d_plugins.sparse_dense import Dense
from ssl3d_plugins.waveformer import WaveFormer

META = torch.device("meta")
RAGGED = torch.tensor([[1, 0, 1, 1, 0, 0, 1, 0], [0, 0, 1, 0, 0, 1, 0, 0]]).bool()
"""Two samples of 2³ cells that show four and two."""

BACKBONES = {
    "waveformer": WaveFormer(),
    "blueprint": WaveFormer(preset="blueprint"),
    "paper": WaveFormer(preset="paper"),
    "paper, windows off the grid": WaveFormer(preset="paper", window=(3, 5, 8)),
    "bias": WaveFormer(positions="relative_bias"),
    "details": WaveFormer(details="mlp"),
    "depthwise": WaveFormer(details="depthwise", ffn="conv"),
    "anisotropic": WaveFormer(patch=(1, 2, 2), merging=((1, 2, 2), (2, 2, 2), (2, 2, 2))),
    "resunet S": ResUNet(size="S"),
    "resunet M": ResUNet(size="M"),
    "resunet L": ResUNet(size="L"),
    "resunet batch": ResUNet(size="S", norm="batch"),
}


def step(config: Any, *, backend: Any, dense: bool = False, training: bool = True) -> None:
    """Forward, backward, clipping and AdamW, everything on meta before it starts."""
    with META:
        backbone = config.build(in_channels=1).train(training)
        decoder = Spark().build(stages=config.stages(), out_channels=1, sparse=not dense)
        model = nn.ModuleList([backbone, decoder.train(training)])
    cell = times(config.total_stride, (2, 2, 2))  # a cell of one site has nothing to normalise
    host = CellGrid(RAGGED.view(2, 2, 2, 2), cell=cell).prepared()
    cells = host.to(META)
    volume = torch.empty(2, 1, *times(cells.grid, cell), device=META)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, foreach=training)
    with asks_nothing():
        given: FeatureMap = volume
        if not dense:
            given = SparseVolume.from_dense(volume, cells=cells, backend=backend)
        out = decoder(backbone(given)).volume
        assert out.shape == volume.shape
        out.square().mean().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


@pytest.mark.parametrize("name", BACKBONES)
def test_of_visible_cells(name: str) -> None:
    step(BACKBONES[name], backend=Cells().build())


@pytest.mark.parametrize("name", ["waveformer", "paper", "resunet S", "resunet batch"])
def test_of_visible_cells_in_evaluation(name: str) -> None:
    step(BACKBONES[name], backend=Cells().build(), training=False)


@pytest.mark.parametrize("name", ["waveformer", "paper", "details", "resunet S"])
def test_of_whole_volumes(name: str) -> None:
    """The dense baseline."""
    step(BACKBONES[name], backend=None, dense=True)


def test_of_whole_volumes_with_a_long_filter() -> None:
    step(WaveFormer(wavelet="db2"), backend=None, dense=True)


def test_of_the_reference_backend() -> None:
    step(ResUNet(widths=(8, 16), blocks=(1, 1)), backend=Dense().build())


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "max pool": lambda: MaxPool3d(kernel=3, stride=2),
    "average pool": lambda: AvgPool3d(kernel=3, stride=2),
    "interpolation": lambda: Interpolate(scale=2),
    "strided": lambda: Conv3d(8, 8, kernel=3, stride=2, groups=2),
    "wide kernel": lambda: Conv3d(8, 8, kernel=(7, 5, 3)),
    "transposed": lambda: ConvTranspose3d(8, 8, kernel=4, stride=2),
    "batch norm": lambda: BatchNorm(8),
    "instance norm": lambda: InstanceNorm(8),
}


@pytest.mark.parametrize("backend", [Cells(), Dense()], ids=["cells", "dense"])
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("visible", [RAGGED, torch.zeros_like(RAGGED)], ids=["ragged", "nothing"])
def test_of_layers_that_look_past_a_cell(layer: str, backend: Any, visible: Tensor) -> None:
    module = LAYERS[layer]().to(META)
    cells = CellGrid(visible.view(2, 2, 2, 2), cell=(4, 4, 4)).prepared().to(META)
    features = torch.empty(cells.n, 2, 2, 2, 8, device=META, requires_grad=True)
    with asks_nothing():
        x = SparseVolume(features, cells, (2, 2, 2), backend.build())
        y = module(x)
        y.features.sum().backward()
        assert y.coordinates.shape == (len(y.sites), 4)
    assert features.grad is not None


def test_of_batch_norm_over_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rank with more than one site knows that there is a variance."""
    monkeypatch.setattr(sync, "world_size", lambda: 2)
    monkeypatch.setattr("ssl3d.sparse.layers.norm.world_size", lambda: 2)
    monkeypatch.setattr(sync.dist, "all_reduce", lambda _: None)
    norm, x = BatchNorm(8).to(META), torch.empty(2, 8, 4, 4, 4, device=META, requires_grad=True)
    with asks_nothing():
        norm(x).sum().backward()


FAULTS: dict[str, Callable[[Tensor], Any]] = {
    "item": lambda x: x.sum().item(),
    "float": lambda x: float(x.sum()),
    "bool": lambda x: 1 if x.sum() > 0 else 0,
    "tolist": lambda x: x.tolist(),
    "cpu": lambda x: x.cpu(),
    "nonzero": lambda x: x.nonzero(),
    "boolean index": lambda x: x[x > 0],
    "boolean index that is set": lambda x: x.clone().__setitem__(x > 0, 0.0),
    "equal": lambda x: torch.equal(x, x),
    "bincount": lambda x: x.long().bincount(),
    "unique": lambda x: x.unique(),
    "repeats on the device": lambda x: x.repeat_interleave(x.long()),
    "tensor": lambda x: torch.tensor([1.0], device=x.device),
    "as_tensor": lambda x: torch.as_tensor([1.0], device=x.device),
    "new_tensor": lambda x: x.new_tensor([1.0]),
    "to": lambda x: torch.ones(2).to(x.device),
    "to, of one number": lambda x: torch.ones(()).to(x),
    "copy_": lambda x: torch.empty_like(x).copy_(torch.ones(3)),
    "index of the host": lambda x: x[torch.zeros(2, dtype=torch.long)],
}


class Faulty(torch.autograd.Function):
    """Asks in its backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, fault: Callable[[Tensor], Any]) -> Tensor:
        ctx.fault = fault
        return x * 2

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        ctx.fault(grad)
        return grad, None


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("fault", FAULTS)
def test_what_asks_is_found(fault: str, backward: bool) -> None:
    x = torch.empty(3, device=META, requires_grad=backward)
    ask: Callable[[Tensor], Any] = FAULTS[fault]
    if backward:
        ask = lambda x: Faulty.apply(x, FAULTS[fault]).sum().backward()  # noqa: E731
    with pytest.raises((AssertionError, RuntimeError)), asks_nothing():
        ask(x)


def test_what_does_not_ask_is_let_through() -> None:
    """Numbers, shapes, and work on the host itself."""
    x = torch.empty(3, device=META)
    with asks_nothing():
        assert len(x.new_full((2,), 3.0)) == len(torch.arange(2, device=META)) == 2
        assert (x * torch.tensor(2.0) + 1).shape == (3,)
        assert torch.as_tensor(x) is x
        assert torch.tensor([1.0, 2.0]).sum().item() == 3.0
        assert x.masked_fill(x > 0, 0.0).shape == (3,)
    assert torch.tensor([1.0], device=META).shape == (1,), "outside, torch is as it was"


def test_pairs_of_sites_are_for_cpus() -> None:
    """How many there are is in the draw."""
    op = Operation("conv3d", (3, 3, 3), (1, 1, 1), (1, 1, 1), 1, (256, 256))
    features = torch.empty(1, 1, 1, 1, 256)
    assert choose(op, features=features) is PAIRS
    assert choose(op, features=features.to(META)) is HALO
