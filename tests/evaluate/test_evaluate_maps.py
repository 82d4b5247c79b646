"""Predicted label maps against true ones."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from ssl3d.data.data_error import DataError
from ssl3d.tasks.evaluate.maps import evaluate_maps

LEGEND = {"background": 0, "liver": 1, "lesion": 5}
SHAPE = (10, 9, 8)


def random_labels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).choice([0, 0, 1, 5], size=SHAPE).astype(np.uint8)


def naive_dice(guess: np.ndarray, truth: np.ndarray) -> float:
    """Counted voxel by voxel."""
    both = sum(1 for g, t in zip(guess.flat, truth.flat, strict=True) if g and t)
    return 2 * both / (int(guess.sum()) + int(truth.sum()))


TURNED = np.diag([-1.0, -2.0, 3.0, 1.0])


@pytest.fixture
def folders(tmp_path: Path, write):
    """Predictions as `predict` leaves them, and labels; the third case turned to LPS."""
    for case in range(3):
        affine = TURNED if case == 2 else None
        write(f"out/p{case}.nii.gz", random_labels(case), affine=affine)
        (tmp_path / f"out/p{case}.labels.json").write_text(json.dumps(LEGEND))
        write(f"truth/p{case}.nii", random_labels(10 + case), affine=affine)
    return tmp_path


def read_csv(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_two_folders(folders: Path, command) -> None:
    code, out, err = command("evaluate", "out", "truth", "--out", "scores")
    assert (code, err) == (0, "")
    assert "dice/lesion" in out
    wanted = {}
    for case in range(3):
        guess, truth = random_labels(case), random_labels(10 + case)
        each = [naive_dice(guess == value, truth == value) for value in (1, 5)]
        wanted[f"out/p{case}.nii.gz"] = (*each, sum(each) / 2)
    rows = read_csv(folders / "scores/cases.csv")
    assert [row["case"] for row in rows] == sorted(wanted, key=lambda name: wanted[name][2])
    for row in rows:
        found = [float(row[name]) for name in ("dice/liver", "dice/lesion", "dice")]
        assert found == pytest.approx(wanted[row["case"]])
    numbers = {row["number"]: row for row in read_csv(folders / "scores/metrics.csv")}
    mean = np.mean([case[2] for case in wanted.values()])
    assert float(numbers["dice"]["value"]) == pytest.approx(mean)
    assert float(numbers["dice"]["low"]) <= mean <= float(numbers["dice"]["high"])
    summary = json.loads((folders / "scores/summary.json").read_text())
    assert summary["labels"] == {"liver": 1, "lesion": 5}
    assert summary["cases"] == 3


def test_patterns_files_and_a_table_say_the_same(folders: Path, quiet) -> None:
    by_folder = evaluate_maps(folders / "out", folders / "truth", console=quiet)
    by_stars = evaluate_maps(folders / "out/p*.nii.gz", folders / "truth/p*.nii", console=quiet)
    assert by_stars.numbers == by_folder.numbers
    lines = [f"out/p{case}.nii.gz,truth/p{case}.nii,{case // 2}" for case in range(3)]
    (folders / "pairs.csv").write_text("\n".join(["prediction,label,group", *lines]))
    by_table = evaluate_maps(folders / "pairs.csv", console=quiet)
    assert by_table.numbers == by_folder.numbers
    assert by_table.intervals != by_folder.intervals  # two persons, not three
    expression = r"p(\d)"
    alone = evaluate_maps(folders / "out", folders / "truth", group_by=expression, console=quiet)
    assert alone.intervals == by_folder.intervals
    one = evaluate_maps(folders / "out/p1.nii.gz", folders / "truth/p1.nii", console=quiet)
    assert one.numbers["dice"] == by_folder.rows[str(folders / "out/p1.nii.gz")]["dice"]


def test_groups_of_a_table_are_for_all_rows_or_none(folders: Path, quiet) -> None:
    lines = [f"out/p{case}.nii.gz,truth/p{case}.nii" for case in range(3)]

    def table(head: str, groups: tuple[str, ...]) -> Path:
        rows = [f"{line},{group}" for line, group in zip(lines, groups, strict=True)]
        (folders / "pairs.csv").write_text("\n".join([f"prediction,label,{head}", *rows]))
        return folders / "pairs.csv"

    alone = evaluate_maps(folders / "out", folders / "truth", console=quiet)
    nobody = evaluate_maps(table("group", ("", "", "")), console=quiet)
    assert nobody.intervals == alone.intervals
    with pytest.raises(DataError, match="has no group in line 3, line 4: give one to every row"):
        evaluate_maps(table("group", ("a", "", "")), console=quiet)
    with pytest.raises(DataError, match="has a column 'Groups' and no 'group': call it 'group'"):
        evaluate_maps(table("Groups", ("a", "a", "b")), console=quiet)


@pytest.mark.parametrize("name", ["cases.csv", "metrics.csv", "summary.json"])
def test_tables_of_others_are_not_written_over(folders: Path, command, name: str) -> None:
    lines = [f"case{case},out/p{case}.nii.gz,truth/p{case}.nii" for case in range(3)]
    text = "\n".join(["case,prediction,label", *lines])
    if name.endswith("json"):
        rows = [line.split(",") for line in lines]
        text = json.dumps([{"prediction": guess, "label": truth} for _, guess, truth in rows])
    (folders / name).write_text(text)
    (folders / "scores").mkdir()
    (folders / "scores" / name).write_text("subject,case,number,value,low,high\n")
    for out in (".", "scores"):
        before = (folders / out / name).read_text()
        code, _, err = command("evaluate", name, "--out", out)
        assert (code, f"holds {name} of something else" in err) == (2, True), err
        assert (folders / out / name).read_text() == before
    # Results of before are its own.
    for _ in range(2):
        assert command("evaluate", name, "--out", "again")[0] == 0


def test_a_prediction_in_another_orientation_is_compared_in_its_place(
    tmp_path: Path, write, quiet
) -> None:
    labels = random_labels(0)
    write("a.nii", labels)
    affine = np.diag([-1.0, 2.0, 3.0, 1.0])
    affine[0, 3] = SHAPE[0] - 1
    write("b.nii", labels[::-1], affine=affine)
    found = evaluate_maps(tmp_path / "b.nii", tmp_path / "a.nii", console=quiet)
    assert found.numbers["dice"] == 1
    assert found.numbers["hd95"] == 0


def test_ignored_voxels_and_unnamed_labels(tmp_path: Path, write, command) -> None:
    guess, truth = random_labels(0), random_labels(1)
    truth[:5] = 9
    write("guess.nii", guess)
    write("truth.nii", truth)
    options = ("--ignore", "9", "--out", "scores")
    code, out, _ = command("evaluate", "guess.nii", "truth.nii", *options)
    assert code == 0
    assert "label 1, label 5 are those that the label maps hold" in out
    numbers = {row["number"]: row["value"] for row in read_csv(tmp_path / "scores/metrics.csv")}
    wanted = naive_dice(guess[5:] == 5, truth[5:] == 5)
    assert float(numbers["dice/label 5"]) == pytest.approx(wanted)
    named = ("--label", "a=1", "--label", "b=5")
    assert "dice/b" in command("evaluate", "guess.nii", "truth.nii", *options, *named)[1]


@pytest.mark.usefixtures("folders")
def test_labels_without_a_prediction(write, command) -> None:
    write("truth/p9.nii", random_labels(3))
    code, _, err = command("evaluate", "out", "truth")
    assert (code, "1 of 4 label maps" in err, "such as p9" in err) == (2, True, True)
    code, out, _ = command("evaluate", "out", "truth", "--allow-missing")
    assert (code, "Left out: 1 label maps without a prediction, such as p9" in out) == (0, True)


def test_all_that_lie_elsewhere_are_named(folders: Path, write, command) -> None:
    write("truth/p0.nii", random_labels(0)[:-1])
    moved = np.diag([1.0, 2.0, 3.0, 1.0])
    moved[:3, 3] = 40
    write("truth/p1.nii", random_labels(1), affine=moved)
    code, _, err = command("evaluate", "out", "truth", "--out", "scores")
    assert code == 2
    assert "2 of 3 label maps cannot be compared" in err
    assert "p0.nii: (9, 9, 8) voxels (x, y, z), but p0.nii.gz has (10, 9, 8)" in err
    assert "p1.nii: lies up to" in err
    assert not (folders / "scores").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("out",), "give label maps as well"),
        (("out", "none"), "no folder"),
        (("out/p0.nii.gz", "truth/none.nii"), "there is no file"),
        (("out/p*.nii.gz", "truth/p0.nii"), "stars"),
        (("out", "wrong"), "holds the labels 3"),
        (("pairs.csv",), "names 'x.nii' in line 2, which is no file"),
        (("twice.csv",), "in line 2 and line 3: name it once"),
        (("out", "truth", "--label", "a"), "give NAME=VALUE"),
        (("out", "truth", "--label", "a=1", "--label", "b=1"), "labels a, b have one value"),
        (("out", "truth", "--label", "a=1", "--ignore", "1"), "1 is ignored, and is a label"),
        (("out", "truth", "--ignore", "0"), "0 is ignored, and is a label or background"),
        (("out", "truth", "--ignore", "5"), "5 is ignored, and is a label"),
        (("out", "truth", "--group-by", "(q)"), "must match every path"),
        (("out", "truth", "--side", "left"), "give one of testing"),
        (("out", "truth", "--side", "training"), "--side: for a run, and these are predictions"),
        (("out", "truth", "--device", "cpu"), "--device: for a run, and these are predictions"),
        (("out", "truth", "--out", "truth/p0.nii"), "is no folder"),
        (("out", "truth", "--data", "spec.yaml"), "--data is for a fine-tuning run"),
    ],
)
def test_wrong_use_is_one_message(folders: Path, write, command, arguments, message: str) -> None:
    for case in range(3):
        affine = TURNED if case == 2 else None
        write(f"wrong/p{case}.nii", np.full(SHAPE, 3, np.uint8), affine=affine)
    (folders / "pairs.csv").write_text("prediction,label\nx.nii,y.nii\n")
    line = "out/p0.nii.gz,truth/p0.nii\n"
    (folders / "twice.csv").write_text(f"prediction,label\n{line}{line}")
    code, _, err = command("evaluate", *arguments)
    assert code == 2
    assert message in err
    assert err.count("Error: ") == 1


def test_legends_that_differ_or_cannot_be_read(folders: Path, quiet) -> None:
    file = folders / "out/p1.labels.json"
    for text, message in {
        '{"background": 0, "other": 1}': "names other labels",
        "[1]": "the form is",
        "{": "cannot be read",
    }.items():
        file.write_text(text)
        with pytest.raises(ValueError, match=message):
            evaluate_maps(folders / "out", folders / "truth", console=quiet)
    file.unlink()
    with pytest.raises(ValueError, match="is missing, and 2 of 3"):
        evaluate_maps(folders / "out", folders / "truth", console=quiet)
