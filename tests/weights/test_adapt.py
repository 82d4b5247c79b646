"""Encoders for other channels or another grid: what is asked for, said, and nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ssl3d.weights import fill_from
from ssl3d.weights.adapt import resized_positions
from ssl3d_plugins.monai_encoders.config import Monai
from ssl3d_plugins.resunet import ResUNet
from ssl3d_plugins.waveformer import WaveFormer

BACKBONES = {
    "waveformer": WaveFormer(widths=(16, 16), depths=(1, 1)),
    "resunet": ResUNet(widths=(4, 8), blocks=(1, 1)),
    "monai": Monai(network={"name": "segresnet", "init_filters": 8, "blocks_down": (1, 1)}),
}


@pytest.mark.parametrize("now", [2, 4, 5])
@pytest.mark.parametrize("was", [1, 3])
@pytest.mark.parametrize("how", ["repeat", "average"])
@pytest.mark.parametrize("name", BACKBONES)
def test_equal_channels_give_the_same_features(name: str, how: str, was: int, now: int) -> None:
    config = BACKBONES[name]
    source, module = (config.build(in_channels=n).eval() for n in (was, now))
    found = fill_from(source, module, channels=(was, now), inputs=how)
    size = tuple(2 * d for d in source.divisor)
    volume = torch.randn(1, 1, *size)
    features = [m(volume.expand(-1, n, *size)) for m, n in ((source, was), (module, now))]
    for one, other in zip(*features, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    ((tensor, what, shown),) = found.table()
    assert (what, shown) == ("adapted", f"{was} input channels to {now}: {how}")
    assert tensor in str(found)


def test_repeated_channels_are_those_of_the_source_in_turn() -> None:
    source, module = nn.Conv3d(2, 1, 1, bias=False), nn.Conv3d(3, 1, 1, bias=False)
    source.weight.data = torch.tensor([4.0, 10.0]).view(1, 2, 1, 1, 1)
    fill_from(source, module, channels=(2, 3), inputs="repeat")
    assert module.weight.flatten().tolist() == [2, 10, 2]
    one = nn.Conv3d(1, 1, 1, bias=False)
    fill_from(source, one, channels=(2, 1), inputs="repeat")
    assert one.weight.item() == 14


def test_new_channels_keep_their_initial_values() -> None:
    config = BACKBONES["resunet"]
    source, module = (config.build(in_channels=n) for n in (1, 2))
    name = next(n for n, p in module.named_parameters() if p.shape[1:2] == (2,))
    before = module.get_parameter(name).clone()
    found = fill_from(source, module, channels=(1, 2), inputs="new")
    assert torch.equal(module.get_parameter(name), before)
    assert all(what == "missing" and how.endswith("new") for _, what, how in found.table())
    own = module.state_dict()
    loaded = [n for n, v in source.state_dict().items() if torch.equal(v, own[n])]
    assert len(loaded) >= len(own) - 2


def test_nothing_is_adapted_unasked() -> None:
    config = BACKBONES["waveformer"]
    source, module = (config.build(in_channels=n) for n in (1, 4))
    before = {n: v.clone() for n, v in module.state_dict().items()}
    with pytest.raises(ValueError, match=r"1 channels, now 4.*repeat, average or new"):
        fill_from(source, module, channels=(1, 4))
    with pytest.raises(ValueError, match="nothing was copied"):
        fill_from(source, module)
    other = WaveFormer(widths=(16, 32), depths=(1, 1)).build(in_channels=1)
    with pytest.raises(ValueError, match="nothing was copied"):
        fill_from(other, module, channels=(1, 4), inputs="repeat")
    assert all(torch.equal(v, before[n]) for n, v in module.state_dict().items())


class Table(nn.Module):
    def __init__(self, sites: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(1, sites, 5))


def test_positions_are_interpolated_where_asked() -> None:
    grids = ((2, 4, 4), (4, 4, 8))
    source, module = Table(32), Table(128)
    # A table that is linear in the place along z stays so between the first and last sites.
    z = torch.arange(2).view(2, 1, 1).expand(2, 4, 4).reshape(1, 32, 1)
    source.table.data = z.float().expand(1, 32, 5).clone()
    found = fill_from(source, module, grids=grids, positions="resize")
    slices = module.table.view(4, 4, 8, 5)[:, 0, 0, 0].tolist()
    assert slices == pytest.approx([0, 0.25, 0.75, 1])
    assert found.table()[0][1] == "adapted"
    with pytest.raises(ValueError, match="resize or new"):
        fill_from(source, module, grids=grids)
    kept = module.table.clone()
    fill_from_new = pytest.raises(ValueError, match="nothing was copied")
    with fill_from_new:  # a table alone is nothing to load
        fill_from(source, module, grids=grids, positions="new")
    assert torch.equal(module.table, kept)
    same = torch.randn(1, 32, 5)
    torch.testing.assert_close(resized_positions(same, grids=(grids[0], grids[0])), same)


def test_an_encoder_that_fits_is_copied_and_says_so() -> None:
    config = BACKBONES["resunet"]
    source, module = (config.build(in_channels=1) for _ in range(2))
    found = fill_from(source, module, channels=(1, 1), left=("decoder.x",))
    assert found.table() == [("decoder.x", "left over", "not used")]
    own = module.state_dict()
    assert all(torch.equal(v, own[n]) for n, v in source.state_dict().items())
