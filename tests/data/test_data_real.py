"""Real acquisitions: every one is read, and thick slices keep their geometry."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import nibabel
import numpy as np
import pytest
from run_batches import batches_of, found

from ssl3d.data.files import find_sources
from ssl3d.data.preparation import prepare
from ssl3d.data.read import read_source
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec


def test_every_volume_is_read(real_data: Path) -> None:
    spec = DataSpec(volumes=str(real_data / "volumes"))
    sources = find_sources(spec)
    assert len(sources) >= 19
    for source in sources:
        prepared = prepare(source, spec=spec)
        image = nibabel.as_closest_canonical(nibabel.load(source.files[0]))
        assert prepared.values.shape[1:] == image.shape[::-1]
        assert prepared.values.min() == 0
        assert prepared.values.max() == 1
        assert len(prepared.points) > 100


def test_every_hippocampus_crop_is_read(real_data: Path) -> None:
    spec = DataSpec(volumes=str(real_data / "hippocampus" / "images"), normalise="zscore")
    sources = find_sources(spec)
    assert len(sources) >= 190
    for source in sources:
        values = prepare(source, spec=spec).values
        assert np.isfinite(values).all()
        # Intensities differ by a factor of 10,000 between these files.
        assert abs(float(values.mean())) < 3
        assert float(values.max()) < 50


@pytest.mark.parametrize("name", ["ct/pyradiomics_lung1", "mr/pyradiomics_brain1"])
def test_thick_slices_become_thin_ones(real_data: Path, name: str) -> None:
    path = real_data / "volumes" / f"{name}.nii.gz"
    native, affine = read_source(Source((path,)))
    steps = np.linalg.norm(affine[:3, :3].numpy(), axis=0)[::-1]
    assert steps[0] >= 5.0
    target = (steps[0] / 2, steps[1], steps[2])
    finer, finer_affine = read_source(Source((path,)), spacing=target)
    assert finer.shape == (1, 2 * native.shape[1] - 1, *native.shape[2:])
    assert np.allclose(np.linalg.norm(finer_affine[:3, :3].numpy(), axis=0)[::-1], target)
    # The slices of the file are still there, and a new one is the mean of its neighbours.
    scale = float(native.abs().max())
    assert np.allclose(finer[0, ::2], native[0], atol=1e-3 * scale)
    middle = (native[0, :-1] + native[0, 1:]) / 2
    assert np.allclose(finer[0, 1::2], middle, atol=1e-3 * scale)


def test_ct_in_hounsfield_units(real_data: Path) -> None:
    spec = DataSpec(
        volumes=[
            str(real_data / "volumes" / "ct" / f"{name}.nii.gz")
            for name in ("pyradiomics_lung1", "totalseg_example_ct")
        ],
        normalise="ct_window",
        foreground={"threshold": -500},
        patch=(32, 64, 64),
        spacing=(2.5, 1.5, 1.5),
        workers=0,
        holdout=0.25,
        holdout_crops=1,
    )
    volumes = found(spec)
    assert [len(volumes.train_files), len(volumes.held_out_files)] == [1, 1]
    batches = batches_of(volumes)
    for batch in islice(batches.training(), 3):
        tissue = (batch.views[0].volume > 0.25).float().mean(dim=(1, 2, 3, 4))
        assert (tissue > 0).all()
    (held,) = batches.held_out()
    assert held.views[0].volume.shape == (1, 1, 32, 64, 64)
    assert volumes.bad_files() == {}
