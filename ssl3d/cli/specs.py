"""Which spec a command is asked about."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ssl3d.plugin.typed_spec import TypedSpec


class Kind(StrEnum):
    """Commands that take a spec."""

    PRETRAIN = "pretrain"
    FINETUNE = "finetune"


Of = Annotated[Kind, typer.Option("--of", help="The command whose spec it is about.")]


def spec_of(kind: Kind) -> type[TypedSpec]:
    """The class of a command's spec."""
    from ssl3d.tasks.finetune.spec import FinetuneSpec
    from ssl3d.tasks.pretrain.spec import ExperimentSpec

    return ExperimentSpec if kind is Kind.PRETRAIN else FinetuneSpec
