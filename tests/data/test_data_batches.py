"""The stream of batches: the same for any number of workers and ranks, and resumable."""

from __future__ import annotations

import pickle
from itertools import islice
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning.fabric import Fabric
from run_batches import batches_of, found, same
from torch.utils.data._utils.pin_memory import pin_memory
from toy_levels import ToyViews

from ssl3d.data.batches import Batches
from ssl3d.data.data_error import DataError
from ssl3d.data.spec import DataSpec
from ssl3d.geometry import Triple
from ssl3d.kinds.batch import Batch
from ssl3d.kinds.masker import Masker
from ssl3d_plugins.maskers import MiM, Random
from ssl3d_plugins.views import Nested

RANGES = MiM(global_ratio=(0.3, 0.8), local_ratio=(0.3, 0.7), level_weights=(1.0, 0.5))
VIEWS = {
    "single": {},
    "nested": {"views": Nested(), "masker": RANGES},
    "changed": {"views": Nested(), "masker": RANGES},
    "three levels": None,
}
CHANGED = {
    "augment": {"share": 0.5, "rotate": 20, "scale": 0.2, "gamma": 0.4, "noise": 0.1},
    "sampling": {"file": 1, "size": 1},
}
"""Crops that are changed, of volumes that are seen unequally often."""


@pytest.fixture
def folder(tmp_path: Path, write_nifti, noisy) -> Path:
    for i in range(1, 9):
        write_nifti(f"set/case_{i}.nii.gz", noisy((14, 20, 18 + 2 * i), seed=i))
    return tmp_path


def over(folder: Path, *, seed: int = 0, views: str = "nested", **options: Any) -> Batches:
    """Batches of crops that reach into padding along z."""
    options = {"patch": (16, 16, 16), "workers": 0, "batch_size": 3, **options}
    more = CHANGED if views == "changed" else {}
    volumes = found(DataSpec(volumes=str(folder / "set"), **options, **more))
    if views == "three levels":
        masker = Random(ratio=(0.3, 0.8)).build()
        return Batches(volumes, views=ToyViews(), masker=masker, seed=seed)
    return batches_of(volumes, seed=seed, cell=(4, 4, 4), **VIEWS[views])


def stream(batches: Batches, count: int, **options: int) -> list[Batch]:
    return list(islice(batches.training(**options), count))


def rows(batch: Batch) -> list[list[Any]]:
    """What is of each sample alone, whatever batch it is in."""
    found: list[list[Any]] = [[] for _ in batch.samples]
    for views in batch.views:
        valid = views.valid
        if valid is None:
            valid = torch.ones_like(views.volume[:, 0], dtype=torch.bool)
        parts = (views.volume, valid, views.cells.visible, *views.hidden.levels)
        for i in range(len(views)):
            own = [part[i] for part in parts]
            own.append(views.cells.counts[i])
            if views.parent is not None and views.parent_box is not None:
                own.append(views.parent_box[i])
            found[i // views.level.count].append(own)
    return [
        [number, source, *own]
        for number, source, own in zip(batch.samples, batch.sources, found, strict=True)
    ]


@pytest.mark.parametrize("views", VIEWS)
def test_workers_do_not_change_the_stream(folder: Path, views: str) -> None:
    """Every field arrives bit by bit, and what levels share is shared on arrival."""
    cache = {"memory": 1e-4, "folder": str(folder / "cache")}
    expected = stream(over(folder, views=views), 6)
    assert [batch.samples for batch in expected[:2]] == [(0, 1, 2), (3, 4, 5)]
    assert expected[0].views[0].volume.shape == (3, 1, 16, 16, 16)
    assert expected[0].views[0].valid is not None
    for workers in (1, 2):
        # A cache too small for more than one volume: workers meet on disk.
        got = stream(over(folder, views=views, workers=workers, cache=cache), 6)
        assert same(got, expected)
        for batch in got:
            one, *others = batch.views
            for other in others:
                assert (other.volume is one.volume) == (views in ("nested", "changed"))
                assert (other.valid is one.valid) == (views in ("nested", "changed"))
    assert len(list((folder / "cache").glob("*.b2nd"))) >= 5
    assert not same(stream(over(folder, views=views, seed=1), 6), expected)


def test_pinning_after_two_workers_changes_nothing(folder: Path, monkeypatch) -> None:
    """By the loader's own function, which leaves alone what it does not know."""
    (expected,) = stream(over(folder), 1)
    (batch,) = stream(over(folder, workers=2), 1)
    pinned: list[torch.Tensor] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda x: (pinned.append(x), x.clone())[1])
    after = pin_memory(batch)
    assert isinstance(after, Batch)
    assert after is not batch
    assert same(after, expected)
    one, other = after.views
    assert one.volume is other.volume
    assert one.valid is other.valid
    # volume and valid once; of each level five of cells, hidden and its positions
    assert len(pinned) == 2 + 2 * (5 + 1 + 1)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true"])
def test_fabric_hands_a_batch_on_whole_and_unconverted(folder: Path, precision: str) -> None:
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.got: list[Batch] = []

        def forward(self, batch: Batch) -> Batch:
            self.got.append(batch)
            return batch

    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    (expected,) = stream(over(folder), 1)
    model = Model()
    wrapped = fabric.setup(model)
    loader = fabric.setup_dataloaders(over(folder).training(), use_distributed_sampler=False)
    given = next(iter(loader))
    assert same(given, expected)
    answer = wrapped(given)
    assert same(model.got, [expected])
    assert same(answer, expected)


def test_what_makes_batches_survives_pickling_into_a_spawned_worker(folder: Path) -> None:
    for memory in (0.0, 1.0):
        cache = {"memory": memory, "folder": str(folder / "cache")}
        batches = over(folder, cache=cache)
        loader = batches.training()
        dataset, collate = pickle.loads(pickle.dumps((loader.dataset, loader.collate_fn)))
        again = collate([dataset[i, 0] for i in range(3)])
        assert same(again, stream(batches, 1)[0])


def test_only_what_cuts_crops_takes_the_volumes_along(folder: Path) -> None:
    """A process that is started anew is sent both: what joins samples needs no volume."""
    loader = over(folder).training()
    assert len(pickle.dumps(loader.collate_fn)) < 2000


@pytest.mark.parametrize("views", VIEWS)
def test_a_resumed_stream_goes_on(folder: Path, views: str) -> None:
    whole = stream(over(folder, views=views), 7)
    assert same(stream(over(folder, views=views, workers=2), 3, start=12), whole[4:])


@pytest.mark.parametrize("views", VIEWS)
def test_ranks_make_the_batch_that_one_would(folder: Path, views: str) -> None:
    """Row by row, whatever shares a ratio: two ranks of 2 crops, four of 1, one of 4."""
    expected = stream(over(folder, views=views, batch_size=4), 3)
    for world in (2, 4):
        ranks = [
            stream(over(folder, views=views, batch_size=4 // world), 3, rank=rank, world=world)
            for rank in range(world)
        ]
        for whole, parts in zip(expected, zip(*ranks, strict=True), strict=True):
            assert same([row for part in parts for row in rows(part)], rows(whole))
    # And one that goes on with another number of ranks.
    rank = stream(over(folder, views=views, batch_size=2), 1, start=8, rank=1, world=2)
    assert same(rows(rank[0]), rows(expected[2])[2:])


def test_a_ratio_from_a_range_is_one_for_a_batch(folder: Path) -> None:
    """Crops that are whole show equally many cells; the next batch shows others."""
    volumes = over(folder, views="single", patch=(8, 16, 16)).volumes
    ranged = batches_of(volumes, cell=(4, 4, 4), masker=Random(ratio=(0.2, 0.9)))
    counts = [batch.views[0].cells.counts for batch in stream(ranged, 8)]
    assert all(len(set(own)) == 1 for own in counts)
    assert len({own[0] for own in counts}) > 3


def test_held_out_crops_are_shared_by_ranks(folder: Path) -> None:
    """Each is one rank's, and is what one rank alone would make of it."""
    alone = list(over(folder, holdout=0.4).held_out())
    assert [batch.samples for batch in alone] == [(i,) for i in range(6)]
    assert same(alone, list(over(folder, seed=1, holdout=0.4, batch_size=1).held_out()))
    for world in (2, 4, 7):
        taken = [
            batch
            for rank in range(world)
            for batch in over(folder, holdout=0.4).held_out(rank=rank, world=world)
        ]
        taken.sort(key=lambda batch: batch.samples)
        assert same(taken, alone)


@pytest.mark.parametrize("workers", [0, 1])
def test_views_that_cannot_be_made_name_the_volume(folder: Path, workers: int) -> None:
    class Everything(Masker):
        def __call__(self, grid: Triple, **_: Any) -> tuple[torch.Tensor, ...]:
            return (torch.ones(grid, dtype=torch.bool),)

    batches = over(folder, views="single", workers=workers)
    batches.masker = Everything(Random())
    with pytest.raises(DataError) as caught:
        stream(batches, 1)
    message = str(caught.value)
    assert message.startswith(f"A crop of {folder}/set/case_")
    assert "masker 'random' hides everything: " in message
    assert "Traceback" not in message


class Counting(lightning.LightningModule):
    """Keeps the numbers of the crops that it is trained and validated on."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.trained: list[int] = []
        self.validated: list[int] = []

    def training_step(self, batch: Batch) -> torch.Tensor:
        self.trained += batch.samples
        return (batch.views[0].volume.mean() - self.weight) ** 2

    def validation_step(self, batch: Batch) -> None:
        self.validated += batch.samples

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_lightning_trains_on_the_endless_stream(folder: Path) -> None:
    model, batches = Counting(), over(folder)
    trainer = lightning.Trainer(
        max_steps=5,
        val_check_interval=2,
        check_val_every_n_epoch=None,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
    )
    trainer.fit(model, batches.training(start=6), batches.held_out())
    assert model.trained == list(range(6, 6 + 15))
    assert model.validated == [0, 1] * 2
