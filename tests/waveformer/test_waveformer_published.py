"""`published=True` against the authors' public code, by numbers that it gave.

Source of the numbers: github.com/mahfuzalhasan/WaveFormer at
3707923f063f5bbc71004ff8ef5122f2c53cbffb, in double precision, on `public_network.input_volume` and
with `public_network.weights`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from public_network import input_volume, weights
from pydantic import ValidationError
from torch import Tensor

from ssl3d.geometry import Triple, times
from ssl3d.kinds.backbone import Backbone
from ssl3d.sparse import CellGrid, SparseVolume
from ssl3d.tasks.encoder import warm_start
from ssl3d.testing.backbone import BackboneConformance
from ssl3d.testing.backbone_under_test import sparse_backend
from ssl3d_plugins.waveformer import WaveFormer, WaveFormerUNet
from ssl3d_plugins.waveformer.published import decoder_from_published
from ssl3d_plugins.waveformer.published_mixer import displaced

WIDTHS, HEADS = (4, 8, 16, 32), (1, 2, 2, 4)
CONFIG = WaveFormer(preset="paper", published=True, image=32, widths=WIDTHS, heads=HEADS)
STAGES = (
    (0.257913374, 1.364561746, 0.01281144),
    (0.421576195, 0.083705775, -0.01459691),
    (1.624092808, -0.329541057, -0.848366782),
    (-0.555230993, 1.373714288, 1.418209325),
)
PLAIN = (-1.16485945, -0.822228928, -1.098417177, -0.961658824, -0.988726625, 0.572100149)
REFINED = (-1.033816768, -0.915407886, -1.112422614, -0.823676012, -0.911843187, 0.539081302)


class TestPublished(BackboneConformance):
    config = WaveFormer(
        preset="paper",
        published=True,
        image=32,
        widths=(4, 4, 6),
        depths=(1, 1, 1),
        heads=(1, 2, 1),
        mlp_ratio=2,
    )
    multiples = (1,)
    depends_on_grid_size = True  # what windows give is put back by the size of the grid


class TestOutputNorm(BackboneConformance):
    config = WaveFormer(
        widths=(6, 12), depths=(1, 1), heads=(1, 2), patch=(1, 2, 2), output_norm=True
    )
    multiples = (1,)


def public(*, refine: bool = False) -> dict[str, Tensor]:
    return weights(widths=WIDTHS, heads=HEADS, window=2, channels=(2, 3), refine=refine)


def sampled(x: Tensor, count: int) -> Tensor:
    return x.flatten()[:: x.numel() // count][:count]


@pytest.mark.parametrize("refine", [False, True])
def test_it_gives_the_numbers_of_the_public_network(refine: bool) -> None:
    backbone = CONFIG.build(in_channels=2).double().eval()
    source = public(refine=refine)
    report = backbone.load_weights(source)
    assert not report.missing
    decoder = WaveFormerUNet(refine_details=refine).build(
        stages=CONFIG.stages(), out_channels=3, sparse=False, in_channels=2
    )
    taken = decoder_from_published(source, decoder=decoder.double().eval())
    assert not taken.missing
    assert len(report.loaded) + len(taken.loaded) == len(source)  # each tensor once
    volume = input_volume(1, 2, 32, 32, 32)
    with torch.no_grad():
        maps, details = backbone(volume, details=True)
        out = decoder(maps, details=details, volume=volume)
    for stage, expected in zip(maps, STAGES, strict=True):
        near(sampled(stage, 3), expected)
    near(sampled(out.volume, 7)[:6], REFINED if refine else PLAIN)


def near(found: Tensor, expected: tuple[float, ...]) -> None:
    torch.testing.assert_close(found, torch.tensor(expected).double(), rtol=1e-5, atol=1e-6)


def test_the_report_says_what_was_left_and_a_mended_encoder_says_what_to_do() -> None:
    source = public() | {
        "waveformer_encoder.block1.0.attn.relative_position_index": torch.zeros(8, 8)
    }
    report = CONFIG.build(in_channels=2).load_weights(source)
    assert "out.conv.conv.weight" in report.unexpected
    assert any("relative_position_index" in name for name in report.unexpected)
    with pytest.raises(ValueError, match="eight ways: give the backbone"):
        CONFIG.model_copy(update={"published": False}).build(in_channels=2).load_weights(source)
    less = {n: v for n, v in source.items() if "downsample_1.norm.bias" not in n}
    with pytest.raises(ValueError, match=r"layers\.1\.reduce\.norm\.bias"):
        CONFIG.build(in_channels=2).load_weights(less)
    decoder = WaveFormerUNet().build(
        stages=CONFIG.stages(), out_channels=5, sparse=False, in_channels=2
    )
    with pytest.raises(ValueError, match=r"head\.weight"):
        decoder_from_published(source, decoder=decoder)
    taken = decoder_from_published(source, decoder=decoder, allow_missing=decoder.heads)
    assert set(taken.wrong_shape or {}) == {"head.weight", "head.bias"}


def test_a_run_starts_from_a_checkpoint_of_the_authors(tmp_path: Path) -> None:
    torch.save({"model": public(), "epoch": 3}, tmp_path / "best_model.pth")
    backbone = CONFIG.build(in_channels=2)
    said = str(warm_start(backbone, path=tmp_path / "best_model.pth"))
    assert "unknown to the module" in said
    assert "out.conv.conv.bias" in said
    with pytest.raises(ValueError, match="eight ways"):
        warm_start(WaveFormer().build(in_channels=2), path=tmp_path / "best_model.pth")


def built(**options: Any) -> Backbone:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = WaveFormer(preset="paper", widths=(4, 6), depths=(1, 1), heads=(1, 1), **options)
        return config.build(in_channels=1).double().eval()


@settings(max_examples=15, deadline=None)
@given(grid=st.tuples(*[st.integers(1, 4)] * 3), image=st.sampled_from([4, 8, 12]))
def test_all_sizes_that_are_multiples_of_the_cell_work(grid: Triple, image: int) -> None:
    """Windows that do not divide a level, too; with nothing hidden it is the dense result."""
    model = built(published=True, image=image)
    volume = input_volume(2, 1, *times(grid, (4, 4, 4)))
    cells = CellGrid(torch.ones(2, *grid, dtype=torch.bool), cell=(4, 4, 4))
    shown = SparseVolume.from_dense(volume, cells=cells, backend=sparse_backend("cells"))
    with torch.no_grad():
        for dense, boxes in zip(model(volume), model(shown), strict=True):
            assert dense.isfinite().all()
            torch.testing.assert_close(boxes.to_dense(), dense, atol=1e-9, rtol=0)


def test_windows_out_of_place_are_a_reshape() -> None:
    x = input_volume(1, 2, 4, 4, 6)
    windows = x.unfold(2, 2, 2).unfold(3, 2, 2).unfold(4, 2, 2)  # B, C, windows, sites of each
    torch.testing.assert_close(displaced(x, window=(2, 2, 2)), windows.reshape(x.shape))


def test_a_window_follows_from_the_image() -> None:
    config = WaveFormer(preset="paper", image=(64, 128, 96))
    assert config.tokens == (4, 8, 6)
    assert WaveFormer.model_validate(config.model_dump()) == config
    assert WaveFormer(preset="paper").tokens == (8, 8, 8)
    with pytest.raises(ValidationError, match="multiple of the total stride 16 × 16 × 16"):
        WaveFormer(preset="paper", image=40)
    with pytest.raises(ValidationError, match="give one of them"):
        WaveFormer(preset="paper", image=64, window=2)


def test_published_is_the_paper_and_nothing_else() -> None:
    with pytest.raises(ValidationError, match="give preset paper as well"):
        WaveFormer(published=True)
    for other in ({"patch": 4}, {"merging": (2, (1, 2, 2), 2)}, {"levels": (2, 1, 1, 0)}):
        with pytest.raises(ValidationError, match="leave out patch, merging and levels"):
            WaveFormer(preset="paper", published=True, **other)


def test_output_norms_are_on_what_is_given_out_and_not_on_what_goes_on() -> None:
    normed, plain = built(output_norm=True), built()
    normed.load_state_dict(plain.state_dict())
    volume = input_volume(1, 1, 8, 8, 8)
    with torch.no_grad():
        for given_out, bare in zip(normed(volume), plain(volume), strict=True):
            mean, std = bare.mean(1, keepdim=True), bare.var(1, keepdim=True, unbiased=False)
            torch.testing.assert_close(given_out, (bare - mean) / (std + 1e-5).sqrt())


def test_all_eight_mended_things_are_listed_at_the_option() -> None:
    described = WaveFormer.model_fields["published"].description or ""
    eight = "orthonormal", "merging", "up-sampled", "residual", "layer norm", "put back", "offset"
    assert all(word in described for word in (*eight, "epsilon"))
    assert described.count(";") == 7
