"""`ssl3d probe`: an encoder beside random ones, on label maps and on classes of cases."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from ssl3d import ExperimentSpec
from ssl3d.cli import main
from ssl3d.kinds.backbone import Backbone
from ssl3d.measure.probe.cases import case_features, class_probabilities
from ssl3d.measure.probe.neighbours import neighbour_votes
from ssl3d.tasks.pretrain.export import export_encoder
from ssl3d.tasks.probe import cases as probed

NETWORK = {"name": "resunet", "widths": [4, 8], "blocks": [1, 1]}
WINDOW = {"name": "ct_window", "lower": -4, "upper": 12}
VOXELS = "task: {name: segmentation, labels: {front: 1, back: 2}}\n"
KINDS = "task: {name: classification, classes: [dark, bright], column: kind}\n"
LABELS = "task: {name: classification, labels: [any, left]}\n"
DATA = "data: {manifest: table.csv, folds: 3, workers: 0, cache: {folder: cache}}\n"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Run `ssl3d ARGUMENTS` in a folder with an encoder `enc` and 12 labelled cases."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    spec = ExperimentSpec(backbone=NETWORK, data={"volumes": "-", "patch": 8, "normalise": WINDOW})
    torch.manual_seed(5)
    export_encoder(spec.build().backbone.state_dict(), spec=spec, out=tmp_path / "enc", step=1)
    lines = ["image,label,kind,any,left,group"]
    for case in range(12):
        rng = np.random.default_rng(case)
        labels = np.zeros((14, 12, 10), np.uint8)
        labels[2 : 5 + case % 3, 3:8, 2:7], labels[9:13, 6:11, 4:9] = 1, 2
        image = rng.normal(size=labels.shape).astype(np.float32) + 4 * labels + 3 * (case % 2)
        for kind, array in (("i", image), ("l", labels)):
            nibabel.Nifti1Image(array, np.eye(4)).to_filename(tmp_path / f"{kind}{case}.nii")
        kind, left = ("dark", "bright")[case % 2], "" if case == 3 else case % 2
        lines.append(f"i{case}.nii,l{case}.nii,{kind},{case % 2},{left},{case // 2}")
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as leave:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(leave.value.code or 0), out, err

    return run


def read(folder: Path) -> tuple[list[dict[str, str]], dict]:
    with open(folder / "probe.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file)), json.loads((folder / "probe.json").read_text())


@pytest.mark.parametrize(
    ("task", "main_number"), [(VOXELS, "dice"), (KINDS, "auroc"), (LABELS, "auroc")]
)
def test_both_encoders_and_both_methods(task: str, main_number: str, command, tmp_path) -> None:
    (tmp_path / "spec.yaml").write_text(task + DATA)
    code, out, err = command(
        "probe", "enc", "spec.yaml", "--out", "p", "--seeds", 2, "--neighbours", 5
    )
    assert code == 0, err
    assert "pre-trained" in out
    assert "random" in out
    assert "±" in out
    lines, summary = read(tmp_path / "p")
    own = [line for line in lines if line["number"] == main_number]
    keys = {(line["encoder"], line["method"], line["seed"]) for line in own}
    assert keys == {
        (encoder, method, seed)
        for encoder in ("pre-trained", "random")
        for method in ("linear", "knn")
        for seed in "01"
    }
    values = [float(line["value"]) for line in own]
    assert all(0.5 < value <= 1 for value in values)  # bright boxes and bright cases are easy
    means = summary["numbers"][main_number]["linear"]
    trained = [
        float(x["value"]) for x in own if (x["encoder"], x["method"]) == ("pre-trained", "linear")
    ]
    assert trained[0] == trained[1]
    assert means["pre-trained"] == {"mean": pytest.approx(trained[0]), "sd": 0}
    assert summary["fold"] == 0
    if task is VOXELS:
        assert {line["number"] for line in lines} == {"dice", "dice/front", "dice/back"}


def test_many_crops_give_fewer_sites_each(
    command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(probed, "FIT_SITES", 80)
    whole = probed.probe_dice
    monkeypatch.setattr(
        probed, "probe_dice", lambda *a, **b: seen.append(b["sites"]) or whole(*a, **b)
    )
    (tmp_path / "spec.yaml").write_text(VOXELS + DATA)
    assert command("probe", "enc", "spec.yaml", "--seeds", 1)[0] == 0
    assert seen == [10, 10]  # of 8 training cases


def test_fewer_subjects_are_drawn_by_the_seed(command, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(KINDS + DATA + "backbone: resunet\nseed: 3\n")
    options = ("--set", "data.subjects=2", "--seeds", "3", "--out", "p")
    assert command("probe", "enc", "spec.yaml", *options)[0] == 0
    _, summary = read(tmp_path / "p")
    assert (summary["subjects"], summary["seeds"]) == (2, [0, 1, 2])


@pytest.mark.parametrize(
    ("spec", "encoder", "message"),
    [
        (VOXELS + DATA, "none", "holds no encoder"),
        (DATA, "enc", "names no task"),
        ("task: {name: regression, values: [any]}\n" + DATA, "enc", "probes are for these alone"),
        (VOXELS, "enc", "data"),
        (KINDS + DATA.replace("3", "9"), "enc", "data.folds is 9"),
        (VOXELS + DATA + "patch: 9\n", "enc", "must be a multiple of"),
        (VOXELS + DATA + "other: 1\n", "enc", "other"),
        (VOXELS.replace("front: 1, ", "") + DATA, "enc", "holds the labels 1"),
    ],
)
def test_wrong_use_is_one_message(command, tmp_path: Path, spec, encoder, message) -> None:
    (tmp_path / "spec.yaml").write_text(spec)
    code, _, err = command("probe", encoder, "spec.yaml", "--out", "p")
    assert (code, message in err) == (2, True), err
    assert not (tmp_path / "p").exists()


def test_votes_are_those_of_a_plain_loop() -> None:
    random = np.random.default_rng(0)
    among, queries = random.normal(size=(60, 7)), random.normal(size=(25, 7))
    labels = random.integers(0, 3, size=60)
    found = neighbour_votes(
        torch.from_numpy(queries),
        among=torch.from_numpy(among),
        labels=torch.from_numpy(labels),
        classes=3,
        neighbours=9,
    )
    mean, deviation = among.mean(0), among.std(0)
    keys, points = (among - mean) / deviation, (queries - mean) / deviation
    for point, votes in zip(points, found.numpy(), strict=True):
        cosine = [k @ point / np.linalg.norm(k) / np.linalg.norm(point) for k in keys]
        nearest = sorted(range(60), key=lambda i: -cosine[i])[:9]
        weights = [np.exp(cosine[i] / 0.07) for i in nearest]
        wanted = np.zeros(3)
        for weight, place in zip(weights, nearest, strict=True):
            wanted[labels[place]] += weight
        assert np.allclose(votes, wanted / sum(weights))


class Plain(Backbone):
    """Its only stage is the volume at half resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.one = torch.nn.Parameter(torch.ones(()))

    def forward(self, volume):
        return (torch.nn.functional.avg_pool3d(volume, 2) * self.one,)


def test_padding_has_no_part_in_the_features_of_a_case() -> None:
    from ssl3d.geometry import Stage

    encoder = Plain()
    encoder.stages = (Stage((2, 2, 2), 1),)
    volume = torch.rand(3, 1, 4, 4, 4)
    valid = torch.ones(3, 4, 4, 4, dtype=torch.bool)
    valid[0, :2], valid[2] = False, False
    volume[~valid[:, None]] = 100
    wanted = volume[valid[:, None]].mean()
    assert torch.allclose(case_features(encoder, volume, valid=valid), wanted)
    two = case_features(encoder, volume, valid=valid, at_once=2)
    assert torch.allclose(two, wanted)


def test_cases_without_a_label_teach_nothing() -> None:
    features = torch.tensor([[0.0], [1.0], [10.0], [11.0], [5.0]])
    labels = torch.tensor([0.0, 0.0, 1.0, 1.0, float("nan")])
    found = class_probabilities(
        features, labels=labels, queries=torch.tensor([[0.5], [10.5]]), classes=2, neighbours=2
    )
    for method in ("linear", "knn"):
        assert found[method].argmax(1).tolist() == [0, 1]
    nobody = class_probabilities(features, labels=labels * torch.nan, queries=features, classes=2)
    assert nobody["knn"].isnan().all()
