"""The sections of docs/evidence.md that each set has."""

from __future__ import annotations

import itertools
import statistics
import textwrap
from collections.abc import Iterator
from pathlib import Path

from arm import ALL, Arm
from arms import CHOSEN, arms, gpu_arms, peers
from compare import by_name, by_rate, difference, mean, restored, scores, tuned
from kept import read
from probed import probe_table
from sets import Side, persons
from settings import WEIGHTS
from tables import arms_table, changes, dice, signed, worst_table
from text import APART, FINAL, FLIPS, INNER, LENGTHS, PEER, PROBED, STEPS, TITLES, TUNED, WORST


def sections(of: str, results: Path) -> Iterator[str]:
    """All of a set, its title first."""
    yield f"## {TITLES[of]}\n"
    for section in (_final, _tuned, _inner, _probed, _lengths, _peer, _apart):
        yield from section(of, results)


def _final(of: str, results: Path) -> Iterator[str]:
    chosen = [by_name(of)[name] for name in CHOSEN[of] if ALL not in name]
    found = {arm.name: scores(arm, "final", results=results) for arm in chosen}
    chosen = [arm for arm in chosen if found[arm.name]]
    if not chosen:
        yield "The final cases have not been looked at.\n"
        return
    yield FINAL.format(**_sizes(of, "final"))
    yield arms_table(chosen, found, of=of, side="final")
    yield worst_table({arm.name: found[arm.name] for arm in chosen})
    if of == "hippocampus" and (results / "worst.png").is_file():
        yield WORST


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
    mine = [arm for arm in (*arms(), *gpu_arms()) if arm.of == of and ALL not in arm.name]
    pool = len(set(persons(of, "pool").values()))
    yield INNER.format(**_sizes(of, "inner"), pool=pool)
    yield _table(mine, of=of, side="inner", results=results)


def _probed(of: str, results: Path) -> Iterator[str]:
    table = probe_table(of, results=results)
    if table:
        yield PROBED
        yield table


def _apart(of: str, results: Path) -> Iterator[str]:
    """What has other flips than the default, with what it is compared with."""
    mine = [arm for arm in arms() if arm.of == of and ALL in arm.name]
    for side in ("final", "inner"):
        table = _table(mine, of=of, side=side, results=results)
        if table:
            yield APART.format(side=side)
            yield table


def _table(mine: list[Arm], *, of: str, side: Side, results: Path) -> str:
    """Of those that have finished; empty where none has."""
    found = {name: scores(arm, side, results=results) for name, arm in by_name(of).items()}
    there = [arm for arm in mine if found[arm.name]]
    return arms_table(there, found, of=of, side=side) if there else ""


def _sizes(of: str, side: Side) -> dict[str, int]:
    person = persons(of, side)
    return {"cases": len(person), "persons": len(set(person.values()))}


def _peer(of: str, results: Path) -> Iterator[str]:
    """Beside scratch and `x5`, with the same seeds."""
    for peer in peers():
        scored = scores(peer, "inner", results=results)
        if peer.of != of or not scored:
            continue
        each = [read(results / of / f"{peer.name}-s{seed}.json") for seed in scored]
        rows = [one for one in each if one is not None]
        seconds = statistics.fmean(row["cpu_seconds"] for row in rows)
        steps = rows[0]["steps"]
        told = ", ".join(f"{mean({seed: one}):.0f}" for seed, one in scored.items())
        share, minutes = 100 * steps / 250_000, seconds / 60
        filled = PEER.format(steps=steps, share=share, minutes=minutes, each=told)
        title, text = filled.split("\n\n")
        yield f"{title}\n\n{textwrap.fill(text, width=99)}\n"
        found = {
            name: {
                seed: one
                for seed, one in scores(by_name(of)[name], "inner", results=results).items()
                if seed in scored
            }
            for name in ("scratch", "x5")
        }
        yield arms_table(
            [by_name(of)["scratch"], by_name(of)["x5"], peer],
            {**found, peer.name: scored},
            of=of,
            side="inner",
        )


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
