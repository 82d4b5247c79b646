"""The `trainer` part of a spec: length, devices, logs. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ssl3d.plugin.section import Section


def _some(devices: int) -> int:
    if devices == 0:
        raise ValueError("given 0; must be a number from 1, or -1 for all GPUs")
    return devices


Devices = Annotated[int, Field(ge=-1, le=1024), AfterValidator(_some)]


def _precision(value: Any) -> Any:
    """A precision that YAML, or a person, has written as a number."""
    return str(value) if isinstance(value, int) else value


def _strategy(value: Any) -> Any:
    """One that trains here; `fsdp` is refused with its reason."""
    if isinstance(value, str) and "fsdp" in value:
        raise ValueError(
            f"given {value!r}: sharded weights are not supported, since the loop has not been "
            "shown to resume and to skip a step with them; use auto or ddp"
        )
    return value


class BestSpec(Section):
    """A number that says which weights are best: their checkpoint is kept."""

    number: str = Field(description="column of metrics.csv, such as held_out/mse or probe/dice")
    larger: bool = Field(default=False, description="true where a larger number is better")
    patience: int | None = Field(
        default=None,
        ge=1,
        description="measurements without a better one before the run ends early; none: it does "
        "not end early",
    )


class TrainerSpec(Section):
    """How long, on what and in which precision."""

    steps: int = Field(
        default=10_000,
        ge=1,
        le=10**9,
        description="optimiser steps",
        json_schema_extra={"unit": "steps"},
    )
    accumulate: int = Field(
        default=1, ge=1, le=10**6, description="micro-batches to one optimiser step"
    )
    precision: Annotated[Literal["auto", "32", "bf16", "16"], BeforeValidator(_precision)] = Field(
        default="auto",
        description="32: single; bf16 and 16: mixed precision; auto: bf16 on CUDA devices that "
        "have it, else 16 where they have tensor cores, else 32",
    )
    tf32: bool | None = Field(
        default=None,
        description="whether what a CUDA device computes in single precision may take TF32, whose "
        "products have 11 bits; none: with bf16 and 16, where nothing has to be deterministic",
    )
    accelerator: Literal["auto", "cpu", "gpu"] = Field(default="auto", description="what to use")
    devices: Devices | Literal["auto"] = Field(
        default="auto",
        description="devices on each node, from 1; -1: all GPUs; auto: all GPUs, or the CPU",
    )
    nodes: int = Field(default=1, ge=1, le=10_000, description="machines")
    strategy: Annotated[
        Literal["auto", "ddp", "ddp_find_unused_parameters_true"], BeforeValidator(_strategy)
    ] = Field(
        default="auto", description="how ranks share the work; auto: ddp where there are more"
    )
    compile: bool = Field(default=False, description="compile the model with torch.compile")
    cuda_graph: bool | Literal["auto"] = Field(
        default="auto",
        description="launch forward and backward as one CUDA graph; auto: on one GPU, for "
        "batches of the shape that most have; true: all, or an error",
    )
    checkpoint_activations: bool = Field(
        default=False,
        description="compute activations again in the backward pass: less memory, more time",
    )
    deterministic: bool = Field(
        default=False, description="refuse operations that give other bits each time on a GPU"
    )
    max_hours: float | None = Field(
        default=None,
        gt=0,
        description="hours after which this start saves and ends; none: no limit",
        json_schema_extra={"unit": "hours"},
    )
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
    best: BestSpec | None = Field(
        default=None,
        description="number by which the best checkpoint is kept beside the newest: one is written "
        "where it is better than before",
    )
    max_skipped_streak: int = Field(
        default=5, ge=1, description="steps in a row whose gradient is not finite that end a run"
    )
    max_skipped_share: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="share of the last 100 steps whose gradient is not finite that ends a run",
    )
    loggers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = Field(
        default=("tensorboard",), description="what logs beside metrics.csv, which is always there"
    )
    pictures: int = Field(default=4, ge=0, description="held-out volumes to draw at the end")

    @property
    def not_graphed(self) -> tuple[str, ...]:
        """Options that a CUDA graph of one micro-batch on one device leaves out."""
        others = {
            "accelerator": self.accelerator == "cpu",
            "devices": self.devices not in ("auto", 1, -1),
            "nodes": self.nodes > 1,
            "strategy": self.strategy != "auto",
            "accumulate": self.accumulate > 1,
            "precision": self.precision == "16",
            "compile": self.compile,
            "checkpoint_activations": self.checkpoint_activations,
        }
        return tuple(name for name, other in others.items() if other)

    @model_validator(mode="after")
    def _can_be_a_graph(self) -> TrainerSpec:
        if self.cuda_graph is True and self.not_graphed:
            given = ", ".join(f"{name} {getattr(self, name)}" for name in self.not_graphed)
            raise ValueError(
                f"cuda_graph is true, with {given}: a graph is one micro-batch on one GPU, in "
                "precision 32 or bf16, neither compiled nor with activations computed again; set "
                "it to auto or false, or leave these out"
            )
        return self

    @model_validator(mode="after")
    def _all_are_gpus(self) -> TrainerSpec:
        if self.devices == -1 and self.accelerator == "cpu":
            raise ValueError(
                "devices is -1, which means all GPUs, and accelerator is cpu: give the number of "
                "processes"
            )
        return self
