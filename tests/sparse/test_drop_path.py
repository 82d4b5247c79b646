"""Stochastic depth: a sample goes without a branch as a whole, and only in training."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ssl3d import ExperimentSpec
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.plugin.spec_error import SpecError
from ssl3d.sparse import CellGrid, SparseVolume
from ssl3d.sparse.layers import DropPath, rising
from ssl3d.testing.backbone_under_test import sparse_backend
from ssl3d_plugins.resunet import ResUNet
from ssl3d_plugins.waveformer import WaveFormer

WAVEFORMER: dict[str, Any] = {"widths": (6, 12), "depths": (2, 1), "heads": (1, 2)}
BACKBONES: list[tuple[type[BackboneConfig], dict[str, Any]]] = [
    (WaveFormer, WAVEFORMER),
    (WaveFormer, {**WAVEFORMER, "preset": "paper"}),
    (ResUNet, {"widths": (4, 6), "blocks": (1, 2)}),
]


def cells(share: float = 0.6, *, batch: int = 16) -> CellGrid:
    random = torch.Generator().manual_seed(0)
    return CellGrid(torch.rand(batch, 2, 2, 1, generator=random) < share, cell=(2, 2, 2))


def shown(dense: Tensor, grid: CellGrid) -> SparseVolume:
    return SparseVolume.from_dense(dense, cells=grid, backend=sparse_backend("cells"))


def test_a_sample_loses_its_branch_or_has_it_scaled() -> None:
    layer, x = DropPath(0.25), torch.ones(4000, 1, 1, 1, 2)
    torch.manual_seed(0)
    values = layer(x)[:, 0, 0, 0]
    assert values.unique().tolist() == pytest.approx([0, 4 / 3])
    assert torch.equal(values[:, 0], values[:, 1])
    assert abs(values.mean() - 1) < 0.03
    assert layer.eval()(x) is x
    assert DropPath(0.0)(x) is x


def test_cells_of_one_sample_share_its_draw() -> None:
    grid, layer = cells(), DropPath(0.5)
    dense = torch.ones(16, 1, 4, 4, 2)
    torch.manual_seed(1)
    want = layer(dense)
    torch.manual_seed(1)
    got = layer(shown(dense, grid))
    assert torch.equal(got.features, shown(want, grid).features)
    assert 0 < (got.features == 0).float().mean() < 1


def test_rates_rise_linearly() -> None:
    assert rising(0.2, blocks=5) == pytest.approx((0.0, 0.05, 0.1, 0.15, 0.2))
    assert rising(0.2, blocks=1) == (0.0,)
    model = WaveFormer(drop_path=0.3, **WAVEFORMER).build(in_channels=1)
    rates = [m.rate for m in model.modules() if isinstance(m, DropPath)]
    assert rates == pytest.approx([0.0, 0.15, 0.3])


@pytest.mark.parametrize(("kind", "options"), BACKBONES, ids=str)
def test_the_network_is_the_same_without(
    kind: type[BackboneConfig], options: dict[str, Any]
) -> None:
    """In evaluation, and by the names and draws of its parameters; in training it is another."""
    torch.manual_seed(0)
    plain = kind(**options).build(in_channels=1)
    torch.manual_seed(0)
    deep = kind(**options, drop_path=0.5).build(in_channels=1)
    assert plain.state_dict().keys() == deep.state_dict().keys()
    x = torch.randn(8, 1, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    if kind is ResUNet:  # its branches start as nothing
        for name, p in deep.named_parameters():
            if "conv2.norm" in name:
                torch.nn.init.ones_(p)
        plain.load_state_dict(deep.state_dict())
    same, trained = deep.eval()(x), plain(x)
    assert all(torch.equal(a, b) for a, b in zip(same, trained, strict=True))
    torch.manual_seed(2)
    dropped = deep.train()(x)
    torch.manual_seed(2)
    assert all(torch.equal(a, b) for a, b in zip(dropped, deep(x), strict=True))
    assert not torch.equal(dropped[-1], trained[-1])


@pytest.mark.parametrize(("kind", "options"), BACKBONES, ids=str)
def test_cells_and_dense_volumes_go_without_the_same(
    kind: type[BackboneConfig], options: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    model = kind(**options, drop_path=0.5).build(in_channels=1).double()
    x = torch.randn(8, 1, 8, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    everything = CellGrid(torch.ones(8, 2, 2, 2, dtype=torch.bool), cell=(4, 4, 4))
    results = []
    for volume in (x, shown(x, everything)):
        torch.manual_seed(3)
        results.append(model(volume))
    for dense, boxes in zip(*results, strict=True):
        torch.testing.assert_close(boxes.to_dense(), dense, atol=1e-9, rtol=0)


def test_monai_has_none_and_says_so() -> None:
    with pytest.raises(SpecError, match=r"backbone\.drop_path: unknown option"):
        ExperimentSpec(
            backbone={"name": "monai", "drop_path": 0.1}, data={"volumes": "a", "patch": 64}
        )
