"""A prediction on the grid of its file: the same place, values and names."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
import torch

from ssl3d.tasks.finetune.predicted import kept_map, restored_classes, write_segmentation


def oblique(codes: str) -> np.ndarray:
    """An oblique, anisotropic affine whose voxel axes point roughly along these directions."""
    turn = np.array([[0.99, -0.10, 0.08], [0.11, 0.98, -0.15], [-0.06, 0.16, 0.98]])
    turn, _ = np.linalg.qr(turn)
    axes = nibabel.orientations.axcodes2ornt(codes)
    affine = np.eye(4)
    for column, ((axis, sign), spacing) in enumerate(zip(axes, (0.7, 1.5, 4.0), strict=True)):
        affine[:3, column] = turn[:, int(axis)] * np.sign(turn[int(axis), int(axis)]) * sign
        affine[:3, column] *= spacing
    affine[:3, 3] = (-31.0, 12.0, 55.0)
    return affine


ORIENTATIONS = [
    "".join(c)
    for order in itertools.permutations(["RL", "AP", "SI"])
    for c in itertools.product(*order)
]


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_a_threshold_comes_back_to_its_place(codes: str, tmp_path: Path) -> None:
    """A stand-in for the data's own way back: axes turned to z, y, x of RAS and back again."""
    affine = oblique(codes)
    source = np.zeros((7, 6, 5), dtype=np.float32)
    source[4:6, 1:3, 2] = 1.0
    image = nibabel.Nifti1Image(source, affine)
    canonical = nibabel.as_closest_canonical(image)
    prepared = torch.from_numpy(canonical.get_fdata(dtype=np.float32).T.copy())
    back = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(canonical.affine), nibabel.io_orientation(affine)
    )

    def pieces(maps: torch.Tensor, **_):
        own = [nibabel.orientations.apply_orientation(one.numpy().T, back) for one in maps]
        yield (slice(None),) * 3, np.stack(own)

    probabilities = torch.stack([1 - prepared, prepared])
    stand_in = SimpleNamespace(pieces=pieces, source_shape=source.shape)
    classes = restored_classes(probabilities, prepared=stand_in)
    file = tmp_path / "case.nii.gz"
    write_segmentation(file, classes, affine=affine, legend={"vessel": 300})
    again = nibabel.load(file)
    assert again.shape == source.shape
    assert np.allclose(again.affine, affine, atol=1e-4)
    assert nibabel.aff2axcodes(again.affine) == nibabel.aff2axcodes(affine)
    assert np.allclose(again.header.get_zooms(), image.header.get_zooms(), atol=1e-4)
    labels = np.asarray(again.dataobj)
    assert labels.dtype == np.uint16

    def middle(voxels, to_mm):
        return nibabel.affines.apply_affine(to_mm, np.argwhere(voxels).mean(0))

    assert np.allclose(middle(labels == 300, again.affine), middle(source > 0.5, affine), atol=1e-3)
    assert json.loads((tmp_path / "case.labels.json").read_text()) == {
        "background": 0,
        "vessel": 300,
    }
    assert len(list(tmp_path.iterdir())) == 2


def test_the_likeliest_class_wins_and_what_was_not_prepared_is_background() -> None:
    probabilities = torch.rand(4, 3, 3, 3, generator=torch.Generator().manual_seed(0))

    def pieces(maps: torch.Tensor, *, mode: str, fill: float):
        assert (mode, fill) == ("bilinear", 0.0)
        padded = np.full((len(maps), 5, 5, 5), fill, dtype=np.float32)
        padded[:, 1:4, 1:4, 1:4] = maps.numpy()
        for x in range(5):
            yield (slice(x, x + 1), slice(None), slice(None)), padded[:, x : x + 1]

    stand_in = SimpleNamespace(pieces=pieces, source_shape=(5, 5, 5))
    classes = restored_classes(probabilities, prepared=stand_in)
    assert (classes[1:4, 1:4, 1:4] == probabilities.argmax(0).numpy()).all()
    classes[1:4, 1:4, 1:4] = 0
    assert not classes.any()


def test_each_class_has_the_value_of_its_name(tmp_path: Path) -> None:
    """In the order of the names, which is not that of the values."""
    classes = np.arange(8, dtype=np.uint8).reshape(2, 2, 2) % 4
    legend = {"vein": 300, "artery": 2, "bone": 41}
    write_segmentation(tmp_path / "a.nii", classes, affine=np.eye(4), legend=legend)
    image = nibabel.load(tmp_path / "a.nii")
    assert np.asarray(image.dataobj).ravel().tolist() == [0, 300, 2, 41] * 2
    assert json.loads((tmp_path / "a.labels.json").read_text()) == {"background": 0, **legend}
    assert image.header.get_xyzt_units()[0] == "mm"


def test_a_map_is_kept_in_half_precision_outside_of_memory(tmp_path: Path) -> None:
    values = torch.rand(2, 7, 3, 4)
    slabs = [(0, values[:, :3]), (3, values[:, 3:5]), (5, values[:, 5:])]
    kept = kept_map(slabs, outputs=2, size=(7, 3, 4), file=tmp_path / "map")
    assert torch.equal(kept, values.half())
    assert (tmp_path / "map").stat().st_size == 2 * 7 * 3 * 4 * 2
