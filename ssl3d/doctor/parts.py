"""The parts that are examined in a process of their own, by name."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ssl3d.doctor.check import Check


@dataclass(frozen=True)
class Part:
    """What one process is to look at.

    Attributes:
        kind: `torch` is torch itself and everything that needs no sparse library.
        title: of the report's lines that no check could write.
        arguments: of the function that lists the checks; plain values.
    """

    kind: Literal["torch", "sparse_backend"]
    title: str
    arguments: Mapping[str, Any]


def checks_of(part: Part) -> Iterator[Check]:
    """List the checks of a part; imports what they need."""
    from ssl3d.plugin.registry import installed

    if part.kind == "sparse_backend":
        from ssl3d.doctor.sparse import sparse_checks

        return sparse_checks(installed(), part=part.title, **part.arguments)
    from ssl3d.doctor.backbones import backbone_checks
    from ssl3d.doctor.machine import machine_checks
    from ssl3d.doctor.maskers import masker_checks
    from ssl3d.doctor.wavelets import wavelet_checks

    return itertools.chain(
        machine_checks(**part.arguments),
        wavelet_checks(),
        masker_checks(installed()),
        backbone_checks(installed()),
    )
