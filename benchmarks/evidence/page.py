"""Write docs/evidence.md, and its row of the README, from the committed results.

python benchmarks/evidence/page.py
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator
from pathlib import Path

from arms import CHOSEN, arms
from budget import cost_of, cost_of_weights
from compare import by_name, by_rate, difference, mean, restored, scores, tuned
from conclusions import CONCLUSIONS, README, said
from figures import draw, drawn
from kept import read
from sets import persons
from settings import WEIGHTS
from tables import arms_table, changes, dice, signed, worst_table
from text import (
    END,
    FIGURES,
    FINAL,
    FLIPS,
    HEAD,
    INNER,
    LEFT,
    LENGTHS,
    MARKS,
    STEPS,
    TITLES,
    TUNED,
)

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "evidence"
PAGE = ROOT / "docs" / "evidence.md"


def page(results: Path = RESULTS) -> str:
    """The text of the page."""
    parts = [HEAD, *_conclusions(results), *_figures(results)]
    for of, title in TITLES.items():
        parts += [f"## {title}\n", *_final(of, results), *_tuned(of, results)]
        parts += _inner(of, results)
        parts += _lengths(of, results)
    return "\n".join([*parts, *_left(results), END.format(machine=machines(results))])


def _conclusions(results: Path) -> Iterator[str]:
    title, *points = CONCLUSIONS.format(**said(results)).split("\n- ")
    yield title
    for point in points:
        yield textwrap.fill(
            "- " + " ".join(point.split()), width=99, subsequent_indent="  ", break_on_hyphens=False
        )
    yield ""


def _figures(results: Path) -> Iterator[str]:
    for name in drawn(results):
        yield f"![{FIGURES[name]}](../benchmarks/results/evidence/{name})\n"
    yield MARKS


def _final(of: str, results: Path) -> Iterator[str]:
    chosen = [by_name(of)[name] for name in CHOSEN[of]]
    found = {arm.name: scores(arm, "final", results=results) for arm in chosen}
    chosen = [arm for arm in chosen if found[arm.name]]
    if not chosen:
        yield "The final cases have not been looked at.\n"
        return
    yield FINAL.format(cases=len(persons(of, "final")))
    yield arms_table(chosen, found, of=of, side="final")
    yield worst_table({arm.name: found[arm.name] for arm in chosen})


def _tuned(of: str, results: Path) -> Iterator[str]:
    """Scratch against `x5`, each at its best rate, where both have run with several."""
    lines = []
    for steps, flips in itertools.product(STEPS, FLIPS):
        sides = [
            by_rate(of, weights, steps=steps, flips=flips, results=results)
            for weights in (None, "x5")
        ]
        rates = sorted(set(sides[0]) & set(sides[1]))
        if len(rates) < 2:
            continue
        pair = [max((tuned(side[lr], results=results) for lr in rates), key=mean) for side in sides]
        apart = difference(pair[0], pair[1], of=of, side="inner")
        assert apart is not None, "both have run with all seeds"
        at = ", ".join(f"{lr:g}" for lr in rates)
        lines.append(
            f"| {steps:,} | {FLIPS[flips]} | {at} | {dice(pair[0])} | {dice(pair[1])} "
            f"| {signed(apart)} |"
        )
    if lines:
        yield TUNED
        head = "| steps | flips | rates | from scratch | pre-trained | difference |"
        yield "\n".join([head, "|---|---|---|---|---|---|", *lines, ""])


def _inner(of: str, results: Path) -> Iterator[str]:
    mine = list(by_name(of).values())
    found = {arm.name: scores(arm, "inner", results=results) for arm in mine}
    there = [arm for arm in mine if found[arm.name]]
    if not there:
        yield "No arm has finished.\n"
        return
    yield INNER.format(cases=len(persons(of, "inner")), pool=len(persons(of, "pool")))
    yield arms_table(there, found, of=of, side="inner")


def _lengths(of: str, results: Path) -> Iterator[str]:
    rows = [(name, restored(of, name, results=results)) for name in WEIGHTS]
    there = [(name, row) for name, row in rows if row is not None]
    if there:
        yield LENGTHS
        lines = [
            "| encoder | changes | steps | held-out loss, share of trivial |",
            "|---|---|---|---|",
        ]
        for name, row in there:
            lines.append(
                f"| {name} | {changes(WEIGHTS[name])} | {row['steps']:,} | {row['relative']:.3f} |"
            )
        yield "\n".join(lines) + "\n"


def _left(results: Path) -> Iterator[str]:
    """What has not been run, and what it would take."""
    lines, there = ["| arms that are not finished | seeds | core minutes |", "|---|---|---|"], set()
    for arm in arms():
        done = scores(arm, "inner", results=results)
        seeds = [seed for seed in arm.seeds if seed not in done]
        if not seeds:
            continue
        seconds = len(seeds) * cost_of(arm)
        weights = arm.weights
        if (
            weights
            and (arm.of, weights) not in there
            and not restored(arm.of, weights, results=results)
        ):
            there.add((arm.of, weights))
            seconds += cost_of_weights(weights)
        lines.append(f"| {arm.of}/{arm.name} | {', '.join(map(str, seeds))} | {seconds / 60:.0f} |")
    yield LEFT
    yield "\n".join(lines) + "\n"


def machines(results: Path) -> str:
    """Where the results came from, in a line."""
    found = set[str]()
    for file in results.glob("*/*.json"):
        result = read(file)
        assert result is not None
        at = result["machine"]
        found.add(
            f"{at['cpu']}, {at['threads']} thread, Python {at['python']}, torch {at['torch']}, "
            f"ssl3d {at['ssl3d']}"
        )
    return "; ".join(sorted(found))


if __name__ == "__main__":
    draw(RESULTS)
    PAGE.write_text(page(), encoding="utf-8")
    row = README.format(**said(RESULTS))
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    same = [row if line.startswith(row.split(" | ")[0]) else line for line in lines]
    (ROOT / "README.md").write_text("\n".join([*same, ""]), encoding="utf-8")
