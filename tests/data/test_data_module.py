"""The stream of batches: the same for any number of workers, resumable, known to Lightning."""

from __future__ import annotations

import json
import logging
import pickle
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import lightning
import numpy as np
import pytest
import torch
from ssl3d.data.module import DataModule

from ssl3d.data.data_error import BadVolume
from ssl3d.data.spec import DataSpec


@pytest.fixture
def folder(tmp_path: Path, write_nifti, noisy) -> Path:
    for i in range(1, 9):
        write_nifti(f"set/case_{i}.nii.gz", noisy(seed=i))
    return tmp_path


def module_over(folder: Path, *, seed: int = 0, start: int = 0, **options) -> DataModule:
    options = {"patch": (8, 8, 8), "workers": 0, "batch_size": 3, **options}
    spec = DataSpec(volumes=str(folder / "set"), **options)
    module = DataModule(spec, seed=seed, start_sample=start)
    module.prepare_data()
    module.setup()
    return module


def stream(module: DataModule, count: int) -> list[dict]:
    return list(islice(module.train_dataloader(), count))


def same(first: list[dict], second: list[dict]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a["volume"], b["volume"])
        and torch.equal(a["valid"], b["valid"])
        and torch.equal(torch.as_tensor(a["index"]), torch.as_tensor(b["index"]))
        and a["source"] == b["source"]
        for a, b in zip(first, second, strict=True)
    )


def test_workers_do_not_change_the_stream(folder: Path) -> None:
    cache = {"memory": 1e-4, "folder": str(folder / "cache")}
    expected = stream(module_over(folder), 8)
    assert expected[0]["volume"].shape == (3, 1, 8, 8, 8)
    assert expected[0]["valid"].shape == (3, 8, 8, 8)
    assert [batch["index"].tolist() for batch in expected[:2]] == [[0, 1, 2], [3, 4, 5]]
    for workers in (1, 2):
        # A cache too small for more than one volume: workers meet on disk.
        assert same(stream(module_over(folder, workers=workers, cache=cache), 8), expected)
    assert len(list((folder / "cache").glob("*.b2nd"))) >= 5
    assert not same(stream(module_over(folder, seed=1), 8), expected)


def test_the_dataset_survives_pickling_into_a_spawned_worker(folder: Path) -> None:
    for memory in (0.0, 1.0):
        cache = {"memory": memory, "folder": str(folder / "cache")}
        dataset = module_over(folder, cache=cache).train_dataloader().dataset
        expected = [dataset[i] for i in range(4)]
        again = pickle.loads(pickle.dumps(dataset))
        assert same([again[i] for i in range(4)], expected)


def test_a_resumed_stream_goes_on(folder: Path) -> None:
    whole = stream(module_over(folder), 7)
    assert same(stream(module_over(folder, start=12, workers=2), 3), whole[4:])


def test_split_by_a_mapping_keeps_subjects_whole(folder: Path, tmp_path: Path) -> None:
    mapping = {f"case_{i}": f"subject {(i + 1) // 2}" for i in range(1, 9)}
    (tmp_path / "groups.json").write_text(json.dumps(mapping))
    module = module_over(folder, holdout=0.3, group_file=tmp_path / "groups.json")
    train = {int(s.files[0].name[5]) for s in module.train_files}
    held = {int(s.files[0].name[5]) for s in module.held_out_files}
    assert len(held) == 2
    assert train | held == set(range(1, 9))
    assert {(i + 1) // 2 for i in held}.isdisjoint((i + 1) // 2 for i in train)
    seen = {Path(name).name for batch in stream(module, 10) for name in batch["source"]}
    assert seen == {f"case_{i}.nii.gz" for i in train}
    held_batches = list(module.val_dataloader())
    assert sum(len(batch["source"]) for batch in held_batches) == 4
    assert {Path(n).name for b in held_batches for n in b["source"]} == {
        f"case_{i}.nii.gz" for i in held
    }
    assert same(held_batches, list(module.val_dataloader()))


def test_one_group_holds_nothing_out_and_says_so(
    tmp_path: Path, write_nifti, noisy, caplog
) -> None:
    write_nifti("set/a.nii", noisy())
    with caplog.at_level(logging.WARNING):
        module = module_over(tmp_path)
    assert "Nothing is held out" in caplog.text
    assert len(module.train_files) == 1
    assert module.held_out_files == []
    assert list(module.val_dataloader()) == []
    assert len(stream(module, 2)) == 2


def test_channels_are_stacked(tmp_path: Path, write_nifti, noisy) -> None:
    for i in range(2):
        write_nifti(f"set/{i}_t1.nii", noisy(seed=i))
        write_nifti(f"set/{i}_t2.nii", 1000 - noisy(seed=i))
    channels = {name: str(tmp_path / f"set/*_{name}.nii") for name in ("t1", "t2")}
    how = {"name": "percentile", "lower": 0, "upper": 100}
    spec = DataSpec(channels=channels, patch=(8, 8, 8), workers=0, holdout=0, normalise=how)
    module = DataModule(spec, seed=0)
    module.setup()
    (batch,) = stream(module, 1)
    assert batch["volume"].shape == (2, spec.in_channels, 8, 8, 8)
    assert torch.allclose(batch["volume"][:, 0], 1 - batch["volume"][:, 1], atol=1e-5)


def test_held_out_volumes_are_read_when_asked(folder: Path, write_nifti, caplog) -> None:
    """One that cannot be used is left out, by name; its header had nothing wrong."""
    held = module_over(folder, holdout=0.4).held_out_files
    bad = held[1].files[0]
    write_nifti(str(bad.relative_to(folder)), np.ones((9, 9, 9), np.float32))
    module = module_over(folder, holdout=0.4)
    assert module.held_out_files == held
    module.read_held_out()
    assert module.held_out_files == [held[0], *held[2:]]
    assert list(module.bad_files()) == [held[1].name]
    sources = [name for batch in module.val_dataloader() for name in batch["source"]]
    assert sources == [source.name for source in (held[0], *held[2:]) for _ in range(2)]
    with pytest.raises(BadVolume, match="no contrast"):
        module_over(folder, holdout=0.4, on_bad_file="stop").read_held_out()
    for source in held:
        write_nifti(str(source.files[0].relative_to(folder)), np.ones((9, 9, 9), np.float32))
    none = module_over(folder, holdout=0.4)
    with caplog.at_level(logging.WARNING):
        assert list(none.val_dataloader()) == []
    assert "none of the held-out volumes can be used" in caplog.text


class Counting(lightning.LightningModule):
    """Keeps the indices that it is trained and validated on."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.trained: list[int] = []
        self.validated: list[int] = []

    def training_step(self, batch: dict) -> torch.Tensor:
        self.trained += batch["index"].tolist()
        return (batch["volume"].mean() - self.weight) ** 2

    def validation_step(self, batch: dict) -> None:
        self.validated += batch["index"].tolist()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_lightning_trains_on_the_endless_stream(folder: Path) -> None:
    model = Counting()
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
    trainer.fit(model, datamodule=module_over(folder, start=6))
    assert model.trained == list(range(6, 6 + 15))
    assert model.validated == [0, 1] * 2


def test_ranks_share_training_and_held_out_crops(folder: Path) -> None:
    alone = module_over(folder, batch_size=4, holdout=0.4)
    expected = stream(alone, 3)
    ranks = []
    for rank in range(2):
        module = module_over(folder, batch_size=2, holdout=0.4)
        module.trainer = SimpleNamespace(global_rank=rank, world_size=2)  # type: ignore[assignment]
        ranks.append((stream(module, 3), list(module.val_dataloader())))
    for step, batch in enumerate(expected):
        together = torch.cat([train[step]["volume"] for train, _ in ranks])
        assert torch.equal(together, batch["volume"])
    taken = [i for _, held in ranks for batch in held for i in batch["index"].tolist()]
    assert sorted(taken) == list(range(len(alone.held_out_dataset()))) == list(range(6))
