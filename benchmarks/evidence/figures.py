"""Figures of docs/evidence.md: Dice over pre-training, fine-tuning and labelled subjects."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arms import TUNING
from compare import by_name, mean, restored, scores
from kept import read
from settings import CHECKPOINTS, X5
from text import TITLES

STYLES = {
    "from scratch": ("black", "s", "--"),
    "visible cells alone": ("black", "o", "-"),
    "zeroed volumes": ("0.45", "^", "-"),
    "pre-trained": ("black", "o", "-"),
    "pre-trained, x5": ("black", "o", "-"),
    "pre-trained, x20": ("0.45", "^", "-"),
}


Points = Sequence[tuple[float | str | tuple[str, int], str]]
"""Place on the axis, and the arm. For an encoder it is its length, with a step the time to it."""

COST: Mapping[str, Mapping[str, Points]] = {
    of: {"from scratch": [(0, "scratch")], "pre-trained": [(w, w) for w in lengths]}
    for of, lengths in {"left_atrium": ("x1", "x5", "x20"), "hippocampus": ("x5",)}.items()
}
LENGTHS: Mapping[str, Mapping[str, Points]] = {
    "left_atrium": {
        legend: [(400, start), (1200, f"{start}-1200"), (3600, f"{start}-3600")]
        for legend, start in (
            ("from scratch", "scratch"),
            ("pre-trained, x5", "x5"),
            ("pre-trained, x20", "x20"),
        )
    },
}
LABELS: Mapping[str, Mapping[str, Points]] = {
    of: {
        legend: [(n, start if n == base else f"{start}-of-{n}") for n in subjects]
        for legend, start in (("from scratch", "scratch"), ("pre-trained", "x5"))
    }
    for of, base, subjects in (("left_atrium", 8, (4, 8, 16)), ("hippocampus", 5, (2, 5, 20)))
}


COURSE: Mapping[str, Mapping[str, Points]] = {
    "left_atrium": {
        "from scratch": [(0, "scratch")],
        **{
            legend: [
                *(((weights, step), f"{weights}-at{step}") for step in CHECKPOINTS),
                ((weights, X5["trainer.steps"]), weights),
            ]
            for legend, weights in (
                ("visible cells alone", "x5-seed1"),
                ("zeroed volumes", "x5-seed1-zeroed"),
            )
        },
    },
}
COURSES: Mapping[str, tuple[Mapping[str, Mapping[str, Points]], str]] = {
    "lengths.png": (LENGTHS, "steps of fine-tuning"),
    "cost.png": (COST, "pre-training, thousand steps"),
    "labels.png": (LABELS, "labelled subjects"),
    "course.png": (COURSE, "pre-training, core minutes"),
}
"""What each figure shows, and over what."""


def drawn(results: Path) -> list[str]:
    """The figures of which there is something to show."""
    return [name for name, (curves, _) in COURSES.items() if _there(curves, results=results)]


def draw(results: Path) -> None:
    """Write them beside the results."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    for name in drawn(results):
        curves, label = COURSES[name]
        there = _there(curves, results=results)
        figure, axes = pyplot.subplots(1, len(there), figsize=(6.5, 2.8), squeeze=False)
        for axis, (of, lines) in zip(axes[0], there.items(), strict=True):
            for legend, points in lines.items():
                _line(axis, legend, points)
            places = sorted({at for points in lines.values() for at, _ in points})
            axis.set(title=TITLES[of], xlabel=label, ylabel="Dice, inner cases")
            if curves is LENGTHS:  # each three times the one before
                axis.set_xscale("log")
                axis.minorticks_off()
            axis.set_xticks(places, [f"{place:g}" for place in places])
            axis.legend(frameon=False, fontsize=8)
        figure.tight_layout()
        figure.savefig(results / name, dpi=160, metadata={"Software": None})
        pyplot.close(figure)


def _there(
    curves: Mapping[str, Mapping[str, Points]], *, results: Path
) -> dict[str, dict[str, list[tuple[float, list[float]]]]]:
    """The sets that have a course, with its points."""
    shown = {of: _points(of, curves[of], results=results) for of in curves}
    return {of: lines for of, lines in shown.items() if _is_course(lines)}


def _points(
    of: str, lines: Mapping[str, Points], *, results: Path
) -> dict[str, list[tuple[float, list[float]]]]:
    """By line: place, and the mean Dice of each seed."""
    found: dict[str, list[tuple[float, list[float]]]] = {}
    for legend, points in lines.items():
        found[legend] = []
        for place, name in points:
            seeds = scores(by_name(of)[name], "inner", results=results)
            # A line joins means of the same seeds, or it shows what the seeds are.
            if set(TUNING) <= set(seeds):
                at = _at(place, of=of, results=results)
                if at is not None:
                    found[legend].append((at, [mean({seed: seeds[seed]}) for seed in TUNING]))
    return found


def _is_course(lines: Mapping[str, Sequence[tuple[float, list[float]]]]) -> bool:
    """True where there are two places at least."""
    return len({at for points in lines.values() for at, _ in points}) > 1


def _line(axis: Any, legend: str, points: Sequence[tuple[float, list[float]]]) -> None:
    """Means over seeds as a line, each seed as a mark; one place alone is a line all along."""
    colour, mark, line = STYLES[legend]
    for at, each in points:
        axis.plot([at] * len(each), each, mark, color=colour, markersize=4, fillstyle="none")
    means = [statistics.fmean(each) for _, each in points]
    if len(points) == 1 and points[0][0] == 0:
        axis.axhline(means[0], linestyle=line, color=colour, label=legend)
    elif points:
        places = [at for at, _ in points]
        axis.plot(places, means, line, marker=mark, markersize=5, color=colour, label=legend)


def _at(place: float | str | tuple[str, int], *, of: str, results: Path) -> float | None:
    """Where it is on the axis; None where no time has been measured."""
    if isinstance(place, tuple):
        weights, step = place
        times = read(results / "times.json")
        return None if times is None else step * float(times["seconds"][weights]) / 60
    if not isinstance(place, str):
        return place
    row = restored(of, place, results=results)
    assert row is not None, "an arm has finished, so has its pre-training"
    return float(row["steps"]) / 1000
