"""What the figures of docs/evidence.md show: lines of arms, by set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from arm import COURSE, TUNING
from sets import Side
from settings import CHECKPOINTS, EQUAL_TIME, X5

Place = float | str | tuple[str, int]
"""On the axis. Of an encoder: its thousands of steps; with a step: the minutes to that."""


class Line(NamedTuple):
    """Arms that belong together.

    Attributes:
        legend: what they are.
        points: place and name of each.
        style: of the line; empty where they are not joined.
        marker: of each.
        grey: whether it is drawn in grey.
    """

    legend: str
    points: Sequence[tuple[Place, str]]
    style: str = "-"
    marker: str = "o"
    grey: bool = False

    @property
    def colour(self) -> str:
        """For print."""
        return "0.5" if self.grey else "black"


class Figure(NamedTuple):
    """What a figure shows.

    Attributes:
        lines: by set; one whose only place is 0 is drawn all along.
        label: of the axis of places.
        side: whose cases.
        seeds: of which a point is the mean; it is left out where one is missing.
        log: whether places grow by a factor.
        apart: whether differences to the first line are shown beside, with their intervals.
    """

    lines: Mapping[str, Sequence[Line]]
    label: str
    side: Side = "inner"
    seeds: Sequence[int] = TUNING
    log: bool = False
    apart: bool = False


def _lengths(start: str) -> list[tuple[Place, str]]:
    return [(400, start), (1200, f"{start}-1200"), (3600, f"{start}-3600")]


def _course(weights: str) -> list[tuple[Place, str]]:
    return [((weights, step), f"{weights}-at{step}") for step in CHECKPOINTS]


def _labels(start: str, base: int, subjects: Sequence[int]) -> list[tuple[Place, str]]:
    return [(n, start if n == base else f"{start}-of-{n}") for n in subjects]


SCRATCH = Line("from scratch", [(0, "scratch")], "--", "s")
VISIBLE_END: Sequence[tuple[Place, str]] = [(("x5-seed1", X5["trainer.steps"]), "x5-seed1")]
ZEROED_ENDS: Sequence[tuple[Place, str]] = [
    (("x5-seed1-zeroed-short", EQUAL_TIME), "x5-seed1-zeroed-short"),
    (("x5-seed1-zeroed", X5["trainer.steps"]), "x5-seed1-zeroed"),
]
SHOWN: Mapping[str, Figure] = {
    "lengths.png": Figure(
        {
            of: [
                Line("from scratch", _lengths("scratch"), "--", "s"),
                Line("pre-trained, x5", _lengths("x5")),
                Line("pre-trained, x20", _lengths("x20"), marker="^", grey=True),
            ]
            for of in ("left_atrium", "hippocampus")
        },
        "steps of fine-tuning",
        side="final",
        log=True,
        apart=True,
    ),
    "cost.png": Figure(
        {
            of: [SCRATCH, Line("pre-trained", [(w, w) for w in ("x1", "x5", "x20")])]
            for of in ("left_atrium", "hippocampus")
        },
        "pre-training, thousand steps",
        log=True,
    ),
    "labels.png": Figure(
        {
            of: [
                Line("from scratch", _labels("scratch", base, subjects), "--", "s"),
                Line("pre-trained, x5", _labels("x5", base, subjects)),
            ]
            for of, base, subjects in (
                ("left_atrium", 8, (4, 8, 16)),
                ("hippocampus", 5, (2, 5, 20)),
            )
        },
        "labelled subjects",
        log=True,
    ),
    "course.png": Figure(
        {
            "left_atrium": [
                SCRATCH,
                Line("visible, on its way", _course("x5-seed1")),
                Line(
                    "visible, at its end",
                    [(("x5-seed1", X5["trainer.steps"]), "x5-seed1")],
                    "",
                    "*",
                ),
                Line("zeroed, on its way", _course("x5-seed1-zeroed"), marker="^", grey=True),
                Line("zeroed, at an end", ZEROED_ENDS, "", "P", grey=True),
            ]
        },
        "pre-training, core minutes",
        seeds=COURSE,
    ),
}
