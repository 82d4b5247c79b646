"""What `torch.compile` shall not look into."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])


def constant_in_graphs(function: F) -> F:
    """Have it called while a graph is traced, and its answer taken as a constant.

    As `torch.compiler.assume_constant_result` does, which imports the whole compiler for it.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function
