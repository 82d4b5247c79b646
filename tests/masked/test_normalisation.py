"""Mean and variance of target patches, in every form, against a loop over patches."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssl3d.masked.spec import NormalisationSpec
from ssl3d.masked.target import patch_statistics


@given(
    patches=st.integers(1, 4),
    voxels=st.integers(2, 9),
    channels=st.integers(1, 3),
    unbiased=st.booleans(),
    how=st.sampled_from(["each", "joint"]),
    padded=st.booleans(),
    seed=st.integers(0, 99),
)
def test_against_a_loop(patches, voxels, channels, unbiased, how, padded, seed) -> None:
    random = torch.Generator().manual_seed(seed)
    values = torch.randn(patches, voxels, channels, generator=random, dtype=torch.float64)
    valid = torch.rand(patches, voxels, 1, generator=random) < 0.7
    valid[:, :2] = True
    found = patch_statistics(
        values,
        valid=valid if padded else None,
        normalisation=NormalisationSpec(channels=how, unbiased=unbiased),
    )
    normalised = found.normalise(values)
    for number, patch in enumerate(values):
        inside = patch[valid[number, :, 0]] if padded else patch
        for channel in range(channels):
            one = inside if how == "joint" else inside[:, channel]
            mean, variance = one.mean(), one.var(correction=int(unbiased))
            at = min(channel, found.mean.shape[2] - 1)
            assert float(found.mean[number, 0, at]) == pytest.approx(float(mean))
            assert float(found.variance[number, 0, at]) == pytest.approx(float(variance))
            expected = (patch[:, channel] - mean) / (variance + 1e-6).sqrt()
            torch.testing.assert_close(normalised[number, :, channel], expected)
    torch.testing.assert_close(found.denormalise(normalised), values)
