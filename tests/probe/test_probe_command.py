"""`ssl3d probe`: an encoder beside random ones, on label maps and on classes of cases."""

from __future__ import annotations

import csv
import itertools
import json
import math
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from torch.nn import functional as F

import ssl3d
from ssl3d import ExperimentSpec
from ssl3d.cli import main
from ssl3d.kinds.backbone import Backbone
from ssl3d.measure.probe import LabelledCrop, neighbours
from ssl3d.measure.probe.cases import case_features, class_probabilities
from ssl3d.measure.probe.neighbours import neighbour_votes
from ssl3d.measure.probe.queries import drawn_voxels, features_at
from ssl3d.measure.probe.sites import dice_of_classes
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
    data = {"volumes": "-", "patch": 8, "normalise": WINDOW}
    spec = ExperimentSpec(backbone=NETWORK, data=data, seed=5)  # none of the seeds of probes
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


def test_the_mean_over_labels_is_of_those_that_were_learned_by_their_weights(
    command, tmp_path: Path
) -> None:
    header, *lines = (tmp_path / "table.csv").read_text().splitlines()
    # Fold 0 is tested on: there alone is `new` known. `third` is hard, so the means differ.
    rows = [
        f"{line},{i % 3 == 0:d},{i % 2 if i < 4 else ''},{i >= 4:d}" for i, line in enumerate(lines)
    ]
    (tmp_path / "table.csv").write_text("\n".join([f"{header},third,new,fold", *rows]) + "\n")
    task = (
        "task: {name: classification, labels: [any, third, new], "
        "column_weights: {any: 3, third: 2}}\n"
    )
    (tmp_path / "spec.yaml").write_text(task + DATA)
    code, out, err = command("probe", "enc", "spec.yaml", "--out", "p", "--seeds", 2)
    assert code == 0, err
    assert "target 'new' is known of none of the 8 training cases" in out
    lines, summary = read(tmp_path / "p")
    assert summary["numbers"]["auroc/new"]["linear"]["random"] == {"mean": None, "sd": None}
    found: dict[tuple[str, ...], dict[str, float]] = {}
    for line in lines:
        key = (line["encoder"], line["method"], line["seed"])
        found.setdefault(key, {})[line["number"]] = float(line["value"] or "nan")
    assert len(found) == 8
    for numbers in found.values():
        assert math.isnan(numbers["auroc/new"])
        wanted = (3 * numbers["auroc/any"] + 2 * numbers["auroc/third"]) / 5
        assert numbers["auroc"] == pytest.approx(wanted)
    assert any(n["auroc/any"] != n["auroc/third"] for n in found.values())


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
        (VOXELS + DATA, "enc --device gpu", "device: given 'gpu'"),
        (KINDS + DATA.replace("3", "9"), "enc", "data.folds is 9"),
        (VOXELS + DATA + "patch: 9\n", "enc", "must be a multiple of"),
        (VOXELS + DATA + "other: 1\n", "enc", "other"),
        (VOXELS.replace("front: 1, ", "") + DATA, "enc", "holds the labels 1"),
    ],
)
def test_wrong_use_is_one_message(command, tmp_path: Path, spec, encoder, message) -> None:
    (tmp_path / "spec.yaml").write_text(spec)
    encoder, *more = encoder.split()
    code, _, err = command("probe", encoder, "spec.yaml", *more, "--out", "p")
    assert (code, message in err) == (2, True), err
    assert not (tmp_path / "p").exists()


def test_a_number_of_voxels_is_looked_up_and_rare_classes_are_among_them(
    command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spec.yaml").write_text(VOXELS + DATA)
    whole, seen = neighbours.neighbour_votes, []
    monkeypatch.setattr(
        neighbours,
        "neighbour_votes",
        lambda queries, **b: seen.append(len(queries)) or whole(queries, **b),
    )
    found = {}
    for voxels in (131072, 4 * 256):
        monkeypatch.setattr(neighbours, "VOXELS", voxels)
        seen.clear()
        code, out, err = command("probe", "enc", "spec.yaml", "--seeds", 1, "--out", f"p{voxels}")
        assert code == 0, err
        assert seen == [min(8**3, voxels // 4)] * 8  # of 4 test crops, by two encoders
        lines, _ = read(tmp_path / f"p{voxels}")
        found[voxels] = [float(x["value"]) for x in lines if x["method"] == "knn"]
    assert np.allclose(found[131072], found[1024], atol=0.05)
    assert "at most 131,072 voxels of the test crops" in out


def test_drawn_voxels_stand_for_all_of_their_class() -> None:
    labels = torch.zeros(10, 10, 10, dtype=torch.long)
    labels[:2], labels[5, 5, :3] = 1, 7
    valid = torch.ones(10, 10, 10, dtype=torch.bool)
    valid[9] = False
    crop = LabelledCrop(torch.zeros(1, 10, 10, 10), valid, labels)
    draw = lambda n: drawn_voxels(crop, at_most=n, random=torch.Generator().manual_seed(0))  # noqa: E731
    places, weights = draw(90)
    at = labels[places.unbind(1)]
    assert {v: int((at == v).sum()) for v in (0, 1, 7)} == {0: 44, 1: 43, 7: 3}
    assert len(places.unique(dim=0)) == 90
    assert valid[places.unbind(1)].all()
    for value in (0, 1, 7):
        true = int((valid & (labels == value)).sum())
        assert float(weights[at == value].sum()) == pytest.approx(true)
    again, _ = draw(90)
    assert torch.equal(places, again)
    places, weights = draw(1000)
    assert len(places) == 900
    assert (weights == 1).all()
    nothing = LabelledCrop(crop.volume, torch.zeros_like(valid), labels)
    assert len(drawn_voxels(nothing, at_most=5, random=torch.Generator())[0]) == 0


def test_features_at_voxels_are_those_of_interpolated_maps() -> None:
    random = torch.Generator().manual_seed(0)
    stages = [torch.randn(1, 3, *size, generator=random) for size in ((6, 8, 4), (3, 4, 2))]
    size = (12, 16, 8)
    places = torch.ones(size).nonzero()[::7]
    found = features_at(stages, places=places, size=size)
    maps = [F.interpolate(stage, size=size, mode="trilinear")[0] for stage in stages]
    z, y, x = places.unbind(1)
    torch.testing.assert_close(found, torch.cat(maps)[:, z, y, x].T)


def test_weights_count_in_dice() -> None:
    guess, truth = torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 0, 1])
    weights = torch.tensor([5.0, 2.0, 3.0, 1.0])
    times = weights.long()
    want = dice_of_classes(
        guess.repeat_interleave(times), truth=truth.repeat_interleave(times), classes=3
    )
    found = dice_of_classes(guess, truth=truth, classes=3, weights=weights)
    torch.testing.assert_close(found, want, equal_nan=True)


@pytest.mark.parametrize("task", [VOXELS, KINDS])
def test_the_encoder_is_beside_others_and_tested_on_other_persons(
    task: str, command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random networks differ from the encoder and from each other; no case is on two sides."""
    (tmp_path / "spec.yaml").write_text(task + DATA)
    networks, sides = [], []
    for kind in ("ProbedMaps", "ProbedCases"):
        measured = getattr(probed, kind).measure
        monkeypatch.setattr(
            getattr(probed, kind),
            "measure",
            lambda self, encoder, measured=measured, **b: (
                networks.append(torch.cat([p.detach().flatten() for p in encoder.parameters()]))
                or measured(self, encoder, **b)
            ),
        )
    batches = probed._batches
    monkeypatch.setattr(
        probed,
        "_batches",
        lambda v, side, **b: sides.append((side, v.sides)) or batches(v, side, **b),
    )
    assert command("probe", "enc", "spec.yaml", "--seeds", 2)[0] == 0
    assert len(networks) == 3
    for one, other in itertools.combinations(networks, 2):
        assert not torch.equal(one, other)
    own = torch.cat([p.detach().flatten() for p in ssl3d.load_encoder("enc").parameters()])
    assert torch.equal(networks[0], own)
    assert {side for side, _ in sides} == {"training", "testing"}
    for _, split in sides:
        assert not {c.group for c in split.training} & {c.group for c in split.testing}


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
    for nothing in (labels * torch.nan, labels * 0, torch.tensor([1.0, *[torch.nan] * 4])):
        nobody = class_probabilities(features, labels=nothing, queries=features, classes=2)
        for method in ("linear", "knn"):
            assert nobody[method].isnan().all()
