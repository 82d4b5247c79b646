"""The published decoder: sizes, what it reads, and that nothing hidden reaches it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from public_network import input_volume

from ssl3d import ExperimentSpec
from ssl3d.geometry import Stage, Triple, times
from ssl3d.kinds.decoder import encoded
from ssl3d.plugin.spec_error import SpecError
from ssl3d.sparse import CellGrid, SparseVolume
from ssl3d.testing.backbone_under_test import sparse_backend
from ssl3d.testing.decoder import DecoderConformance
from ssl3d_plugins.waveformer import WaveFormer, WaveFormerUNet

SMALL: dict[str, Any] = {"widths": (6, 6, 8), "depths": (1, 1, 1), "heads": (1, 1, 1)}
PRESETS = Path(__file__).parents[2] / "examples/presets"
PAPER: dict[str, Any] = {"preset": "paper", "image": 16}
THICK: dict[str, Any] = {"patch": (1, 2, 2), "merging": ((1, 2, 2), (2, 2, 2))}


class TestDecoder(DecoderConformance):
    config = WaveFormerUNet()
    stages = WaveFormer(**SMALL).stages()


class TestRefinedOnThickSlices(DecoderConformance):
    config = WaveFormerUNet(refine_details=True)
    stages = WaveFormer(**SMALL, **THICK).stages()


def test_its_size_is_that_of_the_published_network() -> None:
    """17.17 million parameters at 4 channels in, 4 out, for 128³; 5.99 in the encoder."""
    config = WaveFormer(preset="paper", published=True, image=128)
    backbone = config.build(in_channels=4)
    decoder = WaveFormerUNet().build(
        stages=config.stages(), out_channels=4, sparse=False, in_channels=4
    )
    sizes = [sum(p.numel() for p in part.parameters()) for part in (backbone, decoder)]
    assert sizes[0] == 5_988_054
    assert sum(sizes) == 17_167_546


def test_the_preset_is_of_the_published_size() -> None:
    """Merging by a convolution has about as many parameters as the published one."""
    spec = ExperimentSpec.load(PRESETS / "waveformer_paper.py")
    sequences = {name: f"*{name}*" for name in ("t1", "t1c", "t2", "flair")}
    model = spec.with_values({"data.volumes": None, "data.channels": sequences}).build()
    assert abs(sum(p.numel() for p in model.parameters()) / 17.17e6 - 1) < 0.005
    assert abs(sum(p.numel() for p in model.backbone.parameters()) / 5.99e6 - 1) < 0.005


@settings(max_examples=12, deadline=None)
@given(grid=st.tuples(*[st.integers(1, 3)] * 3), thick=st.booleans(), refine=st.booleans())
def test_with_nothing_hidden_cells_give_the_dense_result(
    grid: Triple, thick: bool, refine: bool
) -> None:
    config = WaveFormer(**PAPER, **SMALL, **(THICK if thick else {}))
    grid = (grid[0], grid[1], 1 + grid[2])  # one site has no variance
    torch.manual_seed(0)
    backbone = config.build(in_channels=1).double()
    decoder = WaveFormerUNet(refine_details=refine).build(
        stages=config.stages(), out_channels=2, sparse=True, in_channels=1
    )
    decoder.double()
    volume = input_volume(1, 1, *times(grid, config.total_stride))
    cells = CellGrid(torch.ones(1, *grid, dtype=torch.bool), cell=config.total_stride)
    shown = SparseVolume.from_dense(volume, cells=cells, backend=sparse_backend("cells"))
    with torch.no_grad():
        results = []
        for x in (volume, shown):
            stages, beside = encoded(backbone, x, decoder=decoder)
            results.append(decoder(stages, **beside).volume)
    assert results[0].shape == (1, 2, *volume.shape[2:])
    torch.testing.assert_close(results[0], results[1], atol=1e-8, rtol=0)


@pytest.mark.parametrize("options", [{}, PAPER, {**PAPER, "published": True}], ids=str)
@pytest.mark.parametrize("encoder_input", ["visible", "zeroed"])
@pytest.mark.parametrize("by", [100.0, torch.nan])
def test_hidden_voxels_change_no_bit_of_the_prediction(
    options: dict[str, Any], encoder_input: str, by: float
) -> None:
    spec = ExperimentSpec(
        backbone={"name": "waveformer", **SMALL, **options},
        decoder={"name": "waveformer", "refine_details": True},
        encoder_input=encoder_input,
        data={"volumes": "none", "patch": 32},
    )
    model = spec.build()
    volume = torch.randn(2, 1, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    for mode in (True, False):
        model.train(mode)
        out = model(volume, generator=torch.Generator().manual_seed(1))
        assert out.prediction.isfinite().all()
        again = model(torch.where(out.hidden[0][:, None], by, volume), hidden=out.levels)
        assert torch.equal(out.prediction, again.prediction)
        other = model(torch.where(out.hidden[0][:, None], volume, by or 1.0), hidden=out.levels)
        assert not torch.equal(out.prediction, other.prediction)
    out.loss.backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


def test_backbones_that_hand_on_no_details_are_refused() -> None:
    data = {"volumes": "none", "patch": 64}
    with pytest.raises(SpecError) as found:
        ExperimentSpec(backbone="resunet", decoder="waveformer", data=data, cell=32)
    assert "decoder.name" in str(found.value)
    assert "a backbone that does: waveformer" in str(found.value)
    with pytest.raises(SpecError, match="end at 8 × 8 × 8"):
        ExperimentSpec(
            backbone={"name": "waveformer", "levels": (2, 2, 1, 0)}, decoder="waveformer", data=data
        )


def test_what_does_not_lead_to_a_stage_is_a_problem() -> None:
    config = WaveFormerUNet()
    deepest = Stage((4, 4, 4), 8)
    wrong = Stage((2, 2, 2), 4, details=(Stage((4, 4, 4), 4 * 3),))
    right = Stage((2, 2, 2), 4, details=(Stage((4, 4, 4), 4 * 7),))
    assert len(list(config.problems(stages=(wrong, deepest)))) == 1
    assert not list(config.problems(stages=(right, deepest)))
    assert "has one" in next(iter(config.problems(stages=(deepest,)))).message


def test_a_volume_of_one_deepest_site_is_an_error_that_says_what_to_take() -> None:
    config = WaveFormer(**SMALL)
    decoder = WaveFormerUNet().build(
        stages=config.stages(), out_channels=1, sparse=False, in_channels=1
    )
    volume = torch.zeros(1, 1, 8, 8, 8)
    stages, beside = encoded(config.build(in_channels=1), volume, decoder=decoder)
    with pytest.raises(ValueError, match="twice this size"):
        decoder(stages, **beside)
