"""Pictures of a run: curves, and what the trained model makes of held-out volumes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import torch

from ssl3d.data import DataModule
from ssl3d.kinds.output import PretrainOutput
from ssl3d.masked.model import PretrainModel
from ssl3d.masked.target import restored_volume
from ssl3d.report.slices import Restoration, draw_restoration
from ssl3d.tasks.pretrain.module import held_out_levels
from ssl3d.tasks.pretrain.spec import ExperimentSpec

TRUE_STATISTICS = (
    "The model predicts each hidden patch up to its mean and contrast. Here both are taken from "
    "the original:\nthe brightness of a patch is given, its structure is predicted."
)
PLAIN = "Hidden cells show the prediction as it is."


def draw_held_out(
    model: PretrainModel, *, spec: ExperimentSpec, data: DataModule, folder: Path, step: int
) -> list[Path]:
    """Restore the first crop of some held-out volumes, with the masks of the held-out loss.

    Args:
        model: in evaluation mode, on the device to use.
        spec: of the run.
        data: set up.
        folder: for the pictures.
        step: that the weights come from.

    Returns:
        The files, one for each volume and channel.
    """
    note = TRUE_STATISTICS if spec.target == "patch_normalised" else PLAIN
    names = list(spec.data.channels or ("",))
    paths = []
    for number, (source, output) in enumerate(_restored(model, spec=spec, data=data), start=1):
        valid = output.valid[0].cpu().numpy()
        hidden = [level[0].cpu().numpy() for level in output.hidden]
        pairs = zip(output.volume[0].cpu(), restored_volume(output)[0].cpu(), names, strict=True)
        for original, restored, channel in pairs:
            case = Restoration(
                original=original.float().numpy(),
                restored=restored.float().numpy(),
                valid=valid,
                hidden=hidden,
                spacing=spec.data.spacing or (1.0, 1.0, 1.0),
            )
            parts = [f"{number:02d}", _plain(source), *([_plain(channel)] if channel else [])]
            title = f"Held-out {Path(source).name}{f', {channel}' if channel else ''}, step {step}"
            path = folder / f"restored-{'-'.join(parts)}.png"
            paths.append(draw_restoration(case, title=title, note=note, path=path))
    return paths


def _restored(
    model: PretrainModel, *, spec: ExperimentSpec, data: DataModule
) -> Iterator[tuple[str, PretrainOutput]]:
    """Source and output of the first crop of each volume to draw."""
    crops = data.held_out_dataset()
    device = next(model.parameters()).device
    firsts = range(0, len(crops), spec.data.holdout_crops)
    for index in firsts[: spec.trainer.pictures]:
        crop = crops[index]
        valid = crop["valid"][None]
        with torch.no_grad():
            yield (
                crop["source"],
                model(
                    crop["volume"][None].to(device),
                    valid=valid.to(device),
                    hidden=held_out_levels(model, valid=valid, numbers=[index]),
                    generator=torch.Generator().manual_seed(0),
                ),
            )


def _plain(name: str) -> str:
    """A name that every file system takes."""
    stem = Path(name).name.split(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "_", stem)[:60]
