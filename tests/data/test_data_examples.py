"""The volumes that ship with the project."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

from ssl3d.data.module import DataModule

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
    module = DataModule(spec, seed=0)
    module.setup()
    assert len(module.train_files) == 38
    assert len(module.held_out_files) == 10
    held = set(group_of(module.held_out_files, spec=spec))
    assert held.isdisjoint(group_of(module.train_files, spec=spec))
    numbers = {
        int(case[-3:]): s for case, s in json.loads(Path(spec.group_file).read_text()).items()
    }
    assert all(int(subject[-3:]) == (number + 1) // 2 for number, subject in numbers.items())
    for batch in [*islice(module.train_dataloader(), 5), *module.val_dataloader()]:
        assert batch["volume"].shape[1:] == (1, 32, 48, 32)
        assert batch["valid"].float().mean() > 0.8
        assert batch["volume"].flatten(1).std(dim=1).min() > 0.05
    assert module.bad_files() == {}


def test_the_angiography_is_read() -> None:
    spec = DataSpec(volumes=str(EXAMPLES / "tof_mra"), patch=(48, 48, 48), workers=0)
    module = DataModule(spec, seed=0)
    module.setup()
    batch = next(iter(module.train_dataloader()))
    assert batch["volume"].shape == (2, 1, 48, 48, 48)
    assert batch["volume"].max() > 0.2
