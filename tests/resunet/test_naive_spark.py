"""The product gives the loss and the gradients of a SparK that is written the obvious way."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from naive_spark import NaiveEncoder, naive_decoder, naive_loss, unfolded, visible_sites
from random_problems import Problem, random_problem
from torch import Tensor, nn

from ssl3d import ExperimentSpec
from ssl3d.masked.model import PretrainModel
from ssl3d.plugin.registry import installed
from ssl3d.sparse import CellGrid, SparseBackend, SparseVolume
from ssl3d.testing.backbone_under_test import randomise
from ssl3d_plugins.resunet import ResUNet

THICK_SLICES = ResUNet(
    widths=(4, 6, 6),
    blocks=(2, 1, 1),
    kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
    strides=(1, (1, 2, 2), 2),
)
NETWORKS = [
    pytest.param(0, ResUNet(widths=(4, 6, 8), blocks=(1, 2, 1)), id="plain"),
    pytest.param(1, THICK_SLICES, id="thick-slices"),
    *(pytest.param(seed, None, id=f"random{seed}") for seed in range(4)),
]
DENSIFY: dict[str, dict[str, Any]] = {
    "layer": {},
    "batch": {"norm": "batch"},
    "instance": {"norm": "instance"},
    "no-token": {"token": False},
    "off": {"densify": False},
    "off-no-token": {"densify": False, "token": False},
}
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
        assert options.supports(op), list(options.problems(op))
    try:
        return options.build()
    except ImportError as error:
        if (error.name or "").startswith("ssl3d"):
            raise
        pytest.skip(f"the library of sparse backend {name!r} is not installed: {error}")


def model_of(problem: Problem, **parts: Any) -> PretrainModel:
    """The model of a spec, in float64, with weights that no initialisation gives."""
    with warnings.catch_warnings():
        # The spec knows the masker's worst draw; the tests hide cells themselves.
        warnings.filterwarnings("ignore", "data.patch.*instance")
        spec = ExperimentSpec(
            backbone=problem.config,
            cell=problem.cell,
            data={"channels": {"a": "a*", "b": "b*"}, "patch": tuple(problem.volume.shape[2:])},
            masker={"name": "random", "ratio": 0.3},
            **parts,
        )
    model = spec.build().double()
    randomise(model)
    return model


def leaves(module: nn.Module) -> dict[str, Tensor]:
    """Copies of the parameters that take gradients of their own."""
    return {n: p.detach().clone().requires_grad_() for n, p in module.named_parameters()}


def naive_step(
    problem: Problem, weights: dict[str, Tensor], *, shown: Tensor, kind: str | None
) -> tuple[Tensor, Tensor]:
    """Prediction and loss after the naive pass over `shown` cells; gradients are in `weights`."""
    encoder = {n.removeprefix("backbone."): p for n, p in weights.items()}
    volume, visible = problem.volume, problem.visible
    zeroed = volume * visible_sites(visible, volume.shape[2:])[:, None]
    maps = NaiveEncoder(encoder, problem.config.stage_options, norm=problem.config.norm)(
        zeroed, shown
    )
    patches = naive_decoder(maps, shown, weights, kind=kind)
    prediction = unfolded(patches, tuple(volume.shape[2:]), channels=2)
    loss = naive_loss(prediction, volume, visible, problem.cell)
    loss.backward()
    return prediction, loss


def assert_same_step(
    model: PretrainModel, problem: Problem, *, shown: Tensor, kind: str | None, dtype: torch.dtype
) -> None:
    weights = leaves(model)
    prediction, loss = naive_step(problem, weights, shown=shown, kind=kind)
    output = model.to(dtype)(problem.volume.to(dtype), hidden=~problem.visible)
    output.loss.backward()
    assert_equal(output.prediction, prediction, "prediction")
    assert_equal(output.loss, loss, "loss")
    for n, parameter in model.named_parameters():
        assert parameter.grad is not None, n
        assert_equal(parameter.grad, weights[n].grad, f"gradient of {n}")


def assert_equal(got: Tensor, expected: Tensor, what: str) -> None:
    got, expected = got.detach(), expected.detach()
    tolerance = TOLERANCE[got.dtype] * max(1.0, float(expected.abs().max()))
    difference = float((got.double() - expected.double()).abs().max())
    assert difference <= tolerance, f"{what} differs by {difference}"


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize(("seed", "network"), NETWORKS)
def test_encoder(seed: int, network: ResUNet | None, name: str) -> None:
    problem = random_problem(seed, config=network)
    config, visible = problem.config, problem.visible
    backend, dtype = sparse_backend(name, config), BACKENDS[name]
    backbone = config.build(in_channels=2).double()
    randomise(backbone)
    weights = leaves(backbone)
    naive_volume = problem.volume.clone().requires_grad_()
    naive = NaiveEncoder(weights, config.stage_options, norm=config.norm)(naive_volume, visible)

    backbone.to(dtype)
    own_volume = problem.volume.to(dtype, copy=True).requires_grad_()
    cells = CellGrid(visible, cell=problem.cell)
    maps = backbone(SparseVolume.from_dense(own_volume, cells=cells, backend=backend))

    # Small: the gradient of a bias before a norm is a sum of all of them that must come to 0.
    generator = torch.Generator().manual_seed(seed)
    shares = [0.1 * torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in naive]
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
@pytest.mark.parametrize("option", DENSIFY)
@pytest.mark.parametrize("seed", [10, 11, 12])
def test_loss_and_gradients(seed: int, option: str, name: str) -> None:
    """A whole step of a spec's model, for every way to densify and heads at several scales."""
    problem = random_problem(seed)
    sparse_backend(name, problem.config)
    decoder = {"width": 16, "head_stride": (1, 2, 4)[seed % 3], **DENSIFY[option]}
    model = model_of(problem, sparse_backend=name, decoder=decoder)
    kind = decoder.get("norm", "layer") if decoder.get("densify", True) else None
    for i, densify in enumerate(model.decoder.densify):
        assert (densify.token is not None) == decoder.get("token", True)
        if isinstance(densify.projection, nn.Conv3d):
            assert densify.projection.kernel_size == ((1,) if kind is None or i == 0 else (3,)) * 3
    assert_same_step(model, problem, shown=problem.visible, kind=kind, dtype=BACKENDS[name])


@pytest.mark.parametrize("option", ["layer", "off"])
@pytest.mark.parametrize("seed", [10, 11, 12])
def test_loss_and_gradients_of_the_zeroed_baseline(seed: int, option: str) -> None:
    """The same pass with every site shown and no tokens."""
    problem = random_problem(seed)
    decoder = {"width": 16, "head_stride": (1, 2, 4)[seed % 3], **DENSIFY[option]}
    model = model_of(problem, encoder_input="zeroed", decoder=decoder)
    shown = torch.ones_like(problem.visible)
    kind = None if option == "off" else "layer"
    assert_same_step(model, problem, shown=shown, kind=kind, dtype=torch.float64)
