"""Signals of quality against what we did not write, or a naive form of it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from monai.metrics import PSNRMetric, SSIMMetric
from torch import Tensor

from ssl3d import ExperimentSpec
from ssl3d.kinds.batch import ViewBatch
from ssl3d.kinds.decoder import DecoderOutput
from ssl3d.kinds.output import Target, ViewOutput
from ssl3d.masked.output import PretrainOutput
from ssl3d.masked.target import hidden_patches
from ssl3d.measure.feature_rank import gram, rankme
from ssl3d.measure.image_quality import image_quality
from ssl3d.measure.losses import means, measured, over_crops
from ssl3d.sparse import CellGrid, HiddenLevels, SparseVolume

MakeSpec = Callable[..., ExperimentSpec]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def output(make_spec: MakeSpec) -> PretrainOutput:
    """An un-normalised output on two crops, with unequal means."""
    model = make_spec(target="voxels").build().eval()
    volume = random(2, 1, 16, 16, 16) + torch.tensor([0.0, 3.0]).view(2, 1, 1, 1, 1)
    with torch.no_grad():
        return model(volume, generator=torch.Generator().manual_seed(0))


def changed(
    output: PretrainOutput,
    *,
    hidden: Tensor | None = None,
    prediction: Tensor | None = None,
    volume: Tensor | None = None,
    target: Target = "voxels",
) -> ViewOutput:
    """Its view with another part in place of its own; `hidden` in cells."""
    view = output.step.views[0]
    level = output.levels.levels[0] if hidden is None else hidden
    views = ViewBatch(
        output.volume if volume is None else volume,
        valid=None,
        cells=CellGrid(~level, cell=output.cells.cell),
        hidden=HiddenLevels((level,)),
        hidden_positions=(level.flatten().nonzero().flatten(),),
        level=view.batch.level,
    )
    restored = view.prediction if prediction is None else prediction
    patches = hidden_patches(views, prediction=restored, target=target)
    decoded = DecoderOutput(restored, restored)
    return ViewOutput(views, view.stages, target, decoded=decoded, found=patches)


def test_psnr_is_that_of_hidden_voxels(output: PretrainOutput) -> None:
    for i, found in enumerate(image_quality(output.step.views[0])):
        hidden = output.hidden[0][i]
        truth, guess = output.volume[i, 0], output.prediction[i, 0]
        metric = PSNRMetric(max_val=float(truth.max() - truth.min()))
        expected = metric(guess[hidden][None, None], truth[hidden][None, None])
        assert found["psnr"] == pytest.approx(float(expected), rel=1e-5)
        visible = truth[~hidden].mean()
        trivial = metric(
            torch.full_like(truth[hidden], visible)[None, None], truth[hidden][None, None]
        )
        assert found["psnr/trivial"] == pytest.approx(float(trivial), rel=1e-5)


def test_ssim_is_monais_where_all_is_hidden(output: PretrainOutput) -> None:
    """MONAI averages over all windows; so do we once every voxel is scored."""
    everything = changed(output, hidden=torch.ones_like(output.cells.visible))
    for i, found in enumerate(image_quality(everything)):
        truth = output.volume[i : i + 1]
        pasted = output.step.views[0].prediction[i : i + 1]
        metric = SSIMMetric(3, data_range=float(truth.max() - truth.min()))
        assert found["ssim"] == pytest.approx(float(metric(pasted, truth)), rel=1e-4)


def test_ssim_is_left_out_where_no_window_is_scored(output: PretrainOutput) -> None:
    border = torch.zeros_like(output.cells.visible)
    border[:, 0] = True
    for found in image_quality(changed(output, hidden=border)):
        assert found.keys() == {"psnr", "psnr/trivial"}


def test_trivial_of_nested_views_is_that_of_each(make_spec: MakeSpec) -> None:
    parts = {"views": "nested", "masker": {"name": "mim", "level_weights": (3.0, 1.0)}}
    model = make_spec(target="voxels", data={"patch": 32}, **parts).build().eval()
    volume = random(2, 1, 32, 32, 32).cumsum(2)
    with torch.no_grad():
        output = model(volume, generator=torch.Generator().manual_seed(0))
    found = measured(output, model=model)
    for i, view in enumerate(output.step.views):
        (level,) = view.batch.hidden.voxels(output.cells.cell)
        means = []
        for sample, hidden in zip(volume[:, 0], level, strict=True):
            error = (sample[hidden] - sample[~hidden].mean()).square()
            means.append(float(error.mean()))
        assert found[f"mse/trivial/view{i}"] == pytest.approx(sum(means) / 2, rel=1e-4)
        assert f"mse/view{i}" in found
    mean = (3 * found["mse/trivial/view0"] + found["mse/trivial/view1"]) / 4
    assert found["mse/trivial"] == pytest.approx(mean, rel=1e-6)


def test_true_statistics_are_named(output: PretrainOutput) -> None:
    normalised = changed(output, target="patch_normalised")
    names = {name for found in image_quality(normalised) for name in found}
    assert names == {
        f"{what}_true_statistics{who}" for what in ("psnr", "ssim") for who in ("", "/trivial")
    }


def test_perfect_restoration_is_finite(output: PretrainOutput) -> None:
    perfect = changed(output, prediction=output.volume)
    for found in image_quality(perfect):
        assert found["ssim"] == pytest.approx(1)
        assert 100 < found["psnr"] < math.inf


def test_crops_without_contrast_count_for_nothing(output: PretrainOutput) -> None:
    flat = changed(output, volume=torch.zeros_like(output.volume))
    assert list(image_quality(flat)) == [{}, {}]


def test_rankme_equals_the_paper() -> None:
    features = random(200, 12).double() @ torch.diag(torch.logspace(0, -2, 12).double())
    singular = np.linalg.svd(features.numpy(), compute_uv=False)
    shares = singular / singular.sum()
    expected = math.exp(-(shares * np.log(shares)).sum())
    assert rankme(features.T @ features) == pytest.approx(expected, rel=1e-9)


def test_rankme_of_known_ranks() -> None:
    assert rankme(torch.eye(7).double()) == pytest.approx(7)
    one = random(50, 1).double() * random(1, 7, seed=1).double()
    assert rankme(one.T @ one) == pytest.approx(1, abs=1e-3)
    assert rankme(torch.zeros(7, 7).double()) == 0
    for spoilt in (math.nan, math.inf):
        assert math.isnan(rankme(torch.full((7, 7), spoilt).double()))


def test_means_of_what_is_not_finite_are_not_finite() -> None:
    rows = [{"a": math.inf, "b": math.inf, "c": math.nan}, {"a": -math.inf, "b": 1.0, "c": 1.0}]
    found = means(rows)
    assert math.isnan(found["a"])
    assert found["b"] == math.inf
    assert math.isnan(found["c"])


def test_gram_of_dense_and_visible_features(output: PretrainOutput) -> None:
    sparse = output.stages[0]
    assert isinstance(sparse, SparseVolume)
    dense = sparse.to_dense()
    # Hidden sites are zero in the dense map and add nothing.
    torch.testing.assert_close(gram(dense), gram(sparse), rtol=1e-6, atol=1e-6)
    rows = dense.movedim(1, -1).reshape(-1, dense.shape[1]).double()
    torch.testing.assert_close(gram(dense), rows.T @ rows)


def test_means_are_over_what_was_measured() -> None:
    assert means([{"a": 1.0, "b": 5.0}, {"a": 2.0}, {}]) == {"a": 1.5, "b": 5.0}
    assert means([]) == {}


def test_the_loss_is_the_weighted_sum_of_the_means() -> None:
    """A crop in which one loss finds nothing takes nothing from the sum."""
    crops = [{"loss": 5.0, "a": 1.0, "b": 2.0}, {"loss": 1.0, "a": 1.0}, {}]
    assert over_crops(crops, weights={"a": 1.0, "b": 2.0}) == {"loss": 5.0, "a": 1.0, "b": 2.0}
    assert over_crops([{}], weights={"a": 1.0}) == {}
