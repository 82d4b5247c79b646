"""The full transform against PyWavelets."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ssl3d.geometry import Triple
from ssl3d_plugins.waveformer.wavelet import decompose, reconstruct

WAVELETS = ("haar", "db2", "sym3", "bior2.2")
ALL = [name for name in pywt.wavelist(kind="discrete") if name != "dmey"]
levels_of = st.tuples(*[st.integers(0, 3)] * 3)
sizes = st.tuples(*[st.integers(5, 17)] * 3)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_pywavelets(
    volume: np.ndarray, *, levels: Triple, wavelet: str
) -> tuple[np.ndarray, list[dict[str, np.ndarray]]]:
    """Coarsest approximation, then details from coarse to fine."""
    details: list[dict[str, np.ndarray]] = []
    for depth in range(1, max(levels) + 1):
        axes = [axis - 3 for axis in range(3) if levels[axis] >= depth]
        bands = pywt.dwtn(volume, wavelet, mode="zero", axes=axes)
        volume = bands.pop("a" * len(axes))
        details.insert(0, bands)
    return volume, details


@settings(max_examples=25, deadline=None)
@given(size=sizes, levels=levels_of, wavelet=st.sampled_from(WAVELETS))
def test_each_sub_band_is_that_of_pywavelets(size: Triple, levels: Triple, wavelet: str) -> None:
    volume = noise(2, 3, *size)
    got = decompose(volume, levels=levels, wavelet=wavelet)
    smooth, details = by_pywavelets(volume.numpy(), levels=levels, wavelet=wavelet)
    np.testing.assert_allclose(got.approximation.numpy(), smooth, atol=1e-9)
    assert [set(level) for level in got.details] == [set(level) for level in details]
    for ours, theirs in zip(got.details, details, strict=True):
        for name, band in theirs.items():
            np.testing.assert_allclose(ours[name].numpy(), band, atol=1e-9, err_msg=name)


@settings(max_examples=25, deadline=None)
@given(size=sizes, levels=levels_of, wavelet=st.sampled_from(WAVELETS))
def test_reconstruction_is_perfect(size: Triple, levels: Triple, wavelet: str) -> None:
    volume = noise(1, 2, *size)
    again = reconstruct(decompose(volume, levels=levels, wavelet=wavelet))
    torch.testing.assert_close(again, volume, atol=1e-9, rtol=0)


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(*[st.integers(1, 9)] * 3),
    levels=st.tuples(*[st.integers(0, 2)] * 3),
    wavelet=st.sampled_from(ALL),
)
def test_every_wavelet_on_any_size_is_that_of_pywavelets_and_is_inverted(
    size: Triple, levels: Triple, wavelet: str
) -> None:
    """Thin, odd and single sites, and filters that are longer than the volume, among them."""
    volume = noise(1, 1, *size)
    bands = decompose(volume, levels=levels, wavelet=wavelet)
    smooth, details = by_pywavelets(volume.numpy(), levels=levels, wavelet=wavelet)
    np.testing.assert_allclose(bands.approximation.numpy(), smooth, atol=1e-9)
    for ours, theirs in zip(bands.details, details, strict=True):
        assert set(ours) == set(theirs)
        for name, band in theirs.items():
            np.testing.assert_allclose(ours[name].numpy(), band, atol=1e-9, err_msg=name)
    torch.testing.assert_close(reconstruct(bands), volume, atol=1e-9, rtol=0)


@pytest.mark.parametrize("wavelet", ALL)
def test_every_wavelet_is_inverted_on_an_odd_line(wavelet: str) -> None:
    volume = noise(1, 2, 2, 1, 11)
    again = reconstruct(decompose(volume, levels=(0, 0, 2), wavelet=wavelet))
    torch.testing.assert_close(again, volume, atol=1e-9, rtol=0)


def test_dmey_is_not_inverted() -> None:
    """Which is why it is refused."""
    volume = noise(1, 1, 1, 1, 8)
    again = reconstruct(decompose(volume, levels=(0, 0, 1), wavelet="dmey"))
    assert (again - volume).abs().max() > 1e-4


@pytest.mark.parametrize("axis", range(3))
def test_a_wave_along_one_axis_has_detail_along_that_axis_only(axis: int) -> None:
    shape = [1, 1, 1]
    shape[axis] = 8
    volume = torch.tensor([1.0, -1.0] * 4).view(shape).expand(8, 8, 8)
    (details,) = decompose(volume, levels=(1, 1, 1)).details
    name = "".join("d" if a == axis else "a" for a in range(3))
    assert {n for n, band in details.items() if band.abs().max() > 1e-6} == {name}


def test_channels_do_not_mix_with_space() -> None:
    volume = torch.zeros(2, 3, 8, 8, 8)
    volume[1, 1] = noise(8, 8, 8).float()
    bands = decompose(volume, levels=(2, 1, 3), wavelet="db2")
    everything = [bands.approximation, *itertools.chain(*(b.values() for b in bands.details))]
    for band in everything:
        assert band[1, 1].abs().max() > 0
        band[1, 1] = 0
        assert not band.any()


def test_leading_axes_are_a_batch() -> None:
    volume = noise(2, 3, 8, 4, 8)
    together = decompose(volume, levels=(2, 1, 2))
    alone = decompose(volume[1, 2], levels=(2, 1, 2))
    torch.testing.assert_close(together.approximation[1, 2], alone.approximation)
    torch.testing.assert_close(together.details[0]["dd"][1, 2], alone.details[0]["dd"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype: torch.dtype) -> None:
    volume = noise(1, 2, 8, 8, 8).to(dtype)
    bands = decompose(volume, levels=(1, 2, 2))
    exact = decompose(volume.double(), levels=(1, 2, 2))
    again = reconstruct(bands)
    assert bands.approximation.dtype == again.dtype == dtype
    torch.testing.assert_close(bands.approximation.double(), exact.approximation, atol=0, rtol=1e-2)
    torch.testing.assert_close(again, volume, atol=0.05, rtol=0)


def test_autocast_does_not_reach_the_filters() -> None:
    volume = noise(1, 2, 8, 8, 8).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        again = reconstruct(decompose(volume, levels=(2, 2, 2), wavelet="db3"))
    torch.testing.assert_close(again, volume, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("levels", "wavelet"), [((2, 1, 1), "haar"), ((1, 1, 0), "db2"), ((1, 1, 0), "coif1")]
)
def test_gradients(levels: Triple, wavelet: str) -> None:
    volume = noise(1, 1, 4, 4, 4).requires_grad_()

    def squares(x: Tensor) -> Tensor:
        bands = decompose(x, levels=levels, wavelet=wavelet)
        return reconstruct(bands) * bands.approximation.square().sum()

    assert torch.autograd.gradcheck(squares, volume)
