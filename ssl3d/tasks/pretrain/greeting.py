"""What a run says before it begins."""

from __future__ import annotations

from rich.console import Console

from ssl3d.data import RunVolumes
from ssl3d.data.data_error import shown
from ssl3d.folder import RunFolder
from ssl3d.masked.model import PretrainModel
from ssl3d.tasks.pretrain.spec import ExperimentSpec


def greet(
    console: Console,
    model: PretrainModel,
    *,
    spec: ExperimentSpec,
    data: RunVolumes,
    folder: RunFolder,
    step: int,
) -> None:
    """Say what is about to happen."""
    encoder = sum(p.numel() for p in model.backbone.parameters())
    console.print(
        f"Pre-training {spec.backbone.name} ({encoder / 1e6:.3g} M parameters) on "
        f"{len(data.train_files)} volumes, {len(data.held_out_files)} held out, into "
        f"{shown(folder.root)}",
        markup=False,
        soft_wrap=True,
    )
    if spec.feature_encoder is not None:
        console.print(
            "Features are hidden, not the input: what is hidden reaches the visible features "
            "through the backbone. Losses cannot be compared with those of a hidden input"
        )
    if spec.restores and not spec.shows:
        console.print("Features are restored: there will be no PSNR, SSIM or pictures of volumes")
    if not spec.restores:
        console.print(
            "No loss needs a restored volume: there is no decoder, and there will be no PSNR, SSIM "
            "or pictures of restored volumes"
        )
    if step:
        console.print(f"Going on from step {step} of {spec.trainer.steps}")
