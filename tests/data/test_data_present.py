"""Samples that lack channels: let in where that is asked for, and counted in nothing there."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from run_batches import batches_of, found

from ssl3d.data.data_error import DataError, DataWarning
from ssl3d.data.outline import outline
from ssl3d.data.spec import DataSpec
from ssl3d_plugins.maskers import MiM
from ssl3d_plugins.views import MaskInMask, Nested

NAMES = ("t1", "t2", "t3")


@pytest.fixture
def folder(tmp_path: Path, write_nifti, noisy) -> Path:
    """0 and 1 have all channels, 2 lacks the second, 3 has only the third."""
    for case in range(4):
        for i, name in enumerate(NAMES):
            if (case, name) not in {(2, "t2"), (3, "t1"), (3, "t2")}:
                write_nifti(f"set/{case}_{name}.nii", noisy((20, 20, 20), seed=9 * case + i))
    return tmp_path


def spec_of(folder: Path, **options: Any) -> DataSpec:
    channels = {name: str(folder / f"set/*_{name}.nii") for name in NAMES}
    options = {"patch": 8, "workers": 0, "holdout": 0, "missing_channels": "allow", **options}
    return DataSpec(channels=channels, **options)


def by_case(folder: Path, **options: Any) -> dict[str, dict[str, Any]]:
    spec = spec_of(folder, **options)
    with pytest.warns(DataWarning, match=r"of 4 samples 1 lack t1, 2 lack t2: what is absent"):
        crops = found(spec).training_crops(seed=0, extent=spec.patch)
    return {Path(crops[i]["source"]).name[0]: crops[i] for i in range(4)}


def test_they_are_refused_unless_allowed(folder: Path) -> None:
    with pytest.raises(DataError, match=r"2 samples have not every channel: 2 lacks t2; 3 lacks"):
        found(spec_of(folder, missing_channels="refuse"))
    with pytest.raises(ValueError, match="'allow', and there is one channel"):
        DataSpec(volumes="x", missing_channels="allow")


@pytest.mark.parametrize("augment", [{}, {"share": 1, "rotate": 20, "brightness": 0.2, "noise": 1}])
def test_an_absent_channel_is_zero_and_said(folder: Path, augment: dict[str, float]) -> None:
    crops = by_case(folder, augment=augment)
    expected = {"0": [1, 1, 1], "1": [1, 1, 1], "2": [1, 0, 1], "3": [0, 0, 1]}
    for case, crop in crops.items():
        assert crop["present"].tolist() == expected[case]
        assert crop["volume"].shape == (3, 8, 8, 8)
        there = crop["volume"].flatten(1).any(1)
        assert there.tolist() == expected[case]
        assert crop["valid"].any()


def test_what_is_there_is_as_without_the_others(folder: Path) -> None:
    """A sample of one channel is prepared and cut as if the set had no other."""
    crops = by_case(folder, cache={"memory": 0, "folder": str(folder / "cache")})
    alone = DataSpec(volumes=str(folder / "set/3_t3.nii"), patch=8, workers=0, holdout=0)
    own = found(alone).training_crops(seed=0, extent=alone.patch)
    same = own[crops["3"]["index"]]
    assert torch.equal(crops["3"]["volume"][2], same["volume"][0])
    assert torch.equal(crops["3"]["valid"], same["valid"])


def test_every_row_of_a_batch_knows_what_it_lacks(folder: Path) -> None:
    spec = spec_of(folder, batch_size=4)
    with pytest.warns(DataWarning):
        volumes = found(spec)
    for views, masker in ((Nested(), MiM()), (MaskInMask(crops=2, cells=2), None)):
        batches = batches_of(volumes, views=views, masker=masker, cell=(2, 2, 2))
        (batch,) = islice(batches.training(), 1)
        for level in batch.views:
            assert level.present.shape == (len(level), 3)
            there = level.volume.flatten(2).any(2)
            shown = level.volume.flatten(1).any(1)
            assert torch.equal(there[shown], level.present[shown])
        moved = batch.to("cpu")
        assert torch.equal(moved.views[0].present, batch.views[0].present)
    whole = spec_of(folder)
    whole = whole.model_copy(update={"channels": {"t3": whole.channels["t3"]}})
    (batch,) = islice(batches_of(found(whole)).training(), 1)
    assert batch.views[0].present is None


def test_a_dry_run_counts_them(folder: Path) -> None:
    with pytest.warns(DataWarning):
        assert outline(spec_of(folder)).lacking == 2


def test_a_manifest_leaves_cells_empty(folder: Path) -> None:
    rows = [["t1", "t2", "t3"]]
    for case in range(4):
        paths = [Path(f"set/{case}_{name}.nii") for name in NAMES]
        rows.append([str(p) if (folder / p).exists() else "" for p in paths])
    manifest = folder / "data.csv"
    manifest.write_text("\n".join(map(",".join, rows)))
    options = {"columns": {"image": NAMES}, "patch": 8, "workers": 0, "holdout": 0}
    with pytest.raises(DataError, match="has no t2 in line 4"):
        found(DataSpec(manifest=str(manifest), **options))
    spec = DataSpec(manifest=str(manifest), missing_channels="allow", **options)
    with pytest.warns(DataWarning, match="1 lack t1, 2 lack t2"):
        volumes = found(spec)
    assert sorted(source.lacking for source in volumes.train_files) == [(), (), (0, 1), (1,)]
    manifest.write_text(
        "\n".join(",".join([r[0], "", r[2]]) if i else "t1,t2,t3" for i, r in enumerate(rows[:4]))
    )
    with pytest.raises(DataError, match="no sample has the channel t2"):
        found(spec)
    manifest.write_text("t1,t2,t3\n,,\n")
    with pytest.raises(DataError, match="has no"):
        found(spec)


def test_masks_go_with_whatever_is_there(folder: Path, write_nifti) -> None:
    mask = np.ones((20, 20, 20), np.uint8)
    for case in range(4):
        write_nifti(f"set/{case}_mask.nii", mask)
    spec = spec_of(folder, valid=str(folder / "set/*_mask.nii"))
    with pytest.warns(DataWarning):
        sources = found(spec).train_files
    assert [(len(s.files), s.lacking, s.valid.name) for s in sources] == [
        (3, (), "0_mask.nii"),
        (3, (), "1_mask.nii"),
        (2, (1,), "2_mask.nii"),
        (1, (0, 1), "3_mask.nii"),
    ]
    write_nifti("set/4_mask.nii", mask)
    with pytest.raises(DataError, match="1 samples have not every channel: 4 lacks"):
        found(spec)
