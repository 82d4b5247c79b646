"""The volumes that ship with the project."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

from run_batches import batches_of, found

from ssl3d.data.spec import DataSpec
from ssl3d.data.split import group_of

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "data"


def test_they_stay_small_and_name_their_licences() -> None:
    assert sum(p.stat().st_size for p in EXAMPLES.rglob("*") if p.is_file()) < 4_000_000
    text = (EXAMPLES / "README.md").read_text()
    assert "CC-BY-SA 4.0" in text
    assert "BSD-2-Clause" in text


def test_hippocampi_split_by_subject() -> None:
    folder = EXAMPLES / "hippocampus"
    spec = DataSpec(
        volumes=str(folder),
        group_file=str(folder / "subjects.json"),
        patch=(32, 48, 32),
        batch_size=16,
        holdout=0.2,
        holdout_crops=1,
        workers=0,
    )
    volumes = found(spec)
    assert len(volumes.train_files) == 38
    assert len(volumes.held_out_files) == 10
    held = set(group_of(volumes.held_out_files, spec=spec))
    assert held.isdisjoint(group_of(volumes.train_files, spec=spec))
    numbers = {
        int(case[-3:]): s for case, s in json.loads(Path(spec.group_file).read_text()).items()
    }
    assert all(int(subject[-3:]) == (number + 1) // 2 for number, subject in numbers.items())
    batches = batches_of(volumes)
    for batch in [*islice(batches.training(), 5), *batches.held_out()]:
        (views,) = batch.views
        assert views.volume.shape[1:] == (1, 32, 48, 32)
        assert views.valid is None or views.valid.float().mean() > 0.8
        assert views.volume.flatten(1).std(dim=1).min() > 0.05
    assert volumes.bad_files() == {}


def test_the_angiography_is_read() -> None:
    spec = DataSpec(volumes=str(EXAMPLES / "tof_mra"), patch=(48, 48, 48), workers=0)
    volumes = found(spec)
    (views,) = next(iter(batches_of(volumes).training())).views
    assert views.volume.shape == (2, 1, 48, 48, 48)
    assert views.volume.max() > 0.2
