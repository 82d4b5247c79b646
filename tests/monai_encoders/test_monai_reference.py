"""Ours against MONAI's own networks: on tensors as they are, on visible cells masked by hand."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from monai.networks.nets import ResNetFeatures
from monai.networks.nets import SegResNet as MonaiSegResNet
from naive_visible import Visible, mask_layers
from torch import Tensor, nn

from ssl3d.plugin.registry import installed
from ssl3d.sparse import CellGrid, SparseVolume
from ssl3d.testing.backbone_under_test import randomise
from ssl3d.weights import transfer
from ssl3d_plugins.monai_encoders import Monai, ResNet, SegResNet

NORMS = {
    "group": ("group", {"num_groups": 4}),
    "batch": "batch",
    "instance": ("instance", {"affine": True}),
}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("training", [True, False])
def test_segresnet_is_monais_bit_for_bit(norm: str, training: bool) -> None:
    options = SegResNet(init_filters=4, num_groups=4, blocks_down=(1, 1, 2), norm=norm)
    ours = Monai(network=options).build(in_channels=2)
    theirs = MonaiSegResNet(
        init_filters=4, in_channels=2, blocks_down=(1, 1, 2), blocks_up=(1, 1), norm=NORMS[norm]
    )
    randomise(theirs)
    report = ours.load_weights(theirs.state_dict())
    assert set(report.loaded) == set(ours.network.state_dict())
    volume = torch.randn(2, 2, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = theirs.train(training).encode(volume)[1]
    for a, b in zip(ours.train(training)(volume), expected, strict=True):
        assert torch.equal(a, b)
    for name, value in ours.network.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name


@pytest.mark.parametrize("depth", [10, 50])
def test_resnet_is_monais_bit_for_bit(depth: int) -> None:
    options = ResNet(depth=depth, conv1_t_stride=2, bias_downsample=False)
    ours = Monai(network=options).build(in_channels=1).eval()
    theirs = ResNetFeatures(f"resnet{depth}", pretrained=False).eval()
    report = ours.load_weights(theirs.state_dict())
    assert set(report.loaded) == set(ours.network.state_dict())
    volume = torch.randn(1, 1, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for a, b in zip(ours(volume), theirs(volume), strict=True):
            assert torch.equal(a, b)


def test_weights_go_back_into_segresnet() -> None:
    ours = Monai(network=SegResNet(blocks_down=(1, 1))).build(in_channels=1)
    theirs = MonaiSegResNet(blocks_down=(1, 1), blocks_up=(1,))
    report = transfer(ours.network.state_dict(), theirs, allow_missing=["up_*", "conv_final.*"])
    assert set(report.loaded) == set(ours.network.state_dict())


@pytest.mark.parametrize("backend", ["cells", "dense"])
@pytest.mark.parametrize(
    "network",
    [
        SegResNet(init_filters=4, num_groups=2, blocks_down=(1, 2, 1)),
        SegResNet(init_filters=4, blocks_down=(1, 1, 1), norm="instance", act="leakyrelu"),
        SegResNet(init_filters=4, blocks_down=(1, 1, 1), norm="batch", act="elu"),
        ResNet(depth=10, block_inplanes=(4, 4, 6, 6), conv1_t_size=(3, 7, 5)),
        ResNet(depth=50, block_inplanes=(2, 2, 2, 2), conv1_t_size=3, no_max_pool=True),
    ],
    ids=["group", "instance", "batch", "resnet10", "resnet50"],
)
def test_visible_cells_by_hand(network: SegResNet | ResNet, backend: str) -> None:
    config = Monai(network=network)
    ours = config.build(in_channels=1).double()
    randomise(ours)
    visible = torch.zeros(2, 2, 2, 2, dtype=torch.bool)
    visible[0].view(-1)[[0, 1, 6, 7]] = True
    visible[1].view(-1)[[2, 3]] = True

    theirs = network.network(in_channels=1).double()
    theirs.load_state_dict(ours.network.state_dict())
    size = [2 * s for s in config.total_stride]
    volume = torch.randn(
        2, 1, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    masked = copy.deepcopy(theirs)
    seen = Visible(visible)
    mask_layers(masked, seen)
    expected = masked(seen.keep(volume))

    cells = CellGrid(visible, cell=config.total_stride)
    own = installed().config("sparse_backend", name=backend)().build()
    got = ours(SparseVolume.from_dense(volume, cells=cells, backend=own))
    torch.stack([x.square().mean() for x in expected]).sum().backward()
    torch.stack([x.to_dense().square().mean() for x in got]).sum().backward()
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a.to_dense(), seen.keep(b), rtol=1e-9, atol=1e-9)
    assert_same_gradients(ours.network, masked)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_compute_the_same(duplicate: Callable[[nn.Module], nn.Module]) -> None:
    ours = Monai(network=SegResNet(blocks_down=(1, 1))).build(in_channels=1)
    other = duplicate(ours)
    cells = CellGrid(torch.ones(1, 2, 2, 2, dtype=torch.bool), cell=(4, 4, 4))
    volume = torch.randn(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    backend = installed().config("sparse_backend", name="cells")().build()
    x = SparseVolume.from_dense(volume, cells=cells, backend=backend)
    for a, b in zip(ours(x), other(x), strict=True):
        assert torch.equal(a.features, b.features)


def assert_same_gradients(ours: nn.Module, masked: nn.Module) -> None:
    gradients: dict[str, Tensor] = {
        name.replace(".layer.", "."): p.grad
        for name, p in masked.named_parameters()
        if p.grad is not None
    }
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-9, atol=1e-9)
