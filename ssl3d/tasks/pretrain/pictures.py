"""Pictures of a run: curves, and what the trained model makes of held-out volumes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ssl3d.data import BadVolume, Batches, Source
from ssl3d.geometry import divides, quotient
from ssl3d.masked.model import PretrainModel
from ssl3d.masked.output import PretrainOutput
from ssl3d.masked.target import restored_volume
from ssl3d.measure.image_quality import TRUE_STATISTICS, image_quality
from ssl3d.measure.losses import measured
from ssl3d.report.restored_crop import RestoredCrop
from ssl3d.report.slices import draw_restoration
from ssl3d.tasks.pretrain.module import held_out_generator
from ssl3d.tasks.pretrain.spec import ExperimentSpec

GIVEN = (
    "The model predicts each hidden patch up to its mean and contrast. Here both are taken from "
    "the original:\nthe brightness of a patch is given, its structure is predicted."
)
PLAIN = "Hidden cells show the prediction as it is."


class _Case(NamedTuple):
    """The first crop of a held-out volume, restored."""

    source: Source
    corner: list[int]
    output: PretrainOutput


def draw_held_out(
    model: PretrainModel, *, spec: ExperimentSpec, batches: Batches, folder: Path, step: int
) -> list[Path]:
    """Restore the first crop of some held-out volumes, with the masks of the held-out loss.

    Args:
        model: in evaluation mode, on the device to use.
        spec: of the run.
        batches: of the run.
        folder: for the pictures.
        step: that the weights come from.

    Returns:
        The files, one for each volume and channel that it has.
    """
    note = GIVEN if spec.target == "patch_normalised" else PLAIN
    names = spec.data.channel_names or ("",)
    paths = []
    for number, case in enumerate(_restored(model, spec=spec, batches=batches), start=1):
        output, name = case.output, case.source.name
        affine = _affine(case.source, batches=batches)
        losses = measured(output, model=model)
        restored = restored_volume(output.step.views[0])[0].cpu().float().numpy()
        quality = list(image_quality(output.step.views[0]))
        # The first view shows all of the region, at its own size or shrunk.
        size, extent = batches.views.levels[0].size, batches.views.extent
        shrink = quotient(extent, size) if divides(size, extent) else (1, 1, 1)
        present = output.step.views[0].batch.present
        for i, channel in enumerate(names):
            if present is not None and not present[0, i]:
                continue
            one = RestoredCrop(
                original=output.volume[0, i].cpu().float().numpy(),
                restored=restored[i],
                valid=output.valid[0].cpu().numpy(),
                hidden=[level[0].cpu().numpy() for level in output.hidden],
                corner=case.corner,
                affine=affine,
                shrink=shrink,
            )
            parts = [f"{number:02d}", _plain(name), *([_plain(channel)] if channel else [])]
            title = f"Held-out {Path(name).name}{f', {channel}' if channel else ''}, step {step}"
            path = folder / f"restored-{'-'.join(parts)}.png"
            numbers = numbers_in_words({**losses, **quality[i]})
            paths.append(draw_restoration(one, title=title, numbers=numbers, note=note, path=path))
    return paths


def numbers_in_words(numbers: Mapping[str, float]) -> str:
    """Losses, PSNR and SSIM of a crop, each with the trivial prediction's."""
    parts = []
    for name, value in numbers.items():
        if f"{name}/trivial" not in numbers:
            continue
        what, end = name.removesuffix(TRUE_STATISTICS), ""
        if what != name:
            end = " with true statistics"
        unit = " dB" if what == "psnr" else ""
        what = what.upper() if what in ("psnr", "ssim") else what
        trivial = numbers[f"{name}/trivial"]
        parts.append(f"{what}{end} {value:.3f}{unit} (trivial {trivial:.3f})")
    return "this crop: " + (", ".join(parts) or "nothing is hidden and can be scored")


def _affine(source: Source, *, batches: Batches) -> NDArray[np.float64] | None:
    """From (x, y, z, 1) indices of the prepared volume to mm; None where it is gone by now."""
    try:
        return batches.volumes.held_out_affine(source)
    except BadVolume:
        return None  # it was read once, and the picture says so


def _restored(model: PretrainModel, *, spec: ExperimentSpec, batches: Batches) -> Iterator[_Case]:
    """The first crop of each volume to draw, as the held-out loss sees it."""
    crops = batches.volumes.held_out_crops(extent=batches.views.extent)
    device = next(model.parameters()).device
    firsts = range(0, len(crops), spec.data.holdout_crops)
    loader = batches.held_out()
    for number in firsts[: spec.trainer.pictures]:
        batch = loader.collate_fn([loader.dataset[number]])
        with torch.no_grad():
            output = model.step(batch.to(device), generator=held_out_generator(batch))
        yield _Case(*crops.place(number), output)


def _plain(name: str) -> str:
    """A name that every file system takes."""
    stem = Path(name).name.split(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "_", stem)[:60]
