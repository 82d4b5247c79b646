"""What is run: networks by name, and what a command line says of all parts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from internals import ExperimentSpec

WAVE: dict[str, Any] = {"name": "waveformer"}
M: dict[str, Any] = {"name": "resunet", "size": "M"}
L: dict[str, Any] = {"name": "resunet", "size": "L"}


class Network(NamedTuple):
    """A backbone, the edge of a volume in voxels, and volumes in a batch."""

    backbone: dict[str, Any]
    patch: int
    batch: int


NETWORKS = {
    "wave96b2": Network(WAVE, 96, 2),
    "wave96b8": Network(WAVE, 96, 8),
    "wave96b32": Network(WAVE, 96, 32),
    "wave128b8": Network(WAVE, 128, 8),
    "wave128b16": Network(WAVE, 128, 16),
    "resM128b2": Network(M, 128, 2),
    "resM128b8": Network(M, 128, 8),
    "resL160b2": Network(L, 160, 2),
    "resL160b4": Network(L, 160, 4),
    # for a dry run
    "tiny_wave": Network({**WAVE, "widths": [16, 32], "depths": [1, 1], "heads": [1, 2]}, 16, 2),
    "tiny_res": Network({"name": "resunet", "widths": [8, 16, 16], "blocks": [1, 1, 1]}, 16, 2),
}


@dataclass(frozen=True)
class Settings:
    """Options of all parts.

    Attributes:
        device: `cuda`, or `cpu` for a dry run.
        hidden: share of the cells that is hidden.
        rounds: timed runs of each form.
        tiny: small sizes, for a dry run.
        compile: also the encoder through `torch.compile`.
        out: folder for JSON; None writes none.
    """

    device: str = "cuda"
    hidden: float = 0.75
    rounds: int = 7
    tiny: bool = False
    compile: bool = False
    out: Path | None = None

    @property
    def cuda(self) -> bool:
        """True on a GPU."""
        return self.device == "cuda"

    def save(self, part: str, found: Any) -> None:
        """Write what a part has found so far: a part that is ended leaves it behind."""
        if self.out is None:
            return
        self.out.mkdir(parents=True, exist_ok=True)
        name = torch.cuda.get_device_name() if self.cuda else "cpu"
        content = {"device": name, "torch": torch.__version__, "settings": asdict(self)}
        text = json.dumps({**content, "found": found}, indent=1, default=str)
        (self.out / f"{part[:60]}.json").write_text(text + "\n", encoding="utf-8")


def spec_of(name: str, *, form: str, hidden: float) -> ExperimentSpec:
    """The experiment of a network; a form that starts with `visible` encodes visible cells."""
    network = NETWORKS[name]
    return ExperimentSpec(
        backbone=network.backbone,
        masker={"name": "random", "ratio": hidden},
        encoder_input="visible" if form.startswith("visible") else "zeroed",
        data={"volumes": "none", "patch": network.patch, "batch_size": network.batch},
    )
