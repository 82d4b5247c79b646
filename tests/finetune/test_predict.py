"""A case from its prepared volume to a file: maps on the source's grid, outputs of all windows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from torch import Tensor

from ssl3d.tasks.finetune.build import build_model
from ssl3d.tasks.finetune.model import FinetuneModel
from ssl3d.tasks.finetune.predict import predict_map, predict_outputs
from ssl3d.tasks.finetune.recipe import Recipe
from ssl3d.tasks.finetune.window_spec import WindowSpec
from ssl3d_plugins.resunet import ResUNet
from ssl3d_plugins.tasks import Classification, Segmentation

AFFINE = np.diag([-0.5, -1.0, 3.0, 1.0])
PATCH = (8, 8, 8)


@dataclass
class Prepared:
    """In place of the data's own: the file is x, y, z of LPS, the volume z, y, x of RAS."""

    volume: Tensor
    valid: Tensor

    source_affine = AFFINE

    @property
    def source_shape(self):
        return tuple(self.valid.shape[::-1])

    def pieces(self, values, **_):
        whole = values.numpy()[..., ::-1, ::-1].transpose(0, 3, 2, 1)
        for x in range(0, whole.shape[1], 4):
            yield (slice(x, x + 4), slice(None), slice(None)), whole[:, x : x + 4]


def model_of(task, seed: int = 0) -> FinetuneModel:
    torch.manual_seed(seed)
    backbone = ResUNet(widths=(4, 8), blocks=(1, 1)).build(in_channels=1)
    recipe = Recipe()
    model = build_model(
        backbone, task=task, decoder=None, recipe=recipe, steps=1, samples_per_step=1
    )
    return model.eval()


def case(*size: int) -> Prepared:
    volume = torch.randn(1, *size, generator=torch.Generator().manual_seed(0))
    return Prepared(volume, torch.ones(size, dtype=torch.bool))


def test_a_segmentation_lies_in_the_files_own_axes(tmp_path: Path) -> None:
    """A model that follows a threshold: its labels are where the volume is bright."""
    model, prepared = model_of(Segmentation(labels={"bright": 7})), case(12, 9, 10)
    threshold = lambda volume, **_: torch.cat([volume < 0.5, volume >= 0.5], 1).float()  # noqa: E731
    model.predict = threshold
    file = tmp_path / "case.nii.gz"
    predict_map([model], prepared, patch=PATCH, windows=WindowSpec(), file=file)
    image = nibabel.load(file)
    assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
    want = np.where(prepared.volume[0].numpy() >= 0.5, 7, 0).transpose(2, 1, 0)[::-1, ::-1]
    assert (np.asarray(image.dataobj) == want).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["case.labels.json", "case.nii.gz"]


def test_a_case_that_fails_leaves_nothing(tmp_path: Path) -> None:
    model, prepared = model_of(Segmentation(labels={"a": 1})), case(8, 8, 8)

    def fails(*_, **__):
        raise RuntimeError("out of memory")

    model.predict = fails
    with pytest.raises(RuntimeError, match="out of memory"):
        predict_map([model], prepared, patch=PATCH, windows=WindowSpec(), file=tmp_path / "x.nii")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("crops", ["maximum", "attention"])
def test_outputs_of_a_case_are_those_of_all_its_windows_at_once(crops: str) -> None:
    model = model_of(Classification(labels=("a", "b"), crops=crops))
    prepared = case(8, 8, 20)
    prepared.valid[..., 16:] = False  # the last window is 12 to 20
    found = predict_outputs([model], prepared, patch=PATCH, windows=WindowSpec(batch=2))
    starts = (0, 4, 8, 12)
    volume = torch.stack([prepared.volume[..., i : i + 8] for i in starts])
    valid = torch.stack([prepared.valid[..., i : i + 8] for i in starts])
    torch.testing.assert_close(found, model.predict(volume, valid=valid, counts=(4,))[0])
    prepared.valid[..., 12:] = False
    fewer = predict_outputs([model], prepared, patch=PATCH, windows=WindowSpec())
    valid[2, ..., 4:] = False
    alone = model.predict(volume[:3], valid=valid[:3], counts=(3,))[0]
    torch.testing.assert_close(fewer, alone)


def test_windows_of_a_case_are_cut_when_they_are_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mirrored ones, too: those of one batch are there at a time, and all say the mean."""
    model, prepared = model_of(Classification(labels=("a",), crops="attention")), case(8, 8, 28)
    sizes = []
    crops = FinetuneModel._crops
    monkeypatch.setattr(
        FinetuneModel,
        "_crops",
        lambda self, volume, *a, **b: sizes.append(len(volume)) or crops(self, volume, *a, **b),
    )
    windows = WindowSpec(batch=2, mirror=(0, 2))
    found = predict_outputs([model], prepared, patch=PATCH, windows=windows)
    assert sizes == [2, 2, 2] * 4
    rows = torch.stack([prepared.volume[..., i : i + 8] for i in range(0, 24, 4)])
    turned = [rows.flip(axes) for axes in ((), (-3,), (-1,), (-3, -1))]
    wanted = torch.stack([model.predict(one, counts=(6,))[0] for one in turned]).mean(0)
    torch.testing.assert_close(found, wanted)


def test_models_of_different_tasks_are_refused() -> None:
    models = [model_of(Classification(labels=(name,))) for name in ("a", "b")]
    with pytest.raises(ValueError, match="different tasks"):
        predict_outputs(models, case(8, 8, 8), patch=PATCH, windows=WindowSpec())
    with pytest.raises(ValueError, match="at least one run"):
        predict_outputs([], case(8, 8, 8), patch=PATCH, windows=WindowSpec())
