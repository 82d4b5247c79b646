"""The linear probe: crops, classifier and Dice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.metrics.meandice import compute_dice
from torch import Tensor
from torch.nn import functional as F

from ssl3d.data import DataError
from ssl3d.data.spec import DataSpec
from ssl3d.geometry import Stage
from ssl3d.kinds.backbone import Backbone
from ssl3d.measure.probe import LabelledCrop, labelled_crops, probe_dice
from ssl3d.measure.probe.linear import fit_linear, predict
from ssl3d.measure.probe.sites import dice_of_classes
from ssl3d.measure.spec import ProbeSpec

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write an image and its label map, (z, y, x)."""

    def write(name: str, image: np.ndarray, labels: np.ndarray, *, step: float = 1.0) -> None:
        affine = np.diag([1.0, 1.0, step, 1.0])
        for kind, array in (("images", image), ("labels", labels)):
            (tmp_path / kind).mkdir(exist_ok=True)
            file = nibabel.Nifti1Image(array.T, affine)
            file.to_filename(tmp_path / kind / f"{name}.nii.gz")

    return write


def specs(folder: Path, **data: object) -> tuple[ProbeSpec, DataSpec]:
    probe = ProbeSpec(images=f"{folder}/images/*.nii.gz", labels=f"{folder}/labels/*.nii.gz")
    return probe, DataSpec(volumes="unused", **{"patch": (8, 8, 8), **data})


def block(size: tuple[int, int, int], corner: tuple[int, int, int]) -> np.ndarray:
    labels = np.zeros(size, np.uint8)
    labels[tuple(slice(c, c + 4) for c in corner)] = 2
    return labels


def noise(size: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=size).astype(np.float32)


def test_crops_are_centred_on_labels(write: Write, tmp_path: Path) -> None:
    for i in range(4):
        labels = block((20, 16, 12), (2 + 4 * i, 8, 3))
        write(f"case{i}", noise(labels.shape) + labels, labels)
    fit, test = labelled_crops(specs(tmp_path)[0], data=specs(tmp_path)[1])
    assert len(fit) == len(test) == 2
    for crop in (*fit, *test):
        assert crop.volume.shape == (1, 8, 8, 8)
        assert crop.valid.all()
        assert int((crop.labels == 2).sum()) == 64
        assert bool((crop.labels[2:6, 2:6, 2:6] == 2).all())
        # The image moves with its labels.
        inside = crop.labels == 2
        assert crop.volume[0][inside].mean() > crop.volume[0][~inside].mean() + 0.2


def test_labels_are_resampled_to_the_image(write: Write, tmp_path: Path) -> None:
    for i in range(2):
        labels = block((10, 16, 16), (3, 6, 6))
        write(f"case{i}", noise(labels.shape) + 5 * labels, labels, step=2.0)
    probe, data = specs(tmp_path, spacing=(1.0, 1.0, 1.0), patch=(16, 16, 16))
    fit, test = labelled_crops(probe, data=data)
    for crop in (*fit, *test):
        assert set(crop.labels.unique().tolist()) == {0, 2}
        # Four slices of 2 mm: about eight of 1 mm, of which 6 at least survive the borders.
        assert 6 * 16 <= int((crop.labels == 2).sum()) <= 9 * 16
        inside = crop.labels == 2
        assert crop.volume[0][inside].mean() > crop.volume[0][~inside].mean() + 0.3


def test_groups_stay_on_one_side(write: Write, tmp_path: Path) -> None:
    for i in range(6):
        labels = block((12, 12, 12), (4, 4, 4))
        write(f"sub{i // 2}_{i}", noise(labels.shape, i) + labels, labels)
    probe, data = specs(tmp_path, group_by="(sub[0-9])")
    fit, test = labelled_crops(probe, data=data)
    assert {len(fit), len(test)} == {2, 4}
    own = probe.model_copy(update={"group_by": "(sub[0-9])"})
    fit, test = labelled_crops(own, data=data.model_copy(update={"group_by": "(elsewhere)"}))
    assert {len(fit), len(test)} == {2, 4}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (block((12, 12, 14), (4, 4, 4)), "channels must share one grid"),
        (block((12, 12, 12), (4, 4, 4)) + 0.5, "whole numbers from 0"),
    ],
)
def test_unusable_labels(write: Write, tmp_path: Path, labels: np.ndarray, message: str) -> None:
    for i in range(2):
        write(f"case{i}", noise((12, 12, 12)), labels.astype(np.float32))
    probe, data = specs(tmp_path)
    with pytest.raises(DataError, match=rf"probe: .*labels.*{message}"):
        labelled_crops(probe, data=data)


def test_what_cannot_be_used_is_left_out_where_asked(write: Write, tmp_path: Path) -> None:
    """The next volume of its side takes its place; the others stay where they were."""
    size = (12, 12, 12)
    for i in range(8):
        write(f"case{i}", noise(size, i), block(size, (4, 4, 4)))
    probe, data = specs(tmp_path)
    probe = probe.model_copy(update={"volumes": 4})
    met = 0
    named: dict[str, str] = {}
    for path in sorted((tmp_path / "labels").iterdir()):
        good = path.read_bytes()
        path.write_bytes(b"no volume")
        named.clear()
        fit, test = labelled_crops(
            probe, data=data, left_out=lambda s, error: named.update({s.name: str(error)})
        )
        assert len(fit) == len(test) == 2
        if named:
            met += 1
            assert next(iter(named.values())).startswith(path.as_posix())
            with pytest.raises(DataError, match=rf"probe: .*{path.name}"):
                labelled_crops(probe, data=data)
        path.write_bytes(good)
    assert met == 4
    for path in (tmp_path / "labels").iterdir():
        path.write_bytes(b"no volume")
    with pytest.raises(DataError, match=r"probe: none of the 4 labelled volumes .*labels"):
        labelled_crops(probe, data=data, left_out=lambda *_: None)


def test_labels_that_float32_does_not_know(write: Write, tmp_path: Path) -> None:
    for i in range(2):
        labels = block((12, 12, 12), (4, 4, 4)).astype(np.int32) * 10_000_000
        write(f"case{i}", noise(labels.shape), labels)
    with pytest.raises(DataError, match="labels must be below 16777216"):
        labelled_crops(specs(tmp_path)[0], data=specs(tmp_path)[1])


def test_one_group_is_refused(write: Write, tmp_path: Path) -> None:
    write("case0", noise((12, 12, 12)), block((12, 12, 12), (4, 4, 4)))
    probe, data = specs(tmp_path)
    with pytest.raises(DataError, match="two groups are needed"):
        labelled_crops(probe, data=data)


def test_scores_are_those_of_interpolated_features() -> None:
    """Interpolating scores equals classifying features interpolated stage by stage."""
    random = torch.Generator().manual_seed(0)
    fine = torch.randn(1, 3, 8, 6, 4, generator=random)
    coarse = torch.randn(1, 5, 4, 3, 2, generator=random)
    weight, bias = torch.randn(2, 8, generator=random), torch.randn(2, generator=random)
    scores = predict([fine, coarse], weight=weight, bias=bias, size=(16, 12, 8))
    up = F.interpolate(coarse, size=fine.shape[2:], mode="trilinear")
    both = F.interpolate(torch.cat([fine, up], 1), size=(16, 12, 8), mode="trilinear")
    naive = torch.einsum("kc,bczyx->kzyx", weight, both) + bias.view(2, 1, 1, 1)
    torch.testing.assert_close(scores, naive, rtol=1e-4, atol=1e-5)


def test_classifier_is_at_its_optimum() -> None:
    """No gradient is left of the penalised loss in standardised features, whatever their scale."""
    random = torch.Generator().manual_seed(0)
    features = torch.randn(300, 4, generator=random) * torch.tensor([1.0, 100.0, 1e-3, 1.0]) + 7
    labels = torch.randint(0, 3, (300,), generator=random)
    weight, bias = fit_linear(features, labels=labels, classes=3)
    mean, deviation = features.double().mean(0), features.double().std(0)
    own = (weight.double() * deviation).requires_grad_()
    shift = (bias.double() + weight.double() @ mean).requires_grad_()
    scores = (features.double() - mean) / deviation @ own.T + shift
    importance = 1 / torch.bincount(labels).double().sqrt()
    each = F.cross_entropy(scores, labels, reduction="none") * importance[labels]
    loss = each.sum() / importance[labels].sum()
    (loss + 1e-4 * own.square().sum()).backward()
    assert own.grad is not None
    assert own.grad.abs().max() < 1e-3


class Intensity(Backbone):
    """Features that hold the volume itself, or nothing."""

    stages = (Stage((1, 1, 1), 1),)

    def __init__(self, *, blind: bool) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(0.0 if blind else 1.0))

    def forward(self, volume: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        return (volume * self.scale,)


def crops(number: int) -> list[LabelledCrop]:
    """Class i is exactly where the volume is above i - 0.5."""
    made = []
    for i in range(number):
        volume = 3 * torch.rand(1, 8, 8, 8, generator=torch.Generator().manual_seed(i)) - 0.5
        valid = torch.ones(8, 8, 8, dtype=torch.bool)
        made.append(LabelledCrop(volume, valid, volume[0].round().long().clamp(0, 2)))
    return made


def test_dice_of_features_that_tell_and_of_features_that_do_not() -> None:
    told = probe_dice(Intensity(blind=False), fit=crops(2), test=crops(4)[2:], sites=512)
    assert told.keys() == {1, 2}
    assert min(told.values()) > 0.9
    blind = probe_dice(Intensity(blind=True), fit=crops(2), test=crops(4)[2:], sites=512)
    assert min(blind.values()) < 0.3


def test_dice_is_monais() -> None:
    random = torch.Generator().manual_seed(0)
    guess, truth = torch.randint(0, 5, (2, 400), generator=random)
    truth[truth == 3] = 0
    one_hot = (F.one_hot(x, 5).T[None, ..., None] for x in (guess, truth))
    theirs = compute_dice(*one_hot, include_background=True)[0]
    ours = dice_of_classes(guess, truth=truth, classes=5)
    assert bool(ours[3].isnan())
    torch.testing.assert_close(ours, theirs, equal_nan=True)


def test_values_of_labels_cost_nothing() -> None:
    """Names of classes are names: the same crops under FreeSurfer's numbers, and one vast one."""
    numbers = torch.tensor([0, 1035, 2_000_000_000])

    def named(part: list[LabelledCrop]) -> list[LabelledCrop]:
        return [replace(crop, labels=numbers[crop.labels]) for crop in part]

    small, large = (
        probe_dice(Intensity(blind=False), fit=fit, test=test, sites=64)
        for fit, test in (
            (crops(2), crops(3)[2:]),
            (named(crops(2)), named(crops(3)[2:])),
        )
    )
    assert large == {1035: small[1], 2_000_000_000: small[2]}


def test_probe_repeats_and_changes_nothing() -> None:
    encoder = Intensity(blind=False)
    before = torch.get_rng_state()
    one, other = (probe_dice(encoder, fit=crops(2), test=crops(3)[2:], sites=64) for _ in range(2))
    assert one == other
    assert torch.equal(torch.get_rng_state(), before)
    assert encoder.scale.grad is None


def test_padding_does_not_count() -> None:
    """What is not valid may hold any label: neither the fit nor the Dice sees it."""
    padded = []
    for crop in crops(3):
        valid = crop.valid.clone()
        valid[4:] = False
        labels = torch.where(valid, crop.labels, 2)
        padded.append(LabelledCrop(torch.where(valid, crop.volume, 0.0), valid, labels))
    found = probe_dice(Intensity(blind=False), fit=padded[:2], test=padded[2:], sites=512)
    assert min(found.values()) > 0.9


def test_no_class_to_find() -> None:
    empty = [LabelledCrop(c.volume, c.valid, torch.zeros_like(c.labels)) for c in crops(2)]
    assert probe_dice(Intensity(blind=False), fit=empty[:1], test=empty[1:], sites=8) == {}


def test_a_channel_may_be_called_labels(write: Write, tmp_path: Path) -> None:
    for i in range(2):
        write(f"case{i}", noise((8, 8, 8), seed=i), block((8, 8, 8), (2, 2, 2)))
    images = {"image": f"{tmp_path}/images/*.nii.gz", "labels": f"{tmp_path}/images/*.nii.gz"}
    probe = ProbeSpec(images=images, labels=f"{tmp_path}/labels/*.nii.gz")
    both = probe.data(DataSpec(volumes="unused"))
    assert list((both.channels or {}).values())[:2] == list(images.values())
    fit, test = labelled_crops(probe, data=DataSpec(volumes="unused", patch=(8, 8, 8)))
    for crop in (*fit, *test):
        assert crop.volume.shape == (2, 8, 8, 8)
        assert set(crop.labels.unique().tolist()) == {0, 2}
