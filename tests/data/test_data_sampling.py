"""How often volumes are seen: counts against their expectation, and what is said of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from run_batches import found

from ssl3d.data.data_error import DataError, DataWarning
from ssl3d.data.outline import outline
from ssl3d.data.sampling import Draws
from ssl3d.data.spec import DataSpec
from ssl3d.data.volumes import RunVolumes
from ssl3d.streams import Stream, generator
from ssl3d.tasks.pretrain.data_summary import print_data_summary


@pytest.mark.parametrize("count", [1, 2, 7])
def test_even_shares_are_passes_of_a_permutation_each(count: int) -> None:
    """As it was before there were shares: runs of then go on."""
    draws = Draws([1 / count] * count, seed=5)
    for index in range(4 * count):
        order, place = divmod(index, count)
        random = generator(5, Stream.ORDER, order)
        assert draws(index) == torch.randperm(count, generator=random).roll(-place).tolist()


@settings(max_examples=15, deadline=None)
@given(
    weights=st.lists(st.sampled_from([0.0, 0.01, 0.3, 1.0, 1.7, 20.0]), min_size=1, max_size=9),
    seed=st.integers(0, 2**32 - 1),
)
def test_counts_are_those_expected(weights: list[float], seed: int) -> None:
    if not any(weights):
        weights[0] = 1.0
    count, shares = len(weights), np.array(weights) / sum(weights)
    draws = Draws(shares.tolist(), seed=seed)
    passes = 60
    found = [draws(index)[0] for index in range(passes * count)]
    for order in range(passes):
        own = Counter(found[order * count : (order + 1) * count])
        for sample, share in enumerate(shares):
            assert np.floor(share * count - 1e-9) <= own[sample] <= np.ceil(share * count + 1e-9)
    total = Counter(found)
    for sample, share in enumerate(shares):
        assert abs(total[sample] - passes * count * share) < 5
        assert share > 0 or not total[sample]


def test_draws_follow_from_seed_and_number() -> None:
    shares = [0.5, 0.2, 0.2, 0.1]
    one, other, apart = (Draws(shares, seed=seed) for seed in (1, 1, 2))
    forward = [one(i) for i in range(100)]
    assert [other(i) for i in reversed(range(100))][::-1] == forward
    assert [apart(i) for i in range(100)] != forward
    assert all(sorted(draw) == [0, 1, 2, 3] for draw in forward), "who may take whose place"
    assert sorted(Draws([0.5, 0, 0.5], seed=0)(3)) == [0, 2], "but none that is never drawn"


@pytest.fixture
def folder(tmp_path: Path, write_nifti, noisy) -> Path:
    """Three volumes of person a, one of b with eight times the voxels."""
    for name, shape in (("a1", 8), ("a2", 8), ("a3", 8), ("b1", 16)):
        write_nifti(f"set/{name}.nii", noisy((shape,) * 3, seed=shape))
    return tmp_path


def counts(folder: Path, *, crops: int, **options: object) -> dict[str, int]:
    spec = DataSpec(volumes=str(folder / "set"), patch=(4, 8, 8), holdout=0, workers=0, **options)
    own = found(spec).training_crops(seed=0, extent=spec.patch)
    return Counter(Path(own[index]["source"]).stem for index in range(crops))


def test_rules(folder: Path) -> None:
    by = {"group_by": "([ab])[0-9]"}
    assert counts(folder, crops=24) == {"a1": 6, "a2": 6, "a3": 6, "b1": 6}
    assert counts(folder, crops=24, sampling="group", **by) == {"a1": 4, "a2": 4, "a3": 4, "b1": 12}
    # 4 x 8 x 8 has room for 2 patches in a volume of 8 voxels, for 16 in one of 16.
    sizes = counts(folder, crops=88, sampling="size")
    assert all(abs(sizes[name] - 8) <= 2 for name in ("a1", "a2", "a3"))
    assert abs(sizes["b1"] - 64) <= 2
    halves = counts(folder, crops=48, sampling={"file": 1, "group": 1}, **by)
    assert all(abs(halves[name] - 10) <= 2 for name in ("a1", "a2", "a3"))
    assert abs(halves["b1"] - 18) <= 2


def test_modalities_and_weights(folder: Path) -> None:
    by = {"modality_by": "([ab])[0-9]"}
    expected = {"a1": 4, "a2": 4, "a3": 4, "b1": 12}
    assert counts(folder, crops=24, sampling="modality", **by) == expected
    rows = ["image,weight", "set/a1.nii,1", "set/a2.nii,", "set/a3.nii,0.5", "set/b1.nii,2.5"]
    (folder / "m.csv").write_text("\n".join(rows))
    spec = DataSpec(
        manifest=str(folder / "m.csv"), sampling="weight", patch=8, holdout=0, workers=0
    )
    own = found(spec).training_crops(seed=0, extent=spec.patch)
    seen = Counter(Path(own[index]["source"]).stem for index in range(100))
    for name, weight in {"a1": 1, "a2": 1, "a3": 0.5, "b1": 2.5}.items():
        assert abs(seen[name] - 20 * weight) <= 2


def weighted(folder: Path, *weights: float, **options: object) -> RunVolumes:
    """Volumes of a manifest with such weights, one of them held out."""
    names = ("a1", "a2", "a3", "b1")
    rows = [f"set/{name}.nii,{weight}" for name, weight in zip(names, weights, strict=True)]
    (folder / "m.csv").write_text("\n".join(["image,weight", *rows]))
    spec = DataSpec(manifest=str(folder / "m.csv"), patch=8, holdout=0.3, **options)
    return found(spec)


def test_weights_that_change_nothing_are_said(folder: Path, recwarn) -> None:
    with pytest.warns(DataWarning, match=r"the column 'weight' changes nothing, for data.sampling"):
        weighted(folder, 1, 1, 2, 1)
    recwarn.clear()
    weighted(folder, 2, 2, 2, 2)
    weighted(folder, 1, 2, 3, 4, sampling={"file": 1, "weight": 1})
    assert not [one for one in recwarn if "weight" in str(one.message)]


def test_whom_weights_favour_may_be_held_out(folder: Path) -> None:
    """Which one that is hangs on names: no reason to refuse the rule."""
    names = ["a1", "a2", "a3", "b1"]
    (away,) = weighted(folder, 1, 1, 1, 1).held_out_files
    weights = [3 if name == away.files[0].stem else 1 for name in names]
    assert weighted(folder, *weights, sampling="weight").shares == pytest.approx([1 / 3] * 3)
    with pytest.raises(DataError, match=r"'weight' is given, and every volume has the weight 1"):
        weighted(folder, 1, 1, 1, 1, sampling="weight")


def test_what_a_rule_goes_by_must_be_known(folder: Path) -> None:
    with pytest.raises(DataError, match=r"'group' is given, and no volume has a group: say by"):
        counts(folder, crops=1, sampling="group")
    with pytest.raises(DataError, match=r"'modality' is given, and no volume has a modality"):
        counts(folder, crops=1, sampling="modality")
    with pytest.raises(DataError, match=r"'weight' is given, and every volume has the weight 1"):
        counts(folder, crops=1, sampling="weight")
    with pytest.raises(ValueError, match="sampling"):
        DataSpec(volumes="x", sampling="colour")
    with pytest.raises(ValueError, match="sampling"):
        DataSpec(volumes="x", sampling={"file": 0})
    with pytest.raises(ValueError, match="sampling"):
        DataSpec(volumes="x", sampling={})


def test_volumes_that_nobody_names_are_said(folder: Path) -> None:
    rows = ["image,modality", "set/a1.nii,CT", "set/a2.nii,CT", "set/a3.nii,CT", "set/b1.nii,"]
    (folder / "m.csv").write_text("\n".join(rows))
    spec = DataSpec(
        manifest=str(folder / "m.csv"), sampling="modality", patch=8, holdout=0, workers=0
    )
    words = r"'modality' is given, and 1 of 4 volumes have none: .* gets 50% of what goes by it"
    with pytest.warns(DataWarning, match=words):
        found(spec).training_crops(seed=0, extent=spec.patch)


def test_a_dry_run_says_how_often_each_group_is_seen(folder: Path) -> None:
    spec = DataSpec(
        volumes=str(folder / "set"), patch=8, holdout=0, group_by="([ab])[0-9]", sampling="group"
    )
    assert outline(spec).seen == {"group": pytest.approx({"a": 0.5, "b": 0.5})}
    both = spec.model_copy(update={"modality_by": "[ab]([0-9])"})
    shares = {"1": 1 / 6 + 1 / 2, "2": 1 / 6, "3": 1 / 6}
    assert outline(both).seen["modality"] == pytest.approx(shares)
    console = Console(record=True, width=120)
    print_data_summary(spec, console=console)
    assert "a 0.5, b 0.5 of the crops" in console.export_text()
