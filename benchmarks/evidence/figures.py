"""Draw the figures of docs/evidence.md; shown.py says what they show."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from compare import Scores, by_name, difference, mean, restored, scores
from kept import read
from shown import SHOWN, Figure, Line, Place
from text import TITLES


def drawn(results: Path) -> list[str]:
    """The figures of which there is something to show."""
    return [name for name, figure in SHOWN.items() if _there(figure, results=results)]


def draw(results: Path) -> None:
    """Write them beside the results."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    for name in drawn(results):
        figure = SHOWN[name]
        there = _there(figure, results=results)
        columns = len(there) * (1 + figure.apart)
        rows = 2 if columns > 2 else 1
        size = (6.5, 2.8 * rows)
        page, axes = pyplot.subplots(rows, columns // rows, figsize=size, squeeze=False)
        free: Iterator[Any] = iter(axes.flat)
        for of, points in there.items():
            axis = next(free)
            for number, line in enumerate(figure.lines[of]):
                _draw_line(axis, line, points[number], shift=1.03 ** (number if figure.log else 0))
            _label(axis, points, figure, title=TITLES[of], label=f"Dice, {figure.side} cases")
            axis.legend(frameon=False, fontsize=7)
            if figure.apart:
                axis = next(free)
                _draw_apart(axis, of, figure, points)
                title = f"{TITLES[of]}, paired"
                _label(axis, points, figure, title=title, label="difference to scratch")
        page.tight_layout()
        page.savefig(results / name, dpi=160, metadata={"Software": None})
        pyplot.close(page)


Points = list[list[tuple[float, Scores]]]
"""By line: place, and the scores of the seeds."""


def _there(figure: Figure, *, results: Path) -> dict[str, Points]:
    """The sets that have two places beside 0."""
    found = {of: _points(of, figure, results=results) for of in figure.lines}
    return {
        of: points
        for of, points in found.items()
        if len({place for line in points for place, _ in line if place}) > 1
    }


def _points(of: str, figure: Figure, *, results: Path) -> Points:
    found: Points = []
    for line in figure.lines[of]:
        found.append([])
        for place, name in line.points:
            arm = by_name(of).get(name)
            every = {} if arm is None else scores(arm, figure.side, results=results)
            at = _at(place, of=of, results=results)
            # A line joins means of the same seeds, or it shows what the seeds are.
            if set(figure.seeds) <= set(every) and at is not None:
                found[-1].append((at, {seed: every[seed] for seed in figure.seeds}))
    return found


def _at(place: Place, *, of: str, results: Path) -> float | None:
    """Where it is on the axis; None where that is not known yet."""
    if isinstance(place, tuple):
        times = read(results / "times.json")
        weights, step = place
        kind = "zeroed" if "zeroed" in weights else "visible"
        return None if times is None else step * float(times["seconds"][kind]) / 60
    if not isinstance(place, str):
        return place
    row = restored(of, place, results=results)
    return None if row is None else float(row["steps"]) / 1000


def _draw_line(
    axis: Any, line: Line, points: Sequence[tuple[float, Scores]], *, shift: float
) -> None:
    """Means over seeds as a line, each seed as an open mark; place 0 alone is a line all along."""
    style, means = {"color": line.colour, "marker": line.marker}, [mean(of) for _, of in points]
    if not points:
        return
    if [at for at, _ in points] == [0]:
        axis.axhline(means[0], linestyle=line.style, color=line.colour, label=line.legend)
        return
    for at, found in points:
        each = [100 * statistics.fmean(cases.values()) for cases in found.values()]
        axis.plot([at * shift] * len(each), each, ls="", ms=4, fillstyle="none", **style)
    places = [at * shift for at, _ in points]
    axis.plot(places, means, linestyle=line.style, ms=5, label=line.legend, **style)


def _draw_apart(axis: Any, of: str, figure: Figure, points: Points) -> None:
    """Each line's differences to the first, paired, with their 95 % intervals."""
    base = dict(points[0])
    for number, line in list(enumerate(figure.lines[of]))[1:]:
        for at, found in points[number]:
            apart = difference(base[at], found, of=of, side=figure.side)
            assert apart is not None, "both have the figure's seeds"
            reach = [[apart.mean - apart.low], [apart.high - apart.mean]]
            where = at * 1.03**number
            axis.errorbar(
                where, apart.mean, reach, fmt=line.marker, color=line.colour, capsize=3, ms=5
            )
    axis.axhline(0, color="black", linewidth=0.8)


def _label(axis: Any, points: Points, figure: Figure, *, title: str, label: str) -> None:
    axis.set(title=title, xlabel=figure.label, ylabel=label)
    if figure.log:
        axis.set_xscale("log")
        axis.minorticks_off()
        places = sorted({at for line in points for at, _ in line if at})
        axis.set_xticks(places, [f"{place:g}" for place in places])
