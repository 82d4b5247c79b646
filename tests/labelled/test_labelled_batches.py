"""Batches: alike with any number of workers and ranks, and after a pause."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from labelled_sets import TISSUE, Write, found, patterns

from ssl3d.data.data_error import BadVolume, DataError, DataWarning
from ssl3d.data.disk import DiskVolume
from ssl3d.data.labelled.augment_spec import AugmentSpec
from ssl3d.data.labelled.batch import LabelledBatch
from ssl3d.data.labelled.batches import LabelledBatches
from ssl3d.data.labelled.crops import LabelledCrops
from ssl3d.data.labelled.resumed import check_unchanged, table_digests
from ssl3d.data.labelled.seen import seen_in_pretraining
from ssl3d.data.labelled.spec import LabelledData
from ssl3d.data.labelled.truth import Targets
from ssl3d.data.listing import Listing
from ssl3d.data.spec import DataSpec
from ssl3d.data.volumes import RunVolumes
from ssl3d.kinds.task import IGNORE
from ssl3d.run.layout import laid_out

FIND = Targets(("find", "other"))


def batches(data: LabelledData, *, truth=TISSUE, **options: object) -> LabelledBatches:
    volumes = found(data, truth=truth, **options)
    return LabelledBatches(volumes, patch=(8, 8, 8), augment=AugmentSpec(share=0.5), seed=3)


def rows(batch: LabelledBatch) -> list[torch.Tensor]:
    """Everything that a step computes with, row by row."""
    valid = torch.ones(batch.volume.shape[2:]) if batch.valid is None else batch.valid
    parts = [batch.volume, valid.expand(len(batch.volume), *batch.volume.shape[2:])]
    parts += [one for one in (batch.labels, batch.targets) if one is not None]
    return [torch.cat([part[i].flatten().float() for part in parts]) for i in range(len(batch))]


def first_rows(loader, number: int) -> list[torch.Tensor]:
    found_rows: list[torch.Tensor] = []
    for batch in loader:
        found_rows += rows(batch)
        if len(found_rows) >= number:
            return found_rows[:number]
    raise AssertionError("the loader ended")


def test_workers_ranks_and_pauses_change_nothing(write_set, tmp_path: Path) -> None:
    write_set(6)
    data = patterns(tmp_path, folds=2)
    expected = first_rows(batches(data).training(), 12)
    in_two = batches(data.model_copy(update={"workers": 2, "batch_size": 3}))
    assert all(map(torch.equal, expected, first_rows(in_two.training(), 12)))
    assert all(map(torch.equal, expected[4:], first_rows(batches(data).training(start=4), 8)))
    ranks = [first_rows(batches(data).training(rank=r, world=2), 6) for r in range(2)]
    assert all(map(torch.equal, expected[0:2] + expected[4:6], ranks[0][:4]))
    assert all(map(torch.equal, expected[2:4] + expected[6:8], ranks[1][:4]))


def test_batches_of_label_maps_are_laid_out_alike(write_set, tmp_path: Path) -> None:
    """With padding and without: one CUDA graph computes them all."""
    write_set(6)
    data = patterns(tmp_path, folds=2)
    volumes = found(data, truth=TISSUE)
    turning = AugmentSpec(share=0.5)
    shown = LabelledBatches(volumes, patch=(8, 8, 8), augment=turning, seed=3).training()
    some = list(islice(shown, 12))
    whole = [bool(batch.valid.all()) for batch in some]
    assert set(whole) == {True, False}, "some batches have padding, and some have none"
    assert len({laid_out(batch)[0] for batch in some}) == 1
    for batch in some:
        assert torch.equal(batch.labels == IGNORE, ~batch.valid)


def test_a_batch_goes_anywhere_whole(write_set, tmp_path: Path) -> None:
    write_set(4)
    batch = next(iter(batches(patterns(tmp_path, folds=2)).training()))
    moved = batch.to("cpu")
    assert len(moved) == 2
    assert all(torch.equal(a, b) for a, b in zip(rows(batch), rows(moved), strict=True))
    assert (moved.samples, moved.sources, moved.counts) == ((0, 1), batch.sources, (1, 1))
    assert moved.spacings == ((1, 1, 1), (1, 1, 1))
    meta = batch.to("meta")
    assert {meta.volume.device.type, meta.labels.device.type} == {"meta"}
    assert meta.targets is None
    assert callable(batch.pin_memory), "torch's loader pins what has such a method"


def test_ragged_bags_and_missing_targets(write: Write, tmp_path: Path) -> None:
    for case in range(4):
        shape = (8, 8, 8 + 8 * (case % 2))
        image = np.random.default_rng(case).normal(size=shape).astype(np.float32)
        write(f"images/00{case}.nii", image)
    (tmp_path / "m.csv").write_text(
        "image,find,other,fold\n000,1,,0\n001,0,1,0\n002,1,1,1\n003,0,0,1\n"
    )
    data = LabelledData(
        images=f"{tmp_path}/images",
        manifest=f"{tmp_path}/m.csv",
        folds=2,
        fold=1,
        workers=0,
        crops=3,
        batch_size=2,
    )
    with pytest.warns(DataWarning, match="'other' is 1 in all 1 of the 2 training cases"):
        batches(data, truth=FIND)
    truth = Targets(("find",))
    made = batches(data, truth=truth)
    batch = next(iter(made.training()))
    assert batch.volume.shape == (6, 1, 8, 8, 8)
    assert batch.counts == (3, 3)
    assert sorted(batch.targets.flatten().tolist()) == [0, 1]
    assert batch.labels is None
    data = LabelledData(**{**data.model_dump(), "fold": 0})
    made = batches(data, truth=FIND)
    fixed = list(made.fixed("testing"))
    assert [one.counts for one in fixed] == [(1,), (2,)]
    assert fixed[0].targets[0, 0] == 1
    assert fixed[0].targets[0, 1].isnan()
    assert [len(list(made.fixed("testing", rank=r, world=2))) for r in range(2)] == [1, 1]
    middle = data.model_copy(update={"evaluation_crops": 2})
    assert [one.counts for one in batches(middle, truth=FIND).fixed("testing")] == [(2,), (2,)]


def test_fixed_crops_of_label_maps_show_labels(write_set, tmp_path: Path) -> None:
    write_set(4)
    made = batches(patterns(tmp_path, folds=2, evaluation_crops=5))
    for batch in made.fixed("testing"):
        assert batch.counts == (5,)
        assert (batch.labels == 1).any()
        assert (batch.labels == 2).any()
    again = list(batches(patterns(tmp_path, folds=2, evaluation_crops=5)).fixed("testing"))
    assert all(
        torch.equal(a.volume, b.volume) for a, b in zip(made.fixed("testing"), again, strict=True)
    )


def test_what_is_on_disk_is_what_was_in_memory(write_set, tmp_path: Path) -> None:
    write_set(4)
    cases = {}
    for memory in (4.0, 0.0, 0.0):
        cache = {"folder": f"{tmp_path}/cache", "memory": memory}
        made = batches(patterns(tmp_path, folds=2, cache=cache))
        case = made.volumes.sides.training[0]
        volume = made.volumes.training_store.volume(case.source)
        cases[memory] = (volume, first_rows(made.training(), 6))
    assert isinstance(cases[0.0][0], DiskVolume)
    assert cases[0.0][0].points.shape[1] == 4
    assert np.array_equal(cases[0.0][0].points, cases[4.0][0].points)
    assert all(map(torch.equal, cases[0.0][1], cases[4.0][1]))


def test_other_labels_are_prepared_anew(write_set, tmp_path: Path) -> None:
    from ssl3d.data.labelled.truth import LabelMap

    write_set(4)
    cache = {"folder": f"{tmp_path}/cache", "memory": 0}
    data = patterns(tmp_path, folds=2, cache=cache)
    swapped = LabelMap((0, 2, 1), TISSUE.names)
    first, second = (
        next(iter(batches(data, truth=t).fixed("testing", whole=True))).labels
        for t in (TISSUE, swapped)
    )
    assert torch.equal(first == 1, second == 2)
    assert (first == 1).any()


def test_cases_that_cannot_be_measured_are_known_before(write_set, write: Write, tmp_path) -> None:
    write_set(6)
    volumes = found(patterns(tmp_path, folds=2, on_bad_file="skip"), choosing=True)
    bad = volumes.sides.testing[0]
    labels = np.full((12, 14, 16), 9, np.uint8)
    write(f"labels/{bad.label.name}", labels)
    volumes.read_fixed()
    assert bad not in volumes.sides.testing
    assert list(volumes.bad_files()) == [bad.name]
    for case in volumes.sides.testing:
        write(f"labels/{case.label.name}", labels)
    again = found(patterns(tmp_path, folds=2, on_bad_file="skip"))
    with pytest.raises(DataError, match="none of the 3 cases for testing can be used"):
        again.read_fixed()
    stopping = found(patterns(tmp_path, folds=2))
    with pytest.raises(BadVolume, match="holds the labels 9"):
        stopping.read_fixed()


def test_a_training_case_that_goes_bad(write_set, tmp_path: Path) -> None:
    write_set(6)
    for policy in ("skip", "stop"):
        volumes = found(patterns(tmp_path, folds=2, on_bad_file=policy))
        bad = volumes.sides.training[0]
        kept = bad.label.read_bytes()
        bad.label.write_bytes(kept[:500])
        crops = LabelledBatches(volumes, patch=(8, 8, 8), augment=AugmentSpec(), seed=0)
        if policy == "skip":
            sources = {name for b in islice(crops.training(), 6) for name in b.sources}
            assert sources == {case.name for case in volumes.sides.training[1:]}
            assert list(volumes.bad_files()) == [bad.name]
        else:
            with pytest.raises(BadVolume, match="ends early"):
                list(islice(crops.training(), 6))
        bad.label.write_bytes(kept)


def test_a_seed_below_zero(write_set, tmp_path: Path) -> None:
    write_set(4)
    volumes = found(patterns(tmp_path, folds=2))
    with pytest.raises(ValueError, match="seed is -1"):
        LabelledCrops(
            volumes.sides.training,
            data=volumes.data,
            patch=(8, 8, 8),
            seed=-1,
            augment=AugmentSpec(),
            store=volumes.training_store,
            policy=volumes.policy,
        )


def test_what_pretraining_has_read_is_known_by_content(write_set, tmp_path: Path) -> None:
    write_set(8)
    other = tmp_path / "before"
    other.mkdir()
    for case in range(4):
        copy = (tmp_path / f"images/00{case}.nii").read_bytes()
        (other / f"anonymous{case}.nii").write_bytes(copy)
    pretraining = RunVolumes(DataSpec(volumes=str(other), holdout=0.25))
    pretraining.find()
    volumes = found(patterns(tmp_path, folds=2))
    cases = [*volumes.sides.training, *volumes.sides.testing]
    seen = seen_in_pretraining(cases, pretraining.listing)
    held = pretraining.held_out_files[0].files[0].stem[-1]
    assert {Path(name).stem[-1] for name in seen.trained} == set("0123") - {held}
    assert [Path(name).stem[-1] for name in seen.held_out] == [held]
    assert seen.unknown == ()
    lines = seen.lines("test cases")
    assert lines[0].startswith("3 test cases that pre-training has trained on, by content: ")
    (other / "anonymous0.nii").unlink()
    seen = seen_in_pretraining(cases, pretraining.listing)
    assert len(seen.unknown) == 5, "the sizes of all are alike"
    assert len(seen.trained) + len(seen.held_out) == 3


def unchanged(before: Listing, now: Listing) -> None:
    check_unchanged(before, now, tables_before={}, tables_now={})


def test_a_run_goes_on_with_the_same_cases(write_set, write: Write, tmp_path: Path) -> None:
    write_set(6)
    before = found(patterns(tmp_path, folds=2)).listing
    before.write(tmp_path / "data.json")
    assert Listing.read(tmp_path / "data.json") == before
    unchanged(before, found(patterns(tmp_path, folds=2)).listing)
    other = found(patterns(tmp_path, folds=2, fold=1)).listing
    with pytest.raises(DataError, match=r"moved: .* is tested on, was learned from"):
        unchanged(before, other)
    write("labels/000.nii", np.ones((12, 14, 16), np.uint8))
    with pytest.raises(DataError, match=r"changed: .*labels/000.nii was written since"):
        unchanged(before, found(patterns(tmp_path, folds=2)).listing)
    (tmp_path / "images/001.nii").rename(tmp_path / "images/009.nii")
    (tmp_path / "labels/001.nii").rename(tmp_path / "labels/009.nii")
    with pytest.raises(DataError, match=r"missing: .*001.nii, which was(.|\n)*added: .*009.nii"):
        unchanged(before, found(patterns(tmp_path, folds=2)).listing)


def test_a_run_goes_on_with_the_same_tables(write_set, tmp_path: Path) -> None:
    write_set(4)
    table = tmp_path / "m.csv"
    table.write_text("image,find\n000,1\n001,0\n002,1\n003,0\n")
    data = LabelledData(images=f"{tmp_path}/images", manifest=str(table), folds=2, workers=0)
    before, listing = table_digests(data), found(data, truth=Targets(("find",))).listing
    assert list(before) == ["manifest"]
    check_unchanged(listing, listing, tables_before=before, tables_now=table_digests(data))
    table.write_text("image,find\n000,0\n001,1\n002,1\n003,0\n")
    with pytest.raises(DataError, match=r"changed: data\.manifest has other content"):
        check_unchanged(listing, listing, tables_before=before, tables_now=table_digests(data))
    table.unlink()
    with pytest.raises(DataError, match=r"data\.manifest: .* cannot be read"):
        table_digests(data)


def test_several_crops_of_a_label_map(write_set, tmp_path: Path) -> None:
    write_set(4)
    batch = next(iter(batches(patterns(tmp_path, folds=2, crops=3)).training()))
    assert batch.counts == (3, 3)
    assert len(batch.labels) == len(batch.volume) == 6


def test_each_side_gives_its_own_cases(write_set, tmp_path: Path) -> None:
    write_set(10)
    volumes = found(patterns(tmp_path, folds=2), choosing=True)
    made = LabelledBatches(volumes, patch=(8, 8, 8), augment=AugmentSpec(), seed=3)
    sides = volumes.sides
    learned = {name for batch in islice(made.training(), 8) for name in batch.sources}
    assert learned == {case.name for case in sides.training}
    for side in ("choosing", "testing"):
        names = [batch.sources[0] for batch in made.fixed(side)]
        assert names == [case.name for case in getattr(sides, side)]
    assert (len(sides.training), len(sides.choosing), len(sides.testing)) == (4, 1, 5)


def test_label_maps_are_resampled_as_labels(write: Write, tmp_path: Path) -> None:
    """Halfway between 0 and 2 is not 1, and what is labelled keeps its volume."""
    affine = np.diag([1.0, 1.0, 4.0, 1.0])
    labels = np.zeros((8, 12, 12), np.uint8)
    labels[2:6, 3:9, 3:9] = 2
    for case in range(4):
        image = np.random.default_rng(case).normal(size=labels.shape).astype(np.float32)
        write(f"images/{case}.nii", image, affine=affine)
        write(f"labels/{case}.nii", labels, affine=affine)
    made = batches(patterns(tmp_path, folds=2, spacing=(1.5, 0.75, 1)))
    for batch in made.fixed("testing", whole=True):
        assert set(batch.labels.unique().tolist()) <= {-1, 0, 2}
        volume = float((batch.labels == 2).sum()) * 1.5 * 0.75
        assert volume == pytest.approx(4 * 4 * 6 * 6, rel=0.15)


def test_several_channels_at_another_spacing(write: Write, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    affine = np.diag([1.0, 1.0, 4.0, 1.0])
    labels = np.zeros((6, 12, 12), np.uint8)
    labels[2:4, 3:9, 3:9] = 2
    for case in range(4):
        for kind in ("t1", "t2"):
            image = rng.normal(size=labels.shape) + labels * (3.0 if kind == "t1" else -3.0)
            write(f"{kind}/{case}.nii", image.astype(np.float32), affine=affine)
        write(f"labels/{case}.nii", labels, affine=affine)
    images = {kind: f"{tmp_path}/{kind}/*.nii" for kind in ("t1", "t2")}
    data = LabelledData(
        images=images,
        labels=f"{tmp_path}/labels/*.nii",
        folds=2,
        workers=0,
        spacing=(2, 1, 1),
        normalise="zscore",
    )
    made = batches(data)
    batch = next(iter(made.fixed("testing", whole=True)))
    assert batch.volume.shape[1] == 2
    assert batch.spacings == ((2, 1, 1),)
    inside = batch.labels[0] == 2
    assert batch.volume[0, 0][inside].mean() > 1
    assert batch.volume[0, 1][inside].mean() < -1
    assert next(iter(made.training())).volume.shape == (2, 2, 8, 8, 8)
