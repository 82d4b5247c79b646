"""Runs by a manifest: with masks and found regions, moved as a whole, and gone on with bitwise."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from rich.console import Console
from run_folders import assert_same_weights, rows_without_time, weights

import ssl3d
from ssl3d import ExperimentSpec
from ssl3d.data import DataError
from ssl3d.data.labelled.preparation import of_encoder
from ssl3d.data.outline import outline
from ssl3d.tasks.encoder import describe_encoder

MakeSpec = Callable[..., ExperimentSpec]


@pytest.fixture
def work(volumes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five volumes of three persons with masks, and their manifest, in `set`."""
    shutil.copytree(volumes, tmp_path / "work" / "set")
    (tmp_path / "work" / "set" / "masks").mkdir()
    rows = ["image,group,modality,valid"]
    for number, path in enumerate(sorted(volumes.glob("*.nii.gz"))):
        shape = nibabel.load(path).shape
        inside = np.zeros(shape, np.uint8)
        inside[3:] = 1
        mask = nibabel.Nifti1Image(inside, np.eye(4))
        nibabel.save(mask, tmp_path / "work" / "set" / "masks" / path.name)
        rows.append(f"{path.name},p{number % 3},MR,masks/{path.name}")
    (tmp_path / "work" / "set" / "data.csv").write_text("\n".join(rows))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def test_a_run_goes_on_where_its_manifest_moved(
    make_spec: MakeSpec, work: Path, tmp_path: Path
) -> None:
    region = {"padding": True, "body": -1000.0}
    data = {"volumes": None, "manifest": "set/data.csv", "holdout": 0.4, "valid_region": region}
    spec = make_spec(data=data)
    found = outline(spec.data)
    assert (found.groups, found.training + found.held_out) == (3, 5)
    out, whole = tmp_path / "run", tmp_path / "whole"
    ssl3d.pretrain(spec, out=out)
    shutil.copytree(out, whole)
    (out / "checkpoints/step-000000006.ckpt").unlink()
    shutil.move(work / "set", work / "new")
    with pytest.raises(DataError, match=r"work/set/data.csv' cannot be read"):
        ssl3d.pretrain(spec, out=out, resume=True)
    console = Console(record=True, width=400)
    moved = spec.with_values({"data.manifest": "new/data.csv"})
    ssl3d.pretrain(moved, out=out, resume=True, console=console)
    assert "5 volumes moved, such as" in console.export_text()
    assert_same_weights(weights(whole, step=6), weights(out, step=6))
    assert rows_without_time(whole) == rows_without_time(out)
    listing = json.loads((out / "data.json").read_text())
    masks = {Path(s["valid"]["path"]).parent for s in listing["training"] + listing["held_out"]}
    assert masks == {work / "new" / "masks"}
    # Fine-tuning finds the same regions.
    how = of_encoder(describe_encoder(out)["input"])
    assert how.valid_region == spec.data.valid_region
