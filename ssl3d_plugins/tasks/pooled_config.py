"""Options that tasks on cases share."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ssl3d.kinds.task_config import TaskConfig


class PooledConfig(TaskConfig):
    """How the stages of the crops of a case become one vector."""

    per: ClassVar[Literal["voxel", "case"]] = "case"
    sites: Literal["mean", "maximum", "both"] = Field(
        default="mean",
        description="how each stage is pooled over its valid sites; maximum or both for findings "
        "of a few voxels",
    )
    crops: Literal["maximum", "attention"] = Field(
        default="maximum",
        description="how several crops of a case are joined: the maximum of each output, or gated "
        "attention over their features (arXiv 1802.04712)",
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="share of features dropped")


Names = tuple[Annotated[str, Field(min_length=1)], ...]


def refuse_twice(names: Names, *, option: str) -> None:
    """Raise ValueError where a name stands twice."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{option}: {', '.join(twice)} stands twice: leave one out")
