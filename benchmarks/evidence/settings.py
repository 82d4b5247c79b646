"""What arms start from: networks, both bases, pre-trainings. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NETWORK = {"name": "waveformer", "widths": [32, 64, 128]}
"""Three stages, so cells of 8 voxels."""

RESUNET = {"name": "resunet", "widths": [16, 32, 64, 128], "strides": [1, 2, 2, 2]}
"""Cells of 8 voxels as well, and a stage at full resolution."""

RATE = 1e-3
"""Of fine-tuning, where an arm does not say another."""

QUIET = {"loggers": [], "pictures": 0, "validate_every": 1_000_000, "log_every": 100}

ON_GPU = {"trainer.accelerator": "gpu", "trainer.precision": "bf16", "data.workers": 2}

PRETRAIN: Mapping[str, Any] = {
    "backbone": NETWORK,
    "masker": {"name": "random", "ratio": 0.6},
    "decoder": {"name": "spark", "width": 64, "head_stride": 4},
    "data": {"patch": 32, "batch_size": 8, "normalise": {"name": "zscore"}, "workers": 0},
    "optimizer": {"lr": 1e-3},
    "trainer": {"steps": 1200, "checkpoint_every": 200, "keep_checkpoints": 1, **QUIET},
    "quality": {"images": False, "rank": False},
}
"""The base of pre-training, for both sets."""

FINETUNE: Mapping[str, Any] = {
    "decoder": {"name": "unet", "below": "interpolate"},
    "data": {
        "folds": 2,
        "fold": 0,
        "batch_size": 2,
        "normalise": {"name": "zscore"},
        "foreground": "otsu",
        "workers": 0,
    },
    # What was the default when the first arms were measured.
    "augment": {"flips": [True, True, True]},
    "windows": {"overlap": 0.25},
    "optimizer": {"lr": RATE},
    "trainer": {"steps": 400, "checkpoint_every": 200, "keep_checkpoints": 1, **QUIET},
}
"""The base of fine-tuning, for both sets."""

FLIPS_X: Mapping[str, Any] = {"augment": {"flips": [False, False, True]}}
"""Left to right alone, which is the default now."""

OF_SET: Mapping[str, Mapping[str, Any]] = {
    "left_atrium": {"patch": [32, 48, 48], "data.subjects": 8},
    "hippocampus": {"patch": [32, 40, 32], "data.subjects": 5, "data.batch_size": 4},
}
"""What a set changes in the base of fine-tuning."""

CHECKPOINTS = (2000, 8000, 16_000)
"""Steps of `x20` that are fine-tuned from too, for the course of Dice within a pre-training."""

KEPT = {"trainer.checkpoint_every": 2000, "trainer.keep_checkpoints": 1000}
"""What keeps them, also where a run was stopped and left one more."""

WEIGHTS: Mapping[str, Mapping[str, Any]] = {
    # One step at no rate: the control whose encoder has learned nothing.
    "random": {"trainer.steps": 1, "optimizer.lr": 1e-12},
    "x1": {},
    "x5": {"trainer.steps": 6000},
    "x20": {"trainer.steps": 24000, **KEPT},
    "x5-75": {"trainer.steps": 6000, "masker.ratio": 0.75},
    "x20-75": {"trainer.steps": 24000, "masker.ratio": 0.75},
    "x5-unet": {"trainer.steps": 6000, "decoder": {"name": "unet", "below": "interpolate"}},
    "x5-voxels": {"trainer.steps": 6000, "target": "voxels"},
    "x5-cell16": {"trainer.steps": 6000, "cell": 16},
    "x5-head2": {"trainer.steps": 6000, "decoder.head_stride": 2},
    "x5-zeroed": {"trainer.steps": 6000, "encoder_input": "zeroed"},
    "x20-zeroed": {"trainer.steps": 24000, "encoder_input": "zeroed", **KEPT},
    "x5-flipped-x": {"trainer.steps": 6000, "data.flips": [False, False, True]},
    "resunet-x5": {"trainer.steps": 6000, "backbone": RESUNET},
    "gpu": {"trainer.steps": 12_000, "data.batch_size": 32, **ON_GPU},
}
"""Pre-trainings: what each changes in `PRETRAIN`. x1, x5, x20: their length."""
