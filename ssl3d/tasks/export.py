"""Take a run's encoder to another project: written, read back, compared, described by a card."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from ssl3d.files import write_json
from ssl3d.folder import RunFolder
from ssl3d.geometry import Triple, as_triple, show
from ssl3d.kinds.backbone import Backbone
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.kinds.export_config import ExportConfig, Written
from ssl3d.plugin.registry import did_you_mean
from ssl3d.plugin.spec_error import SpecError, explain
from ssl3d.run.resume import spec_before
from ssl3d.tasks.encoder import (
    WEIGHTS,
    backbone_of,
    behind,
    describe_encoder,
    load_encoder,
    make_encoder,
)
from ssl3d.tasks.encoder_folder import EncoderFolder
from ssl3d.tasks.pretrain.unfinished import encoder_of_checkpoint

CARD = "card.json"
FORMAT = 1
TOLERANCE = 1e-4
"""Largest difference of a feature map, as a share of its largest value. Both compute in single
precision, possibly by other routines."""


@dataclass(frozen=True)
class Exported:
    """What was exported.

    Attributes:
        out: the folder.
        files: names in it, the card's aside.
        card: what `card.json` says.
    """

    out: Path
    files: tuple[str, ...]
    card: dict[str, Any]


def export(
    run: str | os.PathLike[str],
    *,
    to: str,
    out: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Exported:
    """Write the encoder of a run for another project, and a card beside it.

    What was written is read back and computes on noise what the encoder computes, or nothing is
    left in `out`.

    Args:
        run: a run's folder, also one that has only checkpoints yet, or an exported encoder.
        to: `encoder`, or a way that the run's backbone has, such as `nnunet`.
        out: a folder that is new or empty; none: `exports/<to>` in that of the run.
        options: of that way, such as `plans`.

    Raises:
        SpecError: an option is unknown, missing or out of bounds.
        ValueError: there is no encoder, no such way, or the encoder does not fit there.
        ImportError: a library of the other project is missing.
    """
    source = Path(run)
    folder = Path(out) if out is not None else _folder_of(source) / "exports" / to
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"out: {folder} is there already: remove it, or give another folder")
    encoder, about, said = _trained(source)
    backbone = backbone_of(about)
    way = _way(to, backbone=backbone, options=options)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as unfinished:
        inside = Path(unfinished) / "files"
        inside.mkdir()
        written = way.write(encoder, backbone=backbone, about=about, out=inside)
        files = sorted(str(p.relative_to(inside)) for p in inside.rglob("*") if p.is_file())
        if not files or written.features in (encoder, written.encoder):
            raise ValueError(
                f"to: export {to!r} of {type(way).__module__} "
                f"{'compares the encoder with itself' if files else 'writes no file'}: it must "
                "write files, and give what is read back from them. Tell its authors"
            )
        compared = _compare(written, encoder=written.encoder or encoder, about=about)
        card = {
            "format": FORMAT,
            "to": way.model_dump(mode="json"),
            "run": str(source),
            "files": {name: _sha256(inside / name) for name in files},
            "compared": compared,
            "notes": [*said, *written.notes],
            **written.card,
            "encoder": about,
        }
        write_json(inside / CARD, card)
        os.replace(inside, folder)
    return Exported(folder, tuple(files), card)


def ways_of(backbone: BackboneConfig) -> dict[str, type[ExportConfig]]:
    """Every way out of a backbone, by name."""
    ways: dict[str, type[ExportConfig]] = {EncoderFolder.component_name(): EncoderFolder}
    for way in backbone.exports:
        name = way.component_name()
        if name in ways:
            raise ValueError(f"backbone {backbone.name!r} has two exports of the name {name!r}")
        ways[name] = way
    return ways


def _trained(source: Path) -> tuple[Backbone, dict[str, Any], list[str]]:
    """The encoder, what `encoder.json` says, and what must be said of where it came from."""
    folder = RunFolder(source)
    if folder.spec_json.exists() and "task" in spec_before(folder):
        raise ValueError(
            f"{source} is a fine-tuning run: what is exported is an encoder of pre-training, such "
            "as the one that the run started from"
        )
    newest = folder.newest_step()
    if source.is_dir() and newest and not (source / WEIGHTS).exists():
        about, weights = encoder_of_checkpoint(folder)
        said = f"The run has not ended: this is the encoder of its newest checkpoint, step {newest}"
        return make_encoder(about, weights=weights), about, [said]
    said_of_steps = behind(source)
    return load_encoder(source), describe_encoder(source), [said_of_steps] if said_of_steps else []


def _folder_of(source: Path) -> Path:
    return source if source.is_dir() else source.parent


def _way(to: str, *, backbone: BackboneConfig, options: dict[str, Any]) -> ExportConfig:
    ways = ways_of(backbone)
    if to not in ways:
        hint = did_you_mean(to, ways)
        raise ValueError(
            f"to: a {backbone.name!r} encoder has no export {to!r}.{hint} Allowed: "
            f"{', '.join(ways)}"
        )
    try:
        return ways[to](**options)
    except ValidationError as error:
        raise SpecError(explain(error, model=ways[to], given=options)) from None


@torch.no_grad()
def _compare(written: Written, *, encoder: Backbone, about: Mapping[str, Any]) -> dict[str, Any]:
    """What the files compute beside what the encoder computes, on noise of the patch's size."""
    patch: Triple = as_triple(about["input"]["patch"])
    channels = encoder.in_channels or about["in_channels"]
    generator = torch.Generator().manual_seed(0)
    volume = torch.randn(1, channels, *patch, generator=generator)
    ours = [one.clone() for one in encoder(volume)]
    theirs = list(written.features(volume))
    differences = [_difference(a, b) for a, b in zip(ours, theirs, strict=False)]
    if len(ours) != len(theirs) or not all(one <= TOLERANCE for one in differences):
        raise ValueError(
            f"what was written does not compute what the encoder computes, and was removed: "
            f"{len(theirs)} feature maps for {len(ours)}, largest differences as a share of the "
            f"largest value {differences}, allowed {TOLERANCE}"
        )
    return {"volume": f"noise, {show(patch)} voxels", "differences": differences}


def _difference(ours: Tensor, theirs: Tensor) -> float:
    """As a share of the largest value; infinite where they cannot be compared."""
    if ours.shape != theirs.shape or not bool(ours.isfinite().all()):
        return float("inf")
    largest = max(float(ours.abs().max()), 1e-12)
    return float((ours - theirs).abs().max()) / largest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
