"""Changed crops: pure functions of seed and number, whose invalid voxels say nothing."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from run_batches import batches_of, found, same

from ssl3d import ExperimentSpec
from ssl3d.data.augment.changes import Augment
from ssl3d.data.augment.crop import Crop
from ssl3d.data.augment_spec import CropChanges
from ssl3d.data.spec import DataSpec
from ssl3d.plugin.spec_error import SpecError
from ssl3d_plugins.maskers import Random
from ssl3d_plugins.views import MaskInMask, Pair, Single

ALL = {
    "rotate": 20,
    "scale": 0.25,
    "brightness": 0.2,
    "contrast": 0.25,
    "gamma": 0.4,
    "noise": 0.15,
    "low_resolution": 2,
}
AFFINE = {"rotate": 20, "scale": 0.25}
WINDOW = {"name": "ct_window", "lower": 0, "upper": 1000}


def crops(folder: Path, *, pattern: str = "set/*.nii", seed: int = 0, **options: Any) -> Any:
    options = {"patch": (8, 8, 8), "workers": 0, "holdout": 0, "flips": (False,) * 3, **options}
    spec = DataSpec(volumes=str(folder / pattern), **options)
    return found(spec).training_crops(seed=seed, extent=spec.patch)


def test_what_is_off_leaves_crops_as_they_are(tmp_path: Path, write_nifti, noisy) -> None:
    write_nifti("set/a.nii", noisy())
    plain = crops(tmp_path, flips=(True, True, True))
    assert not CropChanges().any
    assert not CropChanges(**ALL, share=0).any
    for augment in ({"share": 1}, {**ALL, "share": 0}, {**ALL, "share": 1e-9}):
        other = crops(tmp_path, flips=(True, True, True), augment=augment)
        assert all(same(other[i], plain[i]) for i in range(6))


def test_a_changed_crop_depends_on_seed_and_number_alone(
    tmp_path: Path, write_nifti, noisy
) -> None:
    for i in range(3):
        write_nifti(f"set/{i}.nii", noisy(seed=i))
    augment = {"share": 0.5, **ALL}
    one, other = crops(tmp_path, augment=augment), crops(tmp_path, augment=augment)
    forward = [one[i] for i in range(12)]
    torch.manual_seed(1)
    np.random.seed(1)
    assert same([other[i] for i in reversed(range(12))][::-1], forward)
    plain = crops(tmp_path)
    assert all(plain[i]["source"] == crop["source"] for i, crop in enumerate(forward))
    changed = [not torch.equal(plain[i]["volume"], c["volume"]) for i, c in enumerate(forward)]
    assert sum(changed) >= 9
    apart = crops(tmp_path, augment=augment, seed=1)
    assert not any(same(apart[i], crop) for i, crop in enumerate(forward))


def test_a_turned_crop_is_of_the_volume_beyond_its_border(tmp_path: Path, write_nifti) -> None:
    """A volume of two slopes stays one, whatever the turn, and no voxel is made up."""
    z, y, x = np.meshgrid(*[np.arange(40, dtype=np.float32)] * 3, indexing="ij")
    write_nifti("set/a.nii", 10 * z + 5 * y + 2 * x, spacing=(3.0, 1.0, 1.0))
    options = {"foreground": {"share": 0, "threshold": "none"}, "normalise": WINDOW}
    turned = crops(tmp_path, augment={"share": 1, **AFFINE}, **options)
    for i in range(12):
        volume, valid = turned[i]["volume"][0] * 1000, turned[i]["valid"]
        steps = [torch.diff(volume, n=2, dim=axis) for axis in range(3)]
        for axis, step in enumerate(steps):
            sure = valid.unfold(axis, 3, 1).all(-1)
            assert float(step[sure].abs().max()) < 0.02
        assert not volume[~valid].any()
    whole = [bool(turned[i]["valid"].all()) for i in range(40)]
    assert 10 < sum(whole) < 40, "in the middle all is there, at the border not"


def test_channels_are_turned_alike_and_changed_apart(tmp_path: Path, write_nifti, noisy) -> None:
    for name in ("t1", "t2"):
        write_nifti(f"set/0_{name}.nii", noisy((30, 30, 30)))
    channels = {name: str(tmp_path / f"set/*_{name}.nii") for name in ("t1", "t2")}

    def drawn(augment: dict[str, float]) -> list[torch.Tensor]:
        spec = DataSpec(channels=channels, patch=8, holdout=0, workers=0, augment=augment)
        own = found(spec).training_crops(seed=0, extent=spec.patch)
        return [own[i]["volume"] for i in range(6)]

    assert all(torch.equal(a, b) for a, b in drawn({"share": 1, **AFFINE}))
    for name in set(ALL) - set(AFFINE):
        alike = sum(torch.equal(a, b) for a, b in drawn({"share": 1, name: ALL[name]}))
        assert alike <= (3 if name == "low_resolution" else 0), name  # few whole sizes


def test_both_volumes_of_a_pair_stay_aligned(tmp_path: Path, write_nifti, noisy) -> None:
    for visit in range(2):
        for name in ("a", "b"):
            write_nifti(f"set/{visit}_{name}.nii", noisy((24, 24, 24), seed=visit))
    options = {"visit_by": "([0-9])_", "holdout": 0, "workers": 0, "patch": (8, 8, 8)}
    spec = DataSpec(volumes=str(tmp_path / "set"), augment={"share": 1, **AFFINE}, **options)
    for batch in islice(batches_of(found(spec), views=Pair()).training(), 4):
        volume = batch.views[0].volume
        assert torch.equal(volume[:, 0], volume[:, 1])
        assert torch.equal(volume[0::2], volume[1::2].roll(1, 1))


def test_views_are_cut_from_the_changed_crop(tmp_path: Path, write_nifti, noisy) -> None:
    """A native crop of a part is what the large crop shows there, at half of the resolution."""
    write_nifti("set/a.nii", noisy((40, 40, 40)))
    spec = DataSpec(
        volumes=str(tmp_path / "set"),
        patch=(8, 8, 8),
        holdout=0,
        workers=0,
        batch_size=1,
        augment={"share": 1, **ALL},
    )
    batches = batches_of(
        found(spec), views=MaskInMask(crops=2, cells=0), masker=Random(ratio=0.5), cell=(2, 2, 2)
    )
    for batch in islice(batches.training(), 4):
        outer, inner = batch.views
        for row in range(len(inner)):
            corner, extent = (2 * inner.parent_box[row]).tolist()
            box = tuple(slice(c, c + e) for c, e in zip(corner, extent, strict=True))
            small = torch.nn.functional.avg_pool3d(inner.volume[row], 2)
            whole = ... if outer.valid is None else outer.valid[0][box]
            large = outer.volume[0][(slice(None), *box)]
            assert torch.allclose(small[0][whole], large[0][whole], atol=1e-5)


def test_held_out_crops_are_never_changed(tmp_path: Path, write_nifti, noisy) -> None:
    for i in range(4):
        write_nifti(f"set/{i}.nii", noisy(seed=i))
    plain, changed = (
        list(
            batches_of(
                found(
                    DataSpec(
                        volumes=str(tmp_path / "set"),
                        patch=(8, 8, 8),
                        workers=0,
                        holdout=0.5,
                        augment=augment,
                    )
                )
            ).held_out()
        )
        for augment in ({}, {"share": 1, **ALL})
    )
    assert same(plain, changed)
    assert len(plain) == 4


def one_changed(name: str, volume: torch.Tensor, *, valid: torch.Tensor, seed: int) -> torch.Tensor:
    spec = CropChanges(share=1, **{name: ALL[name]})
    augment = Augment(spec, patch=tuple(valid.shape))
    random = torch.Generator().manual_seed(seed)
    return augment.intensities(Crop(volume, valid, None), random).volume


@pytest.mark.parametrize("seed", range(5))
def test_each_change_is_the_one_that_is_named(seed: int) -> None:
    random = np.random.default_rng(seed)
    valid = torch.from_numpy(random.random((9, 9, 9)) > 0.2)
    volume = torch.from_numpy(random.random((1, 9, 9, 9)).astype(np.float32)) * valid
    before = volume[:, valid]
    after = {
        name: one_changed(name, volume, valid=valid, seed=seed) for name in set(ALL) - set(AFFINE)
    }
    for changed in after.values():
        assert not changed[:, ~valid].any(), "what is not valid stays 0"
        assert not torch.equal(changed, volume)
    values = {name: changed[:, valid] for name, changed in after.items()}
    shift = values["brightness"] - before
    assert torch.allclose(shift, shift[:, :1].expand_as(shift), atol=1e-5)
    assert float(shift.abs().max()) <= 0.2 * float(before.std()) + 1e-5
    factor = values["contrast"][before > 0.1] / before[before > 0.1]
    assert torch.allclose(factor, factor[:1].expand_as(factor), atol=1e-5)
    assert 0.75 - 1e-5 <= float(factor[0]) <= 1.25 + 1e-5
    low, high = before.min(), before.max()
    unit = (before - low) / (high - low)
    exponent = ((values["gamma"] - low) / (high - low)).log() / unit.log()
    inside = (unit > 0.1) & (unit < 0.9)
    assert float(exponent[inside].std()) < 1e-2
    assert abs(float(exponent[inside].mean().log())) <= 0.41
    assert 0 < float((values["noise"] - before).std()) <= 0.16 * float(before.std())
    assert float(values["low_resolution"].std()) < float(before.std())


def test_invalid_voxels_darken_nothing_at_low_resolution() -> None:
    """Their zeros are no values: a crop of one value keeps it."""
    valid = torch.ones(12, 12, 12, dtype=torch.bool)
    valid[:5], valid[8, 8, 8] = False, False
    volume = valid[None] * 0.7
    for seed in range(10):
        changed = one_changed("low_resolution", volume, valid=valid, seed=seed)
        assert torch.allclose(changed, volume, atol=1e-5)


def test_an_invalid_voxel_stays_so_and_spreads_nothing(tmp_path: Path, write_nifti, noisy) -> None:
    array = noisy((24, 24, 24))
    array[::6, ::5, ::4] = np.nan
    write_nifti("set/a.nii", array)
    spread = {"foreground": {"share": 0}, "normalise": WINDOW}
    for augment in ({"share": 1, **ALL}, {"share": 1, "noise": 0.1, "low_resolution": 2}):
        own, plain = crops(tmp_path, augment=augment, **spread), crops(tmp_path, **spread)
        for i in range(6):
            assert torch.isfinite(own[i]["volume"]).all()
            assert not own[i]["volume"][:, ~own[i]["valid"]].any()
            assert not own[i]["valid"].all()
            if "rotate" not in augment:
                assert torch.equal(own[i]["valid"], plain[i]["valid"])


def test_views_that_leave_crops_as_they_are_refuse_changes(monkeypatch) -> None:
    monkeypatch.setattr(Single, "unchanged", "their paper compares crops by intensity")
    ExperimentSpec(data={"volumes": "x", "patch": 96})
    with pytest.raises(SpecError, match="views 'single' leave crops as they are: their paper"):
        ExperimentSpec(data={"volumes": "x", "patch": 96, "augment": {"noise": 0.1}})
