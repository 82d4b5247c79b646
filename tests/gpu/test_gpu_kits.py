"""Backbones, decoders, losses and sparse backends on a GPU, by the kits that they pass on a CPU.

A test is one check of one kit with all cases of it: there are thousands.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator
from typing import Any
from unittest import SkipTest

import pytest
import torch
from gpu_device import DEVICE, MARKS, ON_GPU, needs

from ssl3d.geometry import Operation
from ssl3d.testing import backbone_checks, decoder_checks, loss_checks, sparse_backend_checks
from ssl3d.testing.backbone_under_test import BackboneUnderTest
from ssl3d.testing.check import Check
from ssl3d.testing.decoder_checks import DecoderUnderTest
from ssl3d.testing.kit import Kit
from ssl3d.testing.loss_checks import LossUnderTest
from ssl3d.testing.sparse_under_test import SparseBackendUnderTest
from ssl3d_plugins.sparse_cells import Cells, pair_tables
from ssl3d_plugins.sparse_cells import backend as cells_backend
from ssl3d_plugins.sparse_cells.across import FUSED, HALO, PAIRS, Way
from ssl3d_plugins.sparse_cells.choice import edge_of
from ssl3d_plugins.sparse_cells.fused import conv as fused_conv
from ssl3d_plugins.sparse_dense import Dense
from ssl3d_plugins.sparse_minkowski import Minkowski
from ssl3d_plugins.sparse_spconv import Spconv

pytestmark = MARKS

MODULES = (
    "test_waveformer_conformance",
    "test_resunet_conformance",
    "test_primus_conformance",
    "test_monai_conformance",
    "test_loss_conformance",
    "test_decoder_conformance",
    "test_wavelet_decoder_conformance",
)
CHECKS: dict[Any, tuple[Check[Any, Any], ...]] = {
    BackboneUnderTest: backbone_checks.CHECKS,
    DecoderUnderTest: decoder_checks.CHECKS,
    LossUnderTest: loss_checks.CHECKS,
}
BACKENDS = {
    "chosen": SparseBackendUnderTest(Cells(), torch.float32, 1e-4, DEVICE),
    "halo": SparseBackendUnderTest(Cells(), device=DEVICE),
    "pairs": SparseBackendUnderTest(Cells(), device=DEVICE),
    "fused": SparseBackendUnderTest(Cells(), torch.float32, 1e-4, DEVICE),
    "dense": SparseBackendUnderTest(Dense(), device=DEVICE),
    "spconv": SparseBackendUnderTest(Spconv(), torch.float32, 1e-4, DEVICE),
    "minkowski": SparseBackendUnderTest(Minkowski(), torch.float32, 1e-4, DEVICE),
}
LIBRARIES = {"fused": "triton", "spconv": "spconv", "minkowski": "MinkowskiEngine"}


def kits(module: str) -> Iterator[tuple[str, type[Kit]]]:
    """The kits that a module of tests tries on a CPU."""
    for name, kit in vars(importlib.import_module(module)).items():
        if name.startswith("Test") and isinstance(kit, type) and issubclass(kit, Kit):
            yield name.removeprefix("Test"), kit


def components() -> Iterator[Any]:
    """(kit, check) of every component but sparse backends."""
    for module in MODULES:
        kind = module.removeprefix("test_").removesuffix("_conformance")
        for name, kit in kits(module):
            for check in CHECKS[kit.under_test]:
                yield pytest.param(kit, check, id=f"{kind}-{name}-{check.name}")


def backends() -> Iterator[Any]:
    """(name, check) of every sparse backend and way of `cells`."""
    for name in BACKENDS:
        marks = [needs(LIBRARIES[name])] if name in LIBRARIES else []
        for check in sparse_backend_checks.CHECKS:
            yield pytest.param(name, check, id=f"{name}-{check.name}", marks=marks)


def try_all(check: Check[Any, Any], subject: Any) -> None:
    """Every case of a check; what fails is said together."""
    tried, failed = 0, list[str]()
    for name, arguments in check.cases():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            try:
                check(subject, **arguments)
                tried += 1
            except SkipTest:
                continue
            except Exception as error:  # whatever a device may raise
                failed.append(f"{name or check.name}: {type(error).__name__}: {error}")
    assert not failed, f"{len(failed)} of {len(failed) + tried} cases fail\n" + "\n".join(failed)
    if not tried:
        pytest.skip("it has none of these operations")


@pytest.mark.parametrize(("kit", "check"), list(components()))
def test_components(kit: type[Kit], check: Check[Any, Any]) -> None:
    try_all(check, dataclasses.replace(kit().subject(), device=DEVICE))


@pytest.mark.parametrize(("name", "check"), list(backends()))
def test_sparse_backends(
    name: str, check: Check[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in ("halo", "pairs"):
        way = HALO if name == "halo" else PAIRS
        monkeypatch.setattr(cells_backend, "choose", lambda _op, **_: way)
        monkeypatch.setattr(pair_tables, "MOST_PAIRS", 1 << 30)
    if name == "fused":
        if not ON_GPU:
            pytest.skip("a CPU runs the fused kernels by Triton's interpreter: tests/sparse_cells")
        monkeypatch.setattr(cells_backend, "choose", fused_where_it_fits)
    try_all(check, BACKENDS[name])


def fused_where_it_fits(op: Operation, *, features: torch.Tensor, **_: object) -> Way:
    """The fused kernels, else halo boxes: a machine's table may prefer others."""
    fits = fused_conv.fits(op, edge=edge_of(features), dtype=features.dtype)
    return FUSED if fits else HALO


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_kits(module: str) -> None:
    assert list(kits(module))
