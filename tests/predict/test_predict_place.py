"""A segmentation lies where its source does, whatever the source's geometry."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, inv_ornt_aff
from tuned_runs import threshold, write_run

import ssl3d
from ssl3d.tasks.finetune.model import FinetuneModel

ORIENTATIONS = [
    "".join(sides[axis] for axis in order)
    for order in itertools.permutations(range(3))
    for sides in itertools.product("LR", "PA", "IS")
]
SHAPE = (19, 21, 12)


def oblique(orientation: str) -> np.ndarray:
    """0.8 x 1.0 x 2.5 mm along axes that point nearest to `orientation`."""
    turn, _ = np.linalg.qr(np.array([[0.99, -0.1, 0.08], [0.11, 0.98, -0.15], [-0.06, 0.16, 0.98]]))
    turn = turn * np.sign(np.diag(turn))
    affine = np.linalg.inv(inv_ornt_aff(axcodes2ornt(orientation), SHAPE))
    affine[:3, :3] = turn @ affine[:3, :3] @ np.diag([0.8, 1.0, 2.5])
    affine[:3, 3] = (-31.0, 12.0, 55.0)
    return affine


@pytest.mark.parametrize("spacing", [None, (0.8, 0.8, 0.8)])
def test_labels_lie_where_the_source_is_bright(
    spacing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet
) -> None:
    monkeypatch.setattr(FinetuneModel, "predict", threshold)
    run = write_run(tmp_path / "run", spacing=spacing)
    truth = np.zeros(SHAPE, bool)
    truth[5:13, 6:15, 3:8] = True
    for orientation in ORIENTATIONS:
        image = nibabel.Nifti1Image(np.float32(100) * truth, oblique(orientation))
        assert nibabel.aff2axcodes(image.affine) == tuple(orientation)
        image.set_sform(image.affine, code=1)
        image.to_filename(tmp_path / f"{orientation}.nii.gz")
    done = ssl3d.predict(run, tmp_path / "*.nii.gz", out=tmp_path / "out", console=quiet)
    assert sorted(done.files) == sorted(ORIENTATIONS)
    for orientation in ORIENTATIONS:
        source = nibabel.load(tmp_path / f"{orientation}.nii.gz")
        found = nibabel.load(done.files[orientation])
        assert np.allclose(found.affine, source.affine, atol=1e-5)
        assert (found.shape, found.get_data_dtype()) == (SHAPE, np.uint8)
        assert np.allclose(found.header.get_zooms(), source.header.get_zooms())
        labels = np.asarray(found.dataobj)
        assert set(np.unique(labels)) == {0, 7}
        beside = tmp_path / "out" / f"{orientation}.labels.json"
        assert json.loads(beside.read_text()) == {"background": 0, "bright": 7}
        if spacing is None:
            assert np.array_equal(labels == 7, truth)
            continue
        # Each edge of the box within half a voxel of the file, along the file's own axes.
        places, wanted = np.argwhere(labels), np.argwhere(truth)
        assert np.abs(places.mean(0) - wanted.mean(0)).max() <= 0.5
        for axis in range(3):
            other = tuple(a for a in range(3) if a != axis)
            thick = (labels == 7).sum(axis=axis).max(), truth.sum(axis=axis).max()
            assert abs(int(thick[0]) - int(thick[1])) <= 1, (orientation, axis, other)
