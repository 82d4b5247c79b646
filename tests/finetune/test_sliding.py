"""Windows: one pass on a small volume, MONAI's sliding windows on a large one, in little memory."""

from __future__ import annotations

import pytest
import torch
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from ssl3d.tasks.finetune.averaged import NotFinite, averaged
from ssl3d.tasks.finetune.sliding import predicted_slabs
from ssl3d.tasks.finetune.window_spec import WindowSpec

PATCH = (8, 6, 4)


class Model(nn.Module):
    """A network that looks around, in place of a fine-tuned model."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv3d(2, 3, 3, padding=1)

    def predict(self, volume: Tensor, **_) -> Tensor:
        return self.conv(volume).float().softmax(1)


def whole(models, volume: Tensor, **windows) -> Tensor:
    spec = WindowSpec(**windows)
    slabs = predicted_slabs(models, volume, patch=PATCH, windows=spec)
    parts = list(slabs)
    ends = [start + slab.shape[1] for start, slab in parts]
    assert [start for start, _ in parts] == [0, *ends[:-1]]  # in order and without gaps
    return torch.cat([slab for _, slab in parts], 1)


@pytest.mark.parametrize("size", [PATCH, (5, 3, 4), (1, 1, 1), (8, 6, 3)])
@torch.no_grad()
def test_a_small_volume_is_one_pass(size: tuple[int, int, int]) -> None:
    model, volume = Model(), torch.randn(2, *size)
    before = [(p - s) // 2 for p, s in zip(PATCH, size, strict=True)]
    padded = torch.zeros(1, 2, *PATCH)
    place = tuple(slice(b, b + s) for b, s in zip(before, size, strict=True))
    padded[0, :, *place] = volume
    want = model.predict(padded)[0][:, *place]
    torch.testing.assert_close(whole([model], volume), want)


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.8])
@pytest.mark.parametrize("size", [(21, 13, 9), (8, 6, 30), (9, 4, 17)])
@torch.no_grad()
def test_a_large_volume_is_what_monai_makes_of_it(
    size: tuple[int, int, int], overlap: float
) -> None:
    model, volume = Model(), torch.randn(2, *size)
    want = sliding_window_inference(
        volume[None], PATCH, 1, model.predict, overlap=overlap, mode="gaussian"
    )[0]
    torch.testing.assert_close(whole([model], volume, overlap=overlap), want, rtol=1e-4, atol=1e-5)
    found = whole([model], volume, overlap=overlap, batch=3)
    torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_models_and_mirrored_copies_are_averaged() -> None:
    models, volume = [Model(0), Model(1)], torch.randn(1, 2, *PATCH)
    found = averaged(models, volume, windows=WindowSpec(mirror=(0, 2)))
    want = []
    for model in models:
        for axes in ((), (2,), (4,), (2, 4)):
            want.append(model.predict(volume.flip(axes)).flip(axes))
    torch.testing.assert_close(found, torch.stack(want).mean(0))
    with pytest.raises(ValueError, match="at least one run"):
        averaged([], volume, windows=WindowSpec())
    with pytest.raises(ValueError, match="each axis once"):
        WindowSpec(mirror=(0, 0))


@torch.no_grad()
def test_nan_counts_where_voxels_are_valid() -> None:
    volume = torch.randn(2, 2, *PATCH)
    volume[1, 0, 0, 0, 0] = torch.nan
    valid = torch.ones(2, *PATCH, dtype=torch.bool)
    with pytest.raises(NotFinite, match="NaN or infinity of it"):
        averaged([Model()], volume, windows=WindowSpec(mirror=(2,)), valid=valid)
    valid[1, :2, :2, :2] = False  # as far as the network carries it
    found = averaged([Model()], volume, windows=WindowSpec(mirror=(2,)), valid=valid)
    assert torch.isfinite(found[0]).all()
    with pytest.raises(NotFinite):
        averaged([Model()], volume, windows=WindowSpec())


@torch.no_grad()
def test_half_precision_is_near() -> None:
    model, volume = Model(), torch.randn(2, 20, 9, 7)
    one, other = whole([model], volume), whole([model], volume, precision="bf16")
    assert other.dtype == torch.float32
    assert 0 < (one - other).abs().max() < 0.02


@torch.no_grad()
def test_only_the_slices_that_windows_reach_are_held() -> None:
    """No slab is deeper than a window, and progress counts every window."""
    told = []
    slabs = predicted_slabs(
        [Model()],
        torch.randn(2, 200, 6, 4),
        patch=PATCH,
        windows=WindowSpec(),
        done=lambda finished, of: told.append((finished, of)),
    )
    assert max(slab.shape[1] for _, slab in slabs) <= PATCH[0]
    assert told == [(i, 49) for i in range(1, 50)]
