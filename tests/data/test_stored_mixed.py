"""A store filled from a manifest: what it says of each sample holds, with the files gone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_batches import found
from test_stored_runs import PATCH, crops_of, filled, same, spec_of

from ssl3d.data.data_error import DataError
from ssl3d.data.spec import DataSpec

AUGMENT = {"share": 1, "rotate": 30, "scale": 0.3, "gamma": 0.4, "noise": 0.1}

ROWS = """t1,t2,group,visit,modality,weight,valid
p0_0.nii,p0_0b.nii,anna,1,MR,1,masks/p0_0.nii
p0_1.nii,,anna,1,MR,5,
p1_2.nii,p1_2b.nii,bert,1,CT,1,
p1_3.nii,p1_3b.nii,bert,1,CT,2,masks/p1_3.nii
,p2_4b.nii,carl,1,MR,3,
p2_5.nii,p2_5b.nii,dora,1,,1,
"""


@pytest.fixture
def folder(tmp_path: Path, write_nifti: Callable[..., Path], noisy: Callable[..., Any]) -> Path:
    for number in range(6):
        for channel in ("", "b"):
            values = noisy((20 + number, 24, 28), seed=number).round()
            values[:, :4] = -7
            name = f"set/p{number // 2}_{number}{channel}.nii"
            write_nifti(name, values, spacing=(2.5, 1.0, 0.5 + number / 10))
        inside = np.zeros(values.shape, np.uint8)
        inside[2:-3, 3:, 5:] = 1
        write_nifti(
            f"set/masks/p{number // 2}_{number}.nii", inside, spacing=(2.5, 1.0, 0.5 + number / 10)
        )
    (tmp_path / "set/table.csv").write_text(ROWS)
    return tmp_path


def mixed(folder: Path, **options: Any) -> DataSpec:
    return spec_of(
        folder,
        **{
            "volumes": None,
            "manifest": str(folder / "set/table.csv"),
            "columns": {"image": ("t1", "t2")},
            "missing_channels": "allow",
            "normalise_by_modality": {
                "CT": {"name": "ct_window", "lower": 80, "upper": 400},
                "MR": "zscore",
            },
            "holdout": 0.3,
            **options,
        },
    )


@pytest.mark.parametrize(
    "options",
    [
        {"sampling": {"group": 1, "weight": 1, "modality": 2}},
        {"sampling": "size"},
        {"augment": AUGMENT},
        {"augment": AUGMENT, "spacing": (2.0, 1.0, 1.0)},
        # Of the sample without its first channel nobody knows the body.
        {"valid_region": {"padding": True, "body": 150}},
        {"valid_region": {"padding": True}, "foreground": {"margin": 1}, "augment": AUGMENT},
        {"spacing": (2.0, 1.0, 1.0), "sampling": {"size": 1, "file": 1}},
    ],
    ids=lambda options: "-".join(options),
)
def test_split_sampling_and_crops_are_those_of_the_files(
    folder: Path, options: dict[str, Any]
) -> None:
    spec = mixed(folder, **options)
    from_files = found(spec)
    expected = crops_of(from_files)
    _, stored = filled(spec, folder, exact=True)
    shutil.move(folder / "set", folder / "elsewhere")
    from_store = found(stored)
    assert from_store.listing == from_files.listing
    assert from_store.shares == from_files.shares
    assert from_store.train_groups == from_files.train_groups
    assert len(from_store.held_out_files) > 0
    ours = crops_of(from_store)
    assert [one["present"].tolist() for one in ours] == [
        one["present"].tolist() for one in expected
    ]
    same(ours, expected)


@pytest.mark.parametrize("sampling", ["file", "size"])
def test_pairs(folder: Path, sampling: str) -> None:
    rows = [f"p{n // 2}_{n}{b}.nii,g{n // 2},{n},M{b or 'a'}" for n in range(6) for b in ("", "b")]
    (folder / "set/table.csv").write_text("\n".join(["image,group,visit,modality", *rows]))
    spec = mixed(
        folder,
        columns={"visit": "visit"},
        missing_channels="refuse",
        normalise_by_modality=None,
        sampling=sampling,
        augment=AUGMENT,
    )
    from_files = found(spec)
    expected = crops_of(from_files)
    assert expected[0]["volume"].shape == (2, *PATCH)
    _, stored = filled(spec, folder, exact=True)
    shutil.move(folder / "set", folder / "elsewhere")
    from_store = found(stored)
    assert from_store.listing == from_files.listing
    assert from_store.shares == from_files.shares
    same(crops_of(from_store), expected)


@pytest.mark.parametrize("name", ["manifest", "group_file", "modality_file"])
def test_a_table_that_was_edited_is_no_table_of_the_store(folder: Path, name: str) -> None:
    """Weights, groups and modalities of before would be taken without a word."""
    table = folder / "set/table.csv"
    if name == "manifest":
        spec = spec_of(folder, volumes=None, manifest=str(table))
        table.write_text("image,weight\np0_0.nii,1\np0_1.nii,2\n")
    else:
        spec = spec_of(folder, volumes=str(folder / "set/p?_?.nii"), **{name: str(table)})
        rows = [f"p{number // 2}_{number},x{number}" for number in range(6)]
        table.write_text("\n".join(["name,group", *rows]))
    _, stored = filled(spec, folder)
    listing = found(stored).listing
    table.write_text(table.read_text() + "\n")
    with pytest.raises(DataError, match=rf"data\.{name}: the table has changed since"):
        found(stored)
    table.unlink()
    assert found(stored).listing == listing, "but it need not be there"
