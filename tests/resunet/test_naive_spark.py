"""The product gives the loss and the gradients of a SparK that is written the obvious way."""

from __future__ import annotations

import pytest
import torch
from naive_spark import NaiveEncoder, naive_decoder, naive_loss, visible_sites
from torch import Tensor

from ssl3d.interfaces import Masker, SparseBackend
from ssl3d.pretrain import PretrainModel, SparkDecoder
from ssl3d.registry import installed
from ssl3d.testing.backbone import randomise
from ssl3d.volume import CellGrid, HiddenLevels, SparseVolume
from ssl3d_plugins.losses import MSE
from ssl3d_plugins.resunet import ResUNet

CONFIGS = [
    pytest.param(ResUNet(widths=(4, 6, 8), blocks=(1, 2, 1)), id="instance"),
    pytest.param(ResUNet(widths=(4, 6, 8), blocks=(1, 2, 1), norm="batch"), id="batch"),
    pytest.param(
        ResUNet(
            widths=(4, 6, 6),
            blocks=(2, 1, 1),
            kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
            strides=(1, (1, 2, 2), 2),
        ),
        id="thick-slices",
    ),
]
BACKENDS = {
    "cells": torch.float64,
    "dense": torch.float64,
    "minkowski": torch.float64,
    "spconv": torch.float32,
}
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


def sparse_backend(name: str, config: ResUNet) -> SparseBackend:
    if name not in installed().names("sparse_backend"):
        pytest.skip(f"the plugin of sparse backend {name!r} is not installed")
    options = installed().config("sparse_backend", name=name)()
    for op in config.operations():
        assert options.supports(op), options.unsupported(op)
    try:
        return options.build()
    except ImportError as error:
        if (error.name or "").startswith("ssl3d"):
            raise
        pytest.skip(f"the library of sparse backend {name!r} is not installed: {error}")


class NoMasker(Masker):
    """The tests hide cells themselves."""

    def __call__(self, *_: object, **__: object) -> HiddenLevels:
        raise AssertionError("the masker was asked")


def visible_cells() -> Tensor:
    """Unequal counts per sample, some cells neighbours."""
    visible = torch.zeros(2, 2, 3, 2, dtype=torch.bool)
    visible[0].view(-1)[[0, 1, 4, 7, 8, 11]] = True
    visible[1].view(-1)[[2, 3, 10]] = True
    return visible


def problem(config: ResUNet, *, seed: int) -> tuple[Tensor, Tensor]:
    visible = visible_cells()
    size = [g * s for g, s in zip(visible.shape[1:], config.total_stride, strict=True)]
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 2, *size, generator=generator, dtype=torch.float64), visible


def assert_equal(got: Tensor, expected: Tensor, what: str) -> None:
    got, expected = got.detach(), expected.detach()
    tolerance = TOLERANCE[got.dtype] * max(1.0, float(expected.abs().max()))
    difference = float((got.double() - expected.double()).abs().max())
    assert difference <= tolerance, f"{what} differs by {difference}"


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("seed", [0, 1])
def test_encoder(config: ResUNet, name: str, seed: int) -> None:
    backend, dtype = sparse_backend(name, config), BACKENDS[name]
    volume, visible = problem(config, seed=seed)
    backbone = config.build(in_channels=2).double()
    randomise(backbone)
    weights = {n: p.detach().clone().requires_grad_() for n, p in backbone.named_parameters()}
    naive_volume = volume.clone().requires_grad_()
    naive = NaiveEncoder(weights, config.plan(), norm=config.norm)(naive_volume, visible)

    backbone.to(dtype)
    own_volume = volume.to(dtype).requires_grad_()
    cells = CellGrid(visible, cell=config.total_stride)
    maps = backbone(SparseVolume.from_dense(own_volume, cells=cells, backend=backend))

    shares = [torch.randn(x.shape, dtype=torch.float64) for x in naive]
    sum((x * s).sum() for x, s in zip(naive, shares, strict=True)).backward()
    sum((x.to_dense() * s.to(dtype)).sum() for x, s in zip(maps, shares, strict=True)).backward()
    for i, (ours, theirs) in enumerate(zip(maps, naive, strict=True)):
        dense = ours.to_dense()
        assert_equal(dense, theirs, f"stage {i}")
        hidden = ~visible_sites(visible, dense.shape[2:])
        assert not dense.detach().permute(0, 2, 3, 4, 1)[hidden].any()
    for n, parameter in backbone.named_parameters():
        assert_equal(parameter.grad, weights[n].grad, f"gradient of {n}")
    assert_equal(own_volume.grad, naive_volume.grad, "gradient of the volume")


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("config", CONFIGS)
def test_loss_and_gradients(config: ResUNet, name: str) -> None:
    backend, dtype = sparse_backend(name, config), BACKENDS[name]
    volume, visible = problem(config, seed=2)
    model = PretrainModel(
        config.build(in_channels=2),
        backend=backend,
        masker=NoMasker(),
        losses={"mse": MSE().build(stages=config.stages())},
        weights={"mse": 1.0},
        decoder=SparkDecoder(config.stages(), out_channels=2, width=16, head_stride=1),
        in_channels=2,
        cell=config.total_stride,
    ).double()
    randomise(model)
    weights = {n: p.detach().clone().requires_grad_() for n, p in model.named_parameters()}
    encoder = {n.removeprefix("backbone."): p for n, p in weights.items()}
    maps = NaiveEncoder(encoder, config.plan(), norm=config.norm)(volume, visible)
    prediction = naive_decoder(maps, visible, weights)
    expected = naive_loss(prediction, volume, visible, config.total_stride)
    expected.backward()

    output = model.to(dtype)(volume.to(dtype), hidden=~visible)
    output.loss.backward()
    assert_equal(output.prediction, prediction, "prediction")
    assert_equal(output.loss, expected, "loss")
    for n, parameter in model.named_parameters():
        assert parameter.grad is not None, n
        assert_equal(parameter.grad, weights[n].grad, f"gradient of {n}")
