"""Write docs/evidence.md, and its row of the README, from the committed results.

python benchmarks/evidence/page.py
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

from arms import arms, peers
from budget import cost_of, cost_of_weights
from compare import restored, scores
from conclusions import CONCLUSIONS, README
from figures import draw, drawn
from kept import read
from said import said
from sections import sections
from text import END, FIGURES, HEAD, LEFT, MARKS, TITLES

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "evidence"
PAGE = ROOT / "docs" / "evidence.md"


def page(results: Path = RESULTS) -> str:
    """The text of the page."""
    parts = [HEAD, *_conclusions(results), *_figures(results)]
    for of in TITLES:
        parts += sections(of, results)
    return "\n".join([*parts, *_left(results), END.format(machine=machines(results))])


def _conclusions(results: Path) -> Iterator[str]:
    told = CONCLUSIONS.format(**said(results)).replace("; 3 seeds)", ")")
    title, *points = told.split("\n- ")
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


def _left(results: Path) -> Iterator[str]:
    """What has not been run, and what it would take."""
    lines, there = ["| arms that are not finished | seeds | core minutes |", "|---|---|---|"], set()
    for arm in (*arms(), *peers()):
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
        card = f"{at['gpu']} beside " if "gpu" in at else ""
        found.add(
            f"{card}{at['cpu']}, {at['threads']} thread, Python {at['python']}, "
            f"torch {at['torch']}, ssl3d {at['ssl3d']}"
        )
    return "; ".join(sorted(found))


if __name__ == "__main__":
    draw(RESULTS)
    PAGE.write_text(page(), encoding="utf-8")
    row = README.format(**said(RESULTS))
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    same = [row if line.startswith(row.split(" | ")[0]) else line for line in lines]
    (ROOT / "README.md").write_text("\n".join([*same, ""]), encoding="utf-8")
