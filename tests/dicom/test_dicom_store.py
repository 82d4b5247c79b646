"""A store of DICOM series: patients stay on one side, also where the series are not there."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from phantom import BIRTH, NAME, write_series

from ssl3d.data.spec import DataSpec
from ssl3d.data.stored.fill import fill_store
from ssl3d.data.volumes import RunVolumes


def found(spec: DataSpec) -> RunVolumes:
    volumes = RunVolumes(spec)
    volumes.find()
    return volumes


def test_patients_and_crops_are_those_of_the_series(tmp_path: Path) -> None:
    for number in range(6):
        write_series(tmp_path / f"all/{number}", uid=f"1.2.{number}", patient=f"P{number // 2}")
    spec = DataSpec(volumes=str(tmp_path / "all"), patch=4, holdout=0.4, workers=0)
    from_files = found(spec)
    crops = from_files.training_crops(seed=0, extent=(4, 4, 4))
    expected = [crops[i]["volume"] for i in range(4)]
    fill_store(spec, store=tmp_path / "store")
    shutil.rmtree(tmp_path / "all")
    from_store = found(spec.model_copy(update={"store": str(tmp_path / "store")}))
    assert from_store.listing == from_files.listing
    sides = (from_store.listing.training, from_store.listing.held_out)
    trained, held_out = ({sample.group for sample in side} for side in sides)
    assert trained | held_out == {"P0", "P1", "P2"}
    assert not trained & held_out
    crops = from_store.training_crops(seed=0, extent=(4, 4, 4))
    assert all(torch.equal(crops[i]["volume"], expected[i]) for i in range(4))
    text = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*.json*"))
    assert NAME.encode() not in text
    assert BIRTH.encode() not in text
