"""`ssl3d prepare` fills a store, says what it did, and verifies it."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from command import Command

SPEC = """
backbone: {name: waveformer, widths: [8, 16], depths: [1, 1], heads: [1, 2]}
data:
  volumes: set
  patch: 16
  workers: 0
  cache: {folder: cache}
trainer: {steps: 2, accelerator: cpu, pictures: 1, loggers: []}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three volumes of whole numbers, one without contrast, and a spec."""
    (tmp_path / "set").mkdir()
    random = np.random.default_rng(0)
    for number in range(3):
        values = random.integers(0, 100, (20, 24, 28)).astype(np.int16)
        values[5:12, 8:14, 9:16] += 500
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / f"set/{number}.nii.gz")
    flat = np.full((20, 20, 20), 3, dtype=np.int16)
    nibabel.save(nibabel.Nifti1Image(flat, np.eye(4)), tmp_path / "set/flat.nii.gz")
    (tmp_path / "spec.yaml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_fill_verify_and_train(ssl3d: Command, folder: Path) -> None:
    done = ssl3d("prepare", "spec.yaml", "--out", "store", "--workers", "2")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "4 volumes to prepare"
    assert lines[1] == "Left out:"
    assert lines[2] == f"  {folder}/set/flat.nii.gz: no contrast: every voxel is 3"
    assert lines[3].startswith("store: 3 volumes, 3 prepared now and 0 before, ")
    assert lines[4] == "3 in 16 bits without rounding, 0 rounded to 16 bits, 0 in 32 bits"
    assert lines[5] == "Runs read it with data.store: store"
    assert "3 before" in ssl3d("prepare", "spec.yaml", "--out", "store").out

    done = ssl3d("prepare", "--verify", "store")
    assert (done.code, done.out) == (
        0,
        "store: 3 volumes, 0 damaged, 0 missing; 0 files that are no volume of it\n",
    )
    # A run from it, without the files, is the run from the files.
    assert ssl3d("pretrain", "spec.yaml", "--out", "files").code == 0
    (folder / "set").rename(folder / "elsewhere")
    shown = ssl3d("pretrain", "spec.yaml", "--set", "data.store=store", "--dry-run")
    assert shown.code == 0, shown.err
    assert "20 to 28 (median 28) × 20 to 24 (median 24) × 20 voxels" in shown.out
    done = ssl3d("pretrain", "spec.yaml", "--set", "data.store=store", "--out", "run")
    assert done.code == 0, done.err
    assert "flat.nii.gz: no contrast" in done.out
    for name in ("data.json", "bad_files.jsonl", "encoder.safetensors"):
        assert (folder / "run" / name).read_bytes() == (folder / "files" / name).read_bytes()
    # What was begun from files may go on from the store.
    more = ("--set", "trainer.steps=3", "--set", "data.store=store", "--resume")
    done = ssl3d("pretrain", "spec.yaml", "--out", "files", *more)
    assert done.code == 0, done.err

    (volume, *_) = (folder / "store/volumes").iterdir()
    volume.write_bytes(volume.read_bytes()[:-1])
    done = ssl3d("prepare", "--verify", "store")
    assert done.code == 1
    assert done.out.startswith(f"damaged: store/volumes/{volume.name}, of {folder}/set/")
    assert "Remove what is damaged and fill the store again: ssl3d prepare SPEC" in done.out


@pytest.mark.usefixtures("folder")
def test_what_a_cut_to_the_foreground_keeps_is_said(ssl3d: Command) -> None:
    cut = ("--set", "data.foreground.margin=2", "--set", "data.store=store")
    done = ssl3d("prepare", "spec.yaml", *cut)
    assert done.code == 0, done.err
    # 11 x 10 x 11 of 20 x 24 x 28 voxels
    assert "Cut to the foreground: 9% of the voxels are kept (9% to 9%)" in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give a spec to prepare, or --verify STORE"),
        (("spec.yaml", "--verify", "store"), "give a spec to prepare, or --verify STORE"),
        (("spec.yaml",), "give the folder of the store"),
        (("--verify", "nowhere"), "nowhere is no store, it has no store.json"),
    ],
)
def test_what_is_missing_is_said(
    ssl3d: Command, folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = ssl3d("prepare", *arguments)
    assert done.code == 2
    assert message in " ".join(done.err.split())
    assert not (folder / "store").exists()
