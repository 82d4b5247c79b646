"""Voxels that say nothing: given by a mask, found as padding or outside of the body, and what then
becomes of them. Expected ones come from plain loops."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from run_batches import batches_of, first, found

from ssl3d import ExperimentSpec
from ssl3d.data.data_error import BadVolume
from ssl3d.data.preparation import Prepared, prepare
from ssl3d.data.read import check_source, read_source
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec
from ssl3d.data.valid_region import body, padding
from ssl3d.data.valid_spec import ValidRegion
from ssl3d_plugins.maskers import Random

SHAPE = (10, 12, 14)
Place = tuple[int, ...]


def some_mask(seed: int = 0) -> np.ndarray:
    """A box, with a few voxels cut out of it."""
    inside = np.zeros(SHAPE, np.uint8)
    inside[2:9, 1:10, 3:13] = 3
    inside[tuple(np.random.default_rng(seed).integers(3, 8, size=(3, 20)))] = 0
    return inside


def finite(source: Source, **options: object) -> np.ndarray:
    return np.isfinite(prepare(source, spec=DataSpec(volumes="-", **options)).values[0])


def test_what_a_mask_excludes_and_nothing_else_is_not_valid(write_nifti, noisy) -> None:
    inside = some_mask()
    image, mask = write_nifti("a.nii.gz", noisy(SHAPE)), write_nifti("m.nii.gz", inside)
    source = Source((image,), valid=mask)
    assert np.array_equal(finite(source), inside > 0)
    assert finite(replace(source, valid=None)).all()


@pytest.mark.parametrize("turn", [np.diag([-1.0, 1, -1, 1]), np.eye(4)[[1, 2, 0, 3]]])
def test_a_mask_is_turned_and_resampled_with_its_image(turn, write_nifti, noisy) -> None:
    """A resampled voxel is valid where all that it is interpolated from is."""
    inside, spacing = some_mask(), (1.5, 0.75, 1.0)
    image = write_nifti("a.nii.gz", noisy(SHAPE), affine=turn)
    mask = write_nifti("m.nii.gz", inside, affine=turn)
    seen = finite(Source((image,), valid=mask), spacing=spacing)
    known = nibabel.as_closest_canonical(nibabel.load(mask)).get_fdata().transpose(2, 1, 0) > 0
    expected = np.zeros_like(seen)
    for place in np.ndindex(seen.shape):
        at = [i * step for i, step in zip(place, spacing, strict=True)]
        ends = [sorted({int(np.floor(a)), int(np.ceil(a))}) for a in at]
        corners = [c for c in product(*ends) if not (np.array(c) >= known.shape).any()]
        expected[place] = all(known[corner] for corner in corners)
    assert np.array_equal(seen, expected)
    assert 0 < expected.sum() < expected.size


HOW = [{"name": "percentile"}, {"name": "zscore"}, {"name": "ct_window", "lower": 0, "upper": 500}]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("spacing", [None, (1.5, 0.75, 1.0)])
def test_values_that_are_not_valid_change_no_bit(how, spacing, write_nifti, noisy) -> None:
    inside, values = some_mask(), noisy(SHAPE)
    spec = DataSpec(volumes="-", normalise=how, spacing=spacing)
    source = Source((write_nifti("a.nii.gz", values),), valid=write_nifti("m.nii.gz", inside))

    def prepared(garbage: float | None) -> Prepared:
        changed = values.copy()
        if garbage is not None:
            changed[inside == 0] = garbage
        write_nifti("a.nii.gz", changed)
        return prepare(source, spec=spec)

    plain = prepared(None)
    for garbage in (-1e6, 1e9, np.nan, np.inf):
        other = prepared(garbage)
        assert other.values.tobytes() == plain.values.tobytes()
        assert np.array_equal(other.points, plain.points)


def test_a_mask_on_another_grid_is_refused_or_brought_onto_it(write_nifti, noisy) -> None:
    image = write_nifti("a.nii.gz", noisy(SHAPE))
    inside = some_mask()
    small = Source((image,), valid=write_nifti("s.nii.gz", inside[1:]))
    with pytest.raises(BadVolume, match=r"s.nii.gz: \(14, 12, 9\) voxels .* image and mask must"):
        check_source(small)
    far = np.eye(4)
    far[0, 3] = 2
    with pytest.raises(BadVolume, match=r"up to 2.0 mm away from a.nii.gz: register the image"):
        check_source(Source((image,), valid=write_nifti("f.nii.gz", inside, affine=far)))
    far[0, 3] = 0.75  # nearest: the mask's voxel 0 covers 0.25 to 1.25
    beside = Source((image,), valid=write_nifti("b.nii.gz", inside, affine=far))
    expected = np.zeros(SHAPE, dtype=bool)
    expected[:, :, 1:] = inside[:, :, :-1] > 0
    assert np.array_equal(finite(beside), expected)
    empty = Source((image,), valid=write_nifti("e.nii.gz", np.zeros(SHAPE, np.uint8)))
    with pytest.raises(BadVolume, match=r"e.nii.gz: every voxel of this mask is 0: nothing is"):
        prepare(empty, spec=DataSpec(volumes="-"))
    with pytest.raises(BadVolume, match="there is no such file"):
        check_source(Source((image,), valid=Path("nowhere.nii.gz")))


def parts(same: np.ndarray, starts: Iterator[Place]) -> Iterator[set[Place]]:
    """Connected parts of a boolean map that some places are in, by walking through faces."""
    seen: set[Place] = set()
    for start in starts:
        if not same[start] or start in seen:
            continue
        part, walk = {start}, deque([start])
        while walk:
            here = walk.popleft()
            for axis, step in product(range(same.ndim), (-1, 1)):
                there = tuple(i + step * (axis == a) for a, i in enumerate(here))
                inside = all(0 <= i < n for i, n in zip(there, same.shape, strict=True))
                if inside and same[there] and there not in part:
                    part.add(there)
                    walk.append(there)
        seen |= part
        yield part


def on_border(place: Place, shape: Place) -> bool:
    return any(i in (0, n - 1) for i, n in zip(place, shape, strict=True))


def naive_padding(voxels: np.ndarray) -> np.ndarray:
    border = [place for place in np.ndindex(voxels.shape) if on_border(place, voxels.shape)]
    found = np.zeros(voxels.shape, dtype=bool)
    for value in {voxels[place] for place in border}:
        for part in parts(voxels == value, iter(border)):
            if sum(on_border(place, voxels.shape) for place in part) >= 0.01 * len(border):
                for place in part:
                    found[place] = True
    return found


def padded(*, value: float) -> np.ndarray:
    """Noise with much of one value in it, padded on three sides, with a defaced corner."""
    values = np.random.default_rng(3).integers(0, 4, size=SHAPE).astype(np.float32)
    values[:, :2] = value
    values[-1:] = value
    values[:4, -5:, 4:9] = value  # reaches the border
    values[4:6, 5:7, 5:7] = value  # does not
    return values


@pytest.mark.parametrize("value", [-2000.0, 7.0, 0.1])
def test_padding_is_what_is_equal_up_to_the_border(value: float) -> None:
    values = padded(value=value)
    seen = padding(values)
    assert np.array_equal(seen, naive_padding(values))
    assert seen[0, 0, 0]
    assert seen[0, -1, 5]
    assert not seen[4, 5, 5], "inside, whatever its value"
    assert not padding(np.random.default_rng(0).normal(size=SHAPE)).any()
    assert not padding(np.full((4, 4, 4), np.nan)).any()


def test_padding_is_found_before_resampling_and_off_by_default(write_nifti) -> None:
    values = padded(value=-2000)
    values[4:6, 5:7, 5:7] = 1
    source = Source((write_nifti("a.nii.gz", values),))
    assert finite(source).all()
    seen = finite(source, valid_region={"padding": True})
    assert np.array_equal(seen, ~padding(values))
    fine = finite(source, valid_region={"padding": True}, spacing=0.5)
    assert np.array_equal(fine[::2, ::2, ::2], seen)
    region = ValidRegion(padding=True)
    read, _ = read_source(source, spacing=(0.5, 0.5, 0.5), region=region)
    assert float(np.nanmin(read)) >= 0, "no voxel is made of padding"


def phantom() -> tuple[np.ndarray, np.ndarray]:
    """(a body of 50 with a lung of -900 and a table of 80 beside it in air, what is inside)."""
    _, y, x = np.mgrid[:12, :24, :24]
    inside = (y - 12) ** 2 + (x - 12) ** 2 <= 64
    inside[0] = False
    values = np.where(inside, 50.0, -1000.0).astype(np.float32)
    values[3:9, 10:14, 8:12] = -900  # closed in each slice
    values[1:, 22:24, 4:20] = 80
    values[5, 2, 2] = 500
    return values, inside


def naive_body(values: np.ndarray, threshold: float) -> np.ndarray:
    above = values > threshold
    largest = max(parts(above, iter(np.ndindex(values.shape))), key=len)
    inside = np.zeros(values.shape, dtype=bool)
    for place in largest:
        inside[place] = True
    for one in inside:
        edge = (place for place in np.ndindex(one.shape) if on_border(place, one.shape))
        outside = set().union(*parts(~one, edge))
        one[:] = True
        for place in outside:
            one[place] = False
    return inside


@pytest.mark.parametrize("threshold", ["otsu", -500.0])
def test_outside_of_the_body(threshold, write_nifti) -> None:
    values, inside = phantom()
    seen = body(values.T, threshold=threshold).T
    assert np.array_equal(seen, naive_body(values, -500.0))
    assert np.array_equal(seen, inside)
    source = Source((write_nifti("a.nii.gz", values),))
    assert np.array_equal(finite(source, valid_region={"body": threshold}), inside)
    second = write_nifti("b.nii.gz", np.random.default_rng(0).normal(size=values.shape))
    both = prepare(
        Source((*source.files, second)), spec=DataSpec(volumes="-", valid_region={"body": -500})
    )
    assert np.array_equal(np.isfinite(both.values), np.stack([inside] * 2))
    with pytest.raises(BadVolume, match=r"no voxel is above data\.valid_region\.body 1"):
        finite(source, valid_region={"body": 1e4})


def test_a_body_is_looked_for_in_the_first_channel_alone(write_nifti, noisy) -> None:
    source = Source((write_nifti("a.nii", noisy((8, 8, 8))),), lacking=(0,))
    spec = DataSpec(volumes="-", valid_region={"body": -500.0})
    with pytest.raises(BadVolume, match="lacks the first channel, in which"):
        prepare(source, spec=spec)
    finite(replace(source, lacking=(1,)), valid_region={"body": -500.0})


def test_what_lies_outside_of_the_body_changes_no_bit(write_nifti) -> None:
    values, inside = phantom()
    spec = DataSpec(volumes="-", valid_region={"body": -500.0}, spacing=(1, 0.8, 0.8))
    one = prepare(Source((write_nifti("a.nii.gz", values),)), spec=spec)
    other = np.where(inside, values, np.random.default_rng(0).uniform(-3000, -600, values.shape))
    two = prepare(Source((write_nifti("b.nii.gz", other.astype(np.float32)),)), spec=spec)
    assert one.values.tobytes() == two.values.tobytes()
    assert np.array_equal(one.points, two.points)


@pytest.fixture
def masked_run(tmp_path: Path, write_nifti, noisy) -> Callable[[float], DataSpec]:
    """Two volumes of 16³ of which a part is valid, with whatever elsewhere."""
    inside = np.zeros((16, 16, 16), np.uint8)
    inside[:, 2:, :9] = 1  # cells of 4³: some wholly invalid, some in part

    def make(garbage: float) -> DataSpec:
        for number in range(2):
            values = noisy((16, 16, 16), seed=number)
            values[inside == 0] = garbage
            write_nifti(f"set/{number}.nii.gz", values)
            write_nifti(f"masks/{number}.nii.gz", inside)
        where = {"volumes": f"{tmp_path}/set/*.nii.gz", "valid": f"{tmp_path}/masks/*.nii.gz"}
        cache = {"folder": tmp_path / "kept"}
        return DataSpec(**where, patch=16, workers=0, holdout=0, cache=cache)

    return make


def test_cells_that_are_not_valid_are_neither_hidden_nor_counted(masked_run) -> None:
    spec = masked_run(5000.0)
    wanted = spec.model_dump()
    model = ExperimentSpec(
        backbone={"name": "resunet", "widths": (4, 6, 8), "blocks": (1, 1, 1)},
        data=wanted,
        target="voxels",
    ).build()
    options = {"masker": Random(ratio=0.6), "cell": (4, 4, 4)}
    (batch, *_), (again, *_) = (
        first(found(masked_run(garbage)), 1, **options) for garbage in (5000.0, -77.0)
    )
    view, hidden = batch.views[0], batch.views[0].hidden.levels[0]
    assert view.valid is not None
    boxes = view.valid.unfold(1, 4, 4).unfold(2, 4, 4).unfold(3, 4, 4).flatten(4)
    cells, half = boxes.any(-1), boxes.float().mean(-1) >= 0.5
    assert not cells.all()
    assert not (hidden & ~cells).any(), "a cell without a valid voxel is never hidden"
    assert not (view.cells.visible & ~cells).any(), "nor is it seen"
    assert torch.equal(hidden | view.cells.visible, cells), "every other cell is one of them"
    # A share of the cells that may be hidden, not of those of the box.
    assert not (hidden & ~half).any()
    assert [int(own.sum()) for own in hidden] == [round(0.6 * int(own.sum())) for own in half]
    out = model(view.volume, valid=view.valid, hidden=hidden)
    expected = []
    for sample, own in enumerate(hidden):
        errors = []
        for z, y, x in own.nonzero().tolist():
            box = (slice(4 * z, 4 * z + 4), slice(4 * y, 4 * y + 4), slice(4 * x, 4 * x + 4))
            valid = view.valid[(sample, *box)]
            difference = out.prediction[(sample, 0, *box)] - view.volume[(sample, 0, *box)]
            errors.append((difference[valid] ** 2).mean())
        expected.append(torch.stack(errors).mean())
    torch.testing.assert_close(out.loss, torch.stack(expected).mean())
    # What is not valid changes no bit of what a step is given, nor of what comes of it.
    other = again.views[0]
    assert torch.equal(other.volume, view.volume)
    assert torch.equal(other.hidden.levels[0], hidden)
    garbage = torch.where(view.valid[:, None], view.volume, torch.nan)
    spoiled = model(garbage, valid=view.valid, hidden=hidden)
    assert torch.equal(spoiled.prediction, out.prediction)
    assert torch.equal(spoiled.loss, out.loss)


def test_crops_are_centred_on_what_is_valid(masked_run) -> None:
    volumes = found(masked_run(5000.0))
    batches_of(volumes, cell=(4, 4, 4))
    points = volumes._train_store.volume(volumes.train_files[0]).points
    assert (points[:, 1] >= 2).all()
    assert (points[:, 2] < 9).all()
