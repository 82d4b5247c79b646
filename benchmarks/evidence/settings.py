"""What arms start from: networks, both bases, pre-trainings. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NETWORK = {"name": "waveformer", "widths": [32, 64, 128]}
"""Three stages, so cells of 8 voxels."""

RESUNET = {"name": "resunet", "widths": [16, 32, 64, 128], "strides": [1, 2, 2, 2]}
"""Cells of 8 voxels as well, and a stage at full resolution."""

NARROW = {**RESUNET, "widths": [8, 16, 32, 64]}
"""Half as wide: a step takes about what one of `NETWORK` does."""

RATE = 1e-3
"""Of fine-tuning, where an arm does not say another."""

QUIET = {"loggers": [], "pictures": 0, "validate_every": 1_000_000, "log_every": 100}

ON_GPU = {
    "trainer.accelerator": "gpu",
    "trainer.precision": "bf16",
    "trainer.cuda_graph": True,
    "data.workers": 2,
}

PRETRAIN: Mapping[str, Any] = {
    "backbone": NETWORK,
    "masker": {"name": "random", "ratio": 0.6},
    "decoder": {"name": "spark", "width": 64, "head_stride": 4},
    "data": {"patch": 32, "batch_size": 8, "normalise": {"name": "zscore"}, "workers": 0},
    "optimizer": {"lr": 1e-3},
    # All are kept: arms start from some. One more is left where a run was stopped.
    "trainer": {"steps": 1200, "checkpoint_every": 2000, "keep_checkpoints": 1000, **QUIET},
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
    "augment": {"flips": [False, False, True]},
    "windows": {"overlap": 0.25},
    "optimizer": {"lr": RATE},
    "trainer": {"steps": 400, "checkpoint_every": 200, "keep_checkpoints": 1, **QUIET},
}
"""The base of fine-tuning, for both sets."""

ALL_FLIPS: Mapping[str, Any] = {"augment.flips": [True, True, True]}
"""What was the default when the first arms were measured."""

OF_SET: Mapping[str, Mapping[str, Any]] = {
    "left_atrium": {"patch": [32, 48, 48], "data.subjects": 8},
    "hippocampus": {"patch": [32, 40, 32], "data.subjects": 5, "data.batch_size": 4},
}
"""What a set changes in the base of fine-tuning."""

CHECKPOINTS = (2000, 4000)
"""Steps within `x5-seed1` that are fine-tuned from too, for the course of Dice over its cost."""

X5 = {"trainer.steps": 6000}

ZEROED = {**X5, "encoder_input": "zeroed"}

EQUAL_TIME = 3200
"""Steps of `zeroed` in the time of `x5`, as times.py measures it."""

WEIGHTS: Mapping[str, Mapping[str, Any]] = {
    # One step at no rate: the control whose encoder has learned nothing.
    "random": {"trainer.steps": 1, "optimizer.lr": 1e-12},
    "x1": {},
    "x5": X5,
    "x20": {"trainer.steps": 24000},
    # Pre-trained once more on another processor, which rounds otherwise, so other encoders.
    "x5-again": X5,
    "x5-zeroed-again": ZEROED,
    "x5-seed1": {**X5, "seed": 1},
    "x5-seed2": {**X5, "seed": 2},
    "x5-ratio75": {**X5, "masker.ratio": 0.75},
    "x5-voxels": {**X5, "target": "voxels"},
    "x5-zeroed": ZEROED,
    "x5-zeroed-short": {**ZEROED, "trainer.steps": EQUAL_TIME},
    "x5-seed1-zeroed": {**ZEROED, "seed": 1},
    "x5-seed1-zeroed-short": {**ZEROED, "seed": 1, "trainer.steps": EQUAL_TIME},
    "x5-cell16": {**X5, "cell": 16},
    "x5-flipped-x": {**X5, "data.flips": [False, False, True]},
    "x5-fast": {**X5, "optimizer.lr": 2e-3},
    "x5-unet": {**X5, "decoder": {"name": "unet", "below": "interpolate"}},
    "resunet-x5": {**X5, "backbone": RESUNET},
    "narrow-x1": {"backbone": NARROW},
    # Its norms are over all sites, those of narrow-x1 over visible ones.
    "narrow-x1-zeroed": {"encoder_input": "zeroed", "backbone": NARROW},
    # As many crops as x20.
    "gpu": {**ON_GPU, "trainer.steps": 6000, "data.batch_size": 32, "data.workers": 8},
}
"""Pre-trainings: what each changes in `PRETRAIN`. x1, x5, x20: their length."""
