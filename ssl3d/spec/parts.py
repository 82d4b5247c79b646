"""The parts of a spec that are no plugin: decoder, optimiser, trainer. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class SpecPart(BaseModel):
    """Base of the parts: frozen, and unknown options are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )


class DecoderSpec(SpecPart):
    """The light decoder of SparK (arXiv 2301.03580, section 3.3), used in pre-training only."""

    width: int | None = Field(
        default=None,
        ge=8,
        description="channels at the deepest stage, halved at each finer scale; default: a quarter "
        "of the deepest stage's channels",
    )
    head_stride: int = Field(
        default=8,
        ge=1,
        description="in voxels: decode up to the first scale whose stride is at most this on every "
        "axis, and restore its voxels with one linear map. 1 is the paper's decoder, which goes up "
        "to full resolution and can cost more than the visible encoder",
    )
    densify: bool = Field(
        default=True,
        description="norm and projection of each stage before the decoder; false adds the bare "
        "features through a 1 x 1 x 1 projection where widths differ",
    )
    norm: Literal["layer", "batch", "instance"] = Field(
        default="layer", description="norm of densify, over visible sites"
    )
    token: bool = Field(
        default=True, description="a learned token of each stage where cells are hidden; false: 0"
    )


class OptimizerSpec(SpecPart):
    """AdamW with a linear warm-up and a cosine decay by default."""

    name: Literal["adamw", "sgd"] = Field(default="adamw", description="the update rule")
    lr: float = Field(default=3e-4, gt=0, description="peak learning rate")
    weight_decay: float = Field(default=0.05, ge=0, description="not on norms, biases and tokens")
    betas: tuple[float, float] = Field(default=(0.9, 0.95), description="AdamW's two decay rates")
    momentum: float = Field(default=0.99, ge=0, lt=1, description="SGD's Nesterov momentum")
    schedule: Literal["cosine", "poly", "constant"] = Field(
        default="cosine", description="decay after the warm-up; poly: (1 - t)^0.9"
    )
    warmup: float = Field(default=0.05, ge=0, lt=1, description="share of the steps to warm up")
    min_lr: float = Field(default=1e-6, ge=0, description="learning rate at the end of a cosine")
    clip: float | None = Field(
        default=1.0, gt=0, description="largest norm of the gradient; none: do not clip"
    )


class TrainerSpec(SpecPart):
    """How long, on what and in which precision."""

    steps: int = Field(default=10_000, ge=1, description="optimiser steps")
    accumulate: int = Field(default=1, ge=1, description="micro-batches to one optimiser step")
    precision: Literal["32", "bf16", "16"] = Field(
        default="32", description="32: single; bf16 and 16: mixed precision"
    )
    accelerator: Literal["auto", "cpu", "gpu"] = Field(default="auto", description="what to use")
    devices: int | Literal["auto"] = Field(default="auto", description="devices on each node")
    nodes: int = Field(default=1, ge=1, description="machines")
    strategy: str = Field(default="auto", description="Lightning's strategy: auto, ddp, fsdp, ...")
    log_every: int = Field(default=10, ge=1, description="steps between rows of metrics")
    validate_every: int = Field(
        default=500, ge=1, description="steps between measurements of the held-out loss"
    )
    checkpoint_every: int = Field(default=500, ge=1, description="steps between checkpoints")
    keep_checkpoints: int = Field(default=3, ge=1, description="newest checkpoints to keep")
    loggers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = Field(
        default=("tensorboard",), description="what logs beside metrics.csv, which is always there"
    )
    pictures: int = Field(default=4, ge=0, description="held-out volumes to draw at the end")
