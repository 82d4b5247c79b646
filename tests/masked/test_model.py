"""The pre-training model: what it takes, what it gives, which parameters learn."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from ssl3d import ExperimentSpec
from ssl3d.geometry import Triple
from ssl3d.kinds.masker import Masker
from ssl3d.sparse import SparseVolume
from ssl3d_plugins.maskers import Random
from ssl3d_plugins.resunet import ResUNet

TINY = {"name": "waveformer", "widths": (8, 16), "depths": (1, 1), "heads": (1, 2)}


ENCODER_INPUTS = ("visible", "zeroed")
LAYOUTS = (torch.channels_last_3d, torch.contiguous_format)


def make(**parts: Any) -> ExperimentSpec:
    options: dict[str, Any] = {"backbone": TINY, "data": {"volumes": "none", "patch": 16}, **parts}
    return ExperimentSpec(**options)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("encoder_input", ["visible", "zeroed"])
@pytest.mark.parametrize("losses", [["mse"], ["mse", "info_nce"], ["info_nce"]], ids="+".join)
def test_every_parameter_learns(encoder_input: str, losses: list[str]) -> None:
    """A parameter that never gets a gradient would stall distributed training."""
    model = make(encoder_input=encoder_input, losses=losses).build()
    model(torch.rand(2, 1, 16, 16, 16), generator=generator()).loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_zeroed_is_a_dense_pass_over_the_volume_with_zeros(norm: str) -> None:
    """The dense baseline: hidden voxels are zeros, norms see every site, and no token exists."""
    backbone = {"name": "resunet", "widths": (4, 6, 8), "blocks": (1, 2, 1), "norm": norm}
    model = make(backbone=backbone, encoder_input="zeroed").build().double()
    volume = torch.rand(2, 1, 16, 16, 16, dtype=torch.float64) + 1
    out = model(volume, generator=generator())
    shown = ~out.hidden[0][:, None]
    assert shown.any()
    assert not shown.all()
    expected = model.backbone(torch.where(shown, volume, 0.0))
    assert len(out.stages) == len(expected) == 3
    for stage, dense in zip(out.stages, expected, strict=True):
        assert isinstance(stage, torch.Tensor)
        torch.testing.assert_close(stage, dense)
    torch.testing.assert_close(out.prediction, model.decoder(expected).volume)
    assert [one.token for one in model.decoder.densify] == [None] * len(model.decoder.densify)


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_visible_is_another_pass_than_zeroed(norm: str) -> None:
    """What the test above would not notice if both were the same."""
    backbone = {"name": "resunet", "widths": (4, 6, 8), "blocks": (1, 2, 1), "norm": norm}
    model = make(backbone=backbone, cell=8, data={"volumes": "none", "patch": 32}).build()
    volume = torch.rand(2, 1, 32, 32, 32) + 1
    out = model(volume, generator=generator())
    zeroed = model.backbone(torch.where(out.hidden[0][:, None], 0.0, volume))
    for stage, dense in zip(out.stages, zeroed, strict=True):
        assert isinstance(stage, SparseVolume)
        shown = stage.with_features(torch.ones_like(stage.features)).to_dense() > 0
        assert not torch.allclose(stage.to_dense()[shown], dense[shown], atol=1e-2)
    assert all(one.token is not None for one in model.decoder.densify)


def test_weights_lie_as_features_do_where_cells_are_encoded() -> None:
    """Channels-last, with channels-last gradients: no convolution copies them. Values stay."""
    backbone = {"name": "resunet", "widths": (4, 6, 8), "blocks": (1, 2, 1)}
    models = {name: make(backbone=backbone, encoder_input=name).build() for name in ENCODER_INPUTS}
    for way, layout in zip(ENCODER_INPUTS, LAYOUTS, strict=True):
        models[way](torch.rand(2, 1, 16, 16, 16), generator=generator()).loss.backward()
        weights = [p for p in models[way].backbone.parameters() if p.ndim == 5]
        assert weights
        for weight in weights:
            assert weight.grad is not None
            assert weight.is_contiguous(memory_format=layout)
            assert weight.grad.is_contiguous(memory_format=layout)
    plain = models["zeroed"].backbone.state_dict()
    for name, value in models["visible"].backbone.state_dict().items():
        torch.testing.assert_close(value, plain[name], rtol=0, atol=0)


def test_a_backbone_may_have_parameters_of_any_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the weights of convolutions are arranged."""
    build = ResUNet.build

    def with_table(config: ResUNet, *, in_channels: int) -> torch.nn.Module:
        backbone = build(config, in_channels=in_channels)
        backbone.table = torch.nn.Parameter(torch.zeros(1, 2, 3, 4))
        return backbone

    monkeypatch.setattr(ResUNet, "build", with_table)
    backbone = {"name": "resunet", "widths": (4, 6, 8), "blocks": (1, 2, 1)}
    assert "table" in make(backbone=backbone).build().backbone.state_dict()


def test_the_output_says_what_was_hidden() -> None:
    model = make(masker={"name": "mim", "global_block": 1}).build()
    volume = torch.rand(2, 1, 16, 16, 16)
    out = model(volume, generator=generator())
    assert out.prediction.shape == volume.shape
    assert [level.shape for level in out.hidden] == [(2, 16, 16, 16)] * 2
    assert not (out.hidden[1] & ~out.hidden[0]).any()
    again = model(volume, hidden=out.hidden)
    assert torch.equal(again.prediction, out.prediction)
    assert torch.equal(again.cells.visible, out.cells.visible)


def test_the_loss_is_the_weighted_sum_of_its_terms() -> None:
    losses = [{"name": "mse", "weight": 2.0}, {"name": "l1", "weight": 0.5}]
    out = make(losses=losses).build()(torch.rand(1, 1, 16, 16, 16), generator=generator())
    expected = 2 * out.losses["mse"] + 0.5 * out.losses["l1"]
    torch.testing.assert_close(out.loss, expected)


def test_cells_without_a_valid_voxel_are_neither_encoded_nor_hidden() -> None:
    model = make().build()
    valid = torch.ones(1, 16, 16, 16, dtype=torch.bool)
    valid[:, :, :, 8:] = False
    out = model(torch.rand(1, 1, 16, 16, 16), valid=valid, generator=generator())
    assert not out.cells.visible[..., 2:].any()
    assert not out.hidden[0][..., 8:].any()
    garbage = torch.where(valid[:, None], out.volume, torch.nan)
    again = model(garbage, valid=valid, hidden=out.hidden)
    assert torch.equal(again.prediction, out.prediction)


@pytest.mark.parametrize("views", ["single", "nested"])
def test_volumes_of_another_size_than_the_patch_make_views_of_that_size(views: str) -> None:
    model = make(views=views, masker="mim").build()
    out = model(torch.rand(2, 1, 16, 24, 32), generator=generator())
    assert {view.batch.level.size for view in out.step.views} == {(16, 24, 32)}
    assert len(out.step.views) == len(model.views.levels)


def test_building_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    one, two, other = (make(seed=seed).build() for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    weights = [next(model.backbone.parameters()) for model in (one, two, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("volume", "options", "message"),
    [
        (torch.rand(1, 1, 16, 16, 15), {}, r"multiples of the cell 4 × 4 × 4: crop or pad"),
        (torch.rand(16, 16), {}, r"shape \(16, 16\); it must be \(B, C, D, H, W\)"),
        (torch.rand(0, 1, 16, 16, 16), {}, r"give at least one sample"),
        (torch.rand(1, 2, 16, 16, 16), {}, r"2 channels; this model takes 1"),
        (torch.rand(1, 1, 16, 16, 16), {"generator": None}, r"give a torch.Generator"),
        (
            torch.rand(1, 1, 16, 16, 16),
            {"valid": torch.ones(1, 16, 16, 16)},
            r"valid must be boolean of shape \(1, 16, 16, 16\)",
        ),
        (
            torch.rand(1, 1, 16, 16, 16),
            {"hidden": torch.ones(1, 2, 2, 2, dtype=torch.bool)},
            r"must be \(1, 4, 4, 4\)",
        ),
        (
            torch.rand(1, 1, 16, 16, 16),
            {"hidden": torch.rand(1, 16, 16, 16) > 0.5},
            r"a cell is hidden in part",
        ),
    ],
)
def test_wrong_input_is_refused(
    volume: torch.Tensor, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make().build()(volume, **{"generator": generator(), **options})


@pytest.mark.parametrize("everything", [True, False])
def test_a_masker_that_hides_all_or_nothing_of_a_sample_is_named(everything: bool) -> None:
    """A crop that has a single cell to hide may hide it or not."""

    class Broken(Masker):
        def __call__(
            self, grid: Triple, *, sample: Generator, batch: Generator, hideable: Tensor
        ) -> tuple[Tensor, ...]:
            del sample, batch
            odd = hideable.sum() < 64
            hidden = torch.full(grid, everything and not odd)
            return (hidden.logical_or_(torch.arange(4) == 0) if odd else hidden,)

    model = make().build()
    model.masker = Broken(Random())
    what = "everything: 64 of the 64" if everything else "nothing: 0 of the 64"
    with pytest.raises(ValueError, match=f"masker 'random' hides {what} cells .* in a crop"):
        model(torch.rand(2, 1, 16, 16, 16), generator=generator())
    valid = torch.zeros(1, 16, 16, 16, dtype=torch.bool)
    valid[:, :4, :4, :4] = True
    out = model(torch.rand(1, 1, 16, 16, 16), valid=valid, generator=generator())
    assert out.loss.isfinite()
