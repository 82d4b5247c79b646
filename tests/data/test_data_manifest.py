"""Manifests: rows that become samples, what is unclear in them, and runs that go on by them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from run_batches import found

from ssl3d.data.columns import VolumeColumns
from ssl3d.data.data_error import DataError, DataWarning
from ssl3d.data.files import find_sources
from ssl3d.data.labelled.find import find_cases
from ssl3d.data.labelled.spec import LabelledData
from ssl3d.data.labelled.truth import LabelMap
from ssl3d.data.listing import ListedSample, Listing
from ssl3d.data.resumed import Earlier, ResumedSplit
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec
from ssl3d.data.volumes import RunVolumes

TABLE = """image,group,visit,modality,weight,valid,site
set/a.nii.gz,anna,1,CT,2,masks/a.nii.gz,x
set/b.nii.gz,anna,2,,,,x
set/c.nii.gz,bert,1,MR,0.5,,y
"""


@pytest.fixture
def folder(tmp_path: Path, write_nifti, noisy) -> Path:
    for number, name in enumerate("abc"):
        write_nifti(f"set/{name}.nii.gz", noisy((8, 8, 8), seed=number))
        write_nifti(f"masks/{name}.nii.gz", np.ones((8, 8, 8), np.uint8))
    (tmp_path / "data.csv").write_text(TABLE)
    return tmp_path


def sources(folder: Path, text: str, *, name: str = "data.csv", **options: object) -> list[Source]:
    (folder / name).write_text(text)
    return find_sources(DataSpec(manifest=folder / name, **options))  # type: ignore[arg-type]


def sides_of(volumes: RunVolumes) -> tuple[tuple[ListedSample, ...], ...]:
    return volumes.listing.training, volumes.listing.held_out


def as_json(text: str) -> str:
    names, *rows = [line.split(",") for line in text.split()]
    return json.dumps([dict(zip(names, row, strict=True)) for row in rows])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (TABLE, "data.csv"),
        (TABLE.replace(",", "\t"), "data.tsv"),
        (TABLE.replace("image,", "path,"), "data.csv"),
        (as_json(TABLE), "data.json"),
    ],
)
def test_a_row_is_a_sample(folder: Path, text: str, name: str) -> None:
    a, b, c = sources(folder, text, name=name)
    assert [one.files for one in (a, b, c)] == [(folder / f"set/{n}.nii.gz",) for n in "abc"]
    assert [one.modality for one in (a, b, c)] == ["CT", None, "MR"]
    assert [one.group for one in (a, b, c)] == ["anna", "anna", "bert"]
    assert [one.weight for one in (a, b, c)] == [2.0, 1.0, 0.5]
    assert [one.valid for one in (a, b, c)] == [folder / "masks/a.nii.gz", None, None]


def test_a_column_for_each_channel(folder: Path) -> None:
    columns = {"image": ["t1", "t2"], "group": "person"}
    text = "t1,t2,person\nset/a.nii.gz,set/b.nii.gz,1\n"
    (one,) = sources(folder, text, columns=columns)
    assert [file.name for file in one.files] == ["a.nii.gz", "b.nii.gz"]
    spec = DataSpec(manifest="x.csv", columns=columns)
    assert (spec.in_channels, spec.channel_names, one.group) == (2, ("t1", "t2"), "1")
    assert (DataSpec(manifest="x.csv").in_channels, DataSpec(manifest="x").channel_names) == (1, ())
    with pytest.raises(DataError, match=r"has no t2 in line 2"):
        sources(folder, "t1,t2,person\nset/a.nii.gz,,1\n", columns=columns)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows"),
        ("image,group\n", "has no rows"),
        ("file\nset/a.nii.gz\n", r"has the columns \['file'\]: 'image' must name files, or others"),
        ("images\nset/a.nii.gz\n", "has a column 'images' and no 'image': call it 'image' if"),
        ("image,Group\nset/a.nii.gz,x\n", "has a column 'Group' and no 'group'"),
        ("image,modalty\nset/a.nii.gz,x\n", "has a column 'modalty' and no 'modality'"),
        ("image,wieght\nset/a.nii.gz,1\n", "has a column 'wieght' and no 'weight'"),
        ("image,vaild\nset/a.nii.gz,1\n", "has a column 'vaild' and no 'valid'"),
        ("image,visits\nset/a.nii.gz,1\n", "has a column 'visits' and no 'visit'"),
        ("image,group,group\nset/a.nii.gz,1,2\n", "has two columns 'group'"),
        ("image\nset/z.nii.gz\n", r"names '.*set/z.nii.gz' in line 2, which is no file"),
        (
            "image\n\nset/a.nii.gz\nset/../set/a.nii.gz\n",
            "names .* in line 3 .*and in line 4: name",
        ),
        ("image,group\nset/a.nii.gz,1\n,2\n", "has no image in line 3"),
        ("image,group\nset/a.nii.gz,1\nset/b.nii.gz,\n", "has no group in line 3: give one to"),
        ("image,valid\nset/a.nii.gz,masks/z.nii.gz\n", "masks/z.nii.gz' in line 2, which is no"),
        ("image,weight\nset/a.nii.gz,often\n", "gives 'often' as weight in line 2: give a number"),
        ("image,weight\nset/a.nii.gz,0\n", "gives '0' as weight in line 2: give a number above 0"),
        ("image,weight\nset/a.nii.gz,inf\n", "gives 'inf' as weight in line 2"),
        ("image,weight\nset/a.nii.gz,1e308\n", "gives '1e308' as weight in line 2: .*most 1e"),
        ("image\nset\n", "names '.*set' in line 2: .* is no volume"),
        (
            "image\n~no-such-user/a.nii\n",
            "names '.*~no-such-user/a.nii' in line 2, which is no file",
        ),
        (f"image\n{'a' * 300}.nii\n", "names '.*aaa.nii' in line 2, which is no file"),
        (f"image,valid\nset/a.nii.gz,{'a' * 300}\n", "names '.*aaa' in line 2, which is no file"),
    ],
)
def test_what_is_unclear_is_refused(folder: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        sources(folder, text)
    assert "data.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", ["group", "modality"])
def test_what_a_manifest_gives_is_given_there_alone(folder: Path, what: str) -> None:
    option = {f"{what}_by": "([a-c])[.]nii"}
    with pytest.raises(DataError, match=rf"gives a {what} in line 2, and data.{what}_by is given"):
        sources(folder, TABLE, **option)
    (folder / "data.csv").write_text("image\nset/a.nii.gz\nset/b.nii.gz\n")
    volumes = found(DataSpec(manifest=folder / "data.csv", **option))
    every = [*volumes.listing.training, *volumes.listing.held_out]
    assert sorted(getattr(sample, what) for sample in every) == ["a", "b"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"volumes": "b"}, "volumes and manifest are both given: give either"),
        ({"exclude": ("*_seg*",)}, "exclude is for volumes and channels: delete the rows"),
        ({"valid": "*.nii"}, "valid is a column of a manifest"),
        ({"columns": {"image": ["a", "a"]}}, "give each a name of its own"),
        ({"columns": {"visit": "v"}, "visit_by": "(a)"}, "columns.visit and visit_by"),
        ({"columns": {"visit": "v", "image": ["a", "b"]}}, "volumes of a visit are single files"),
    ],
)
def test_options_that_do_not_go_with_a_manifest(options, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DataSpec(manifest="a.csv", **options)
    with pytest.raises(ValidationError, match="columns names those of a manifest, and none is"):
        DataSpec(volumes="a", columns={"image": "b"})


def test_a_person_is_on_one_side(folder: Path) -> None:
    volumes = found(DataSpec(manifest=folder / "data.csv", holdout=0.5))
    sides = [{sample.group for sample in side} for side in sides_of(volumes)]
    assert sorted(map(sorted, sides)) == [["anna"], ["bert"]]


def test_visits_of_several_persons_may_be_called_alike(folder: Path, write_nifti, noisy) -> None:
    """Every two volumes of a visit are a sample; anna's first is not bert's first."""
    rows = ["image,group,visit"]
    for person in ("anna", "bert"):
        for visit in (1, 2):
            for name in ("t1", "t2"):
                path = write_nifti(f"more/{person}{visit}{name}.nii.gz", noisy((8, 8, 8)))
                rows.append(f"{path},{person},{visit}")
    (folder / "data.csv").write_text("\n".join(rows))
    spec = DataSpec(manifest=folder / "data.csv", columns={"visit": "visit"}, holdout=0.5)
    assert spec.pairs
    volumes = found(spec)
    pairs = [[f.name[:5] for f in one.files] for one in volumes.train_files]
    assert sorted(pairs + [[f.name[:5] for f in s.files] for s in volumes.held_out_files]) == [
        [f"{person}{visit}"] * 2 for person in ("anna", "bert") for visit in (1, 2)
    ]
    assert [len({one.group for one in side}) for side in sides_of(volumes)] == [1, 1]
    (folder / "data.csv").write_text("\n".join([*rows[:2], rows[2][:-1]]))
    with pytest.raises(DataError, match="has no visit in line 3: give one to every row"):
        found(spec)


def test_visits_without_groups_are_said(folder: Path, recwarn) -> None:
    """Three persons whose first visits are called alike make three pairs."""
    rows = [f"set/{name}.nii.gz,p{name},ses-1" for name in "abc"]
    (folder / "data.csv").write_text("\n".join(["image,person,visit", *rows]))
    spec = DataSpec(manifest=folder / "data.csv", columns={"visit": "visit"}, holdout=0)
    with pytest.warns(DataWarning, match=r"no volume has a group, so those of one visit count as"):
        assert len(found(spec).train_files) == 3
    recwarn.clear()
    with pytest.raises(DataError, match=r"none of 3 volumes has a partner"):
        found(spec.model_copy(update={"columns": VolumeColumns(visit="visit", group="person")}))
    with pytest.raises(DataError, match=r"none of 3 volumes has a partner"):
        found(spec.model_copy(update={"group_by": "([abc])[.]nii"}))
    assert not [one for one in recwarn if "no volume has a group" in str(one.message)]


def resumed(spec: DataSpec, before: Listing, **how: object) -> ResumedSplit:
    volumes = found(spec, earlier=Earlier(before, **how))  # type: ignore[arg-type]
    assert volumes.resumed is not None
    return volumes.resumed


def test_a_run_goes_on_where_the_set_moved_as_a_whole(folder: Path) -> None:
    volumes = found(DataSpec(manifest=folder / "data.csv", holdout=0.5))
    volumes.listing.write(folder / "data.json")
    before = Listing.read(folder / "data.json")
    assert before == volumes.listing
    new = folder / "elsewhere"
    for name in ("set", "masks", "data.csv"):
        new.mkdir(exist_ok=True)
        shutil.move(folder / name, new / name)
    moves = ((str(folder), str(new)),)
    after = resumed(DataSpec(manifest=new / "data.csv", holdout=0.5), before, moves=moves)
    assert after.changes == ""
    assert len(after.moved) == 3
    for held_out, side in ((False, before.training), (True, before.held_out)):
        names = [Path(sample.paths[0]).name for sample in side]
        assert [one.files[0].name for one in after.side(held_out=held_out)] == names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("anna,2", "carl,2"), "is of group 'carl', was of 'anna'"),
        (("CT", "MR"), "a.nii.gz has the modality 'MR', had 'CT'"),
        (("0.5", "1"), "c.nii.gz has the weight 1.0, had 0.5"),
        ((",masks/a.nii.gz", ","), "has no mask of valid voxels, had the mask .*masks/a.nii.gz"),
        (("masks/a.nii.gz", "masks/b.nii.gz"), "renamed .*masks/a.nii.gz to .*masks/b.nii.gz"),
        (("set/c.nii.gz,bert,1,MR,0.5,,y\n", ""), r"not usable now \(.*\): .*set/c.nii.gz"),
    ],
)
def test_a_run_that_goes_on_says_what_another_manifest_changes(
    folder: Path, change: tuple[str, str], message: str
) -> None:
    spec = DataSpec(manifest=folder / "data.csv", holdout=0)
    before = found(spec).listing
    assert TABLE.count(change[0]) == 1
    (folder / "data.csv").write_text(TABLE.replace(*change))
    with pytest.raises(DataError, match=message):
        resumed(spec, before)
    resumed(spec, before, accept_changes=True)


def test_a_list_of_before_modalities_were_listed_is_read(folder: Path) -> None:
    spec = DataSpec(manifest=folder / "data.csv", holdout=0)
    found(spec).listing.write(folder / "data.json")
    content = json.loads((folder / "data.json").read_text())
    for sample in content["training"]:
        del sample["modality"], sample["weight"], sample["valid"]
    (folder / "data.json").write_text(json.dumps(content))
    (folder / "data.csv").write_text(TABLE.replace("masks/a.nii.gz", ""))
    assert resumed(spec, Listing.read(folder / "data.json")).changes == ""


def test_the_same_file_serves_pre_training_and_fine_tuning(folder: Path) -> None:
    text = (
        "image,label,group,visit,modality,sequence,valid\n"
        "set/a.nii.gz,masks/a.nii.gz,anna,1,CT,,masks/b.nii.gz\n"
        "set/b.nii.gz,masks/b.nii.gz,bert,1,,,\n"
    )
    plain = sources(folder, text)
    data = LabelledData(manifest=folder / "data.csv")
    cases, _ = find_cases(data, truth=LabelMap(names=("outside", "tissue"), values=(0, 1)))
    assert [case.image for case in cases] == plain
    assert [case.group for case in cases] == [one.group for one in plain] == ["anna", "bert"]
    assert cases[0].source.files[1:] == (folder / "masks/a.nii.gz",)
    assert (cases[0].source.modality, cases[0].source.valid) == ("CT", plain[0].valid)


def test_a_name_that_no_file_can_have_is_refused_in_a_list_as_well(folder: Path) -> None:
    for options in (
        {"channels": {"t1": ("a" * 300,)}},
        {"volumes": (str(folder / "set/a.nii.gz"),), "valid": ("a" * 300,)},
    ):
        with pytest.raises(DataError, match=r"'aaa.*' cannot be read: File name too long"):
            find_sources(DataSpec(**options))


def test_masks_by_pattern(folder: Path) -> None:
    where, masks = f"{folder}/set/*.nii.gz", f"{folder}/masks/*.nii.gz"
    one, *_ = find_sources(DataSpec(volumes=where, valid=masks))
    assert (one.files, one.valid) == ((folder / "set/a.nii.gz",), folder / "masks/a.nii.gz")
    two, *_ = find_sources(DataSpec(channels={"x": where, "y": where}, valid=masks))
    assert two.valid == one.valid
    assert len(two.files) == 2
    (folder / "masks/b.nii.gz").unlink()
    with pytest.raises(DataError, match="data: 1 samples have not every channel: b lacks valid"):
        find_sources(DataSpec(volumes=where, valid=masks))
    with pytest.raises(ValidationError, match="stars"):
        DataSpec(volumes=str(folder), valid=masks)


def test_volumes_of_a_visit_share_their_mask(folder: Path) -> None:
    rows = "image,visit,valid\nset/a.nii.gz,1,masks/a.nii.gz\nset/b.nii.gz,1,masks/{}.nii.gz\n"
    spec = DataSpec(manifest=folder / "data.csv", columns={"visit": "visit"}, holdout=0)
    (folder / "data.csv").write_text(rows.format("a"))
    (pair,) = found(spec).train_files
    assert (len(pair.files), pair.valid) == (2, folder / "masks/a.nii.gz")
    (folder / "data.csv").write_text(rows.format("b"))
    with pytest.raises(DataError, match=r"a.nii.gz and .*b.nii.gz are of one visit and have"):
        found(spec)
