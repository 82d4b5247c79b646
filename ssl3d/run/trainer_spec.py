"""The `trainer` part of a spec: length, devices, logs. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ssl3d.plugin.spec_part import SpecPart


class TrainerSpec(SpecPart):
    """How long, on what and in which precision."""

    steps: int = Field(
        default=10_000,
        ge=1,
        description="optimiser steps",
        json_schema_extra={"unit": "steps"},
    )
    accumulate: int = Field(default=1, ge=1, description="micro-batches to one optimiser step")
    precision: Literal["32", "bf16", "16"] = Field(
        default="32", description="32: single; bf16 and 16: mixed precision"
    )
    accelerator: Literal["auto", "cpu", "gpu"] = Field(default="auto", description="what to use")
    devices: int | Literal["auto"] = Field(default="auto", description="devices on each node")
    nodes: int = Field(default=1, ge=1, description="machines")
    strategy: str = Field(default="auto", description="Lightning's strategy: auto, ddp, fsdp, ...")
    log_every: int = Field(
        default=10,
        ge=1,
        description="steps between rows of metrics",
        json_schema_extra={"unit": "steps"},
    )
    validate_every: int = Field(
        default=500,
        ge=1,
        description="steps between measurements of the held-out loss",
        json_schema_extra={"unit": "steps"},
    )
    checkpoint_every: int = Field(
        default=500,
        ge=1,
        description="steps between checkpoints",
        json_schema_extra={"unit": "steps"},
    )
    keep_checkpoints: int = Field(default=3, ge=1, description="newest checkpoints to keep")
    loggers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = Field(
        default=("tensorboard",), description="what logs beside metrics.csv, which is always there"
    )
    pictures: int = Field(default=4, ge=0, description="held-out volumes to draw at the end")
