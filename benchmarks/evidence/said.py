"""The numbers that the page and the README conclude with; all come from the results."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from arm import ALL, COURSE, TUNING
from compare import by_name, difference, mean, scores
from kept import read
from probed import probe_numbers
from sets import Side, persons
from settings import WEIGHTS
from tables import with_seeds


class Told(NamedTuple):
    """An arm against another.

    Attributes:
        of: the set.
        arm: the arm.
        against: what it is compared with.
        side: on whose cases.
        seeds: of which seeds alone; None: of all that both have.
    """

    of: str
    arm: str
    against: str
    side: Side = "final"
    seeds: tuple[int, ...] | None = None


LA, HC = "left_atrium", "hippocampus"

SAID: Mapping[str, Told] = {
    "x5_atria": Told(LA, "x5", "scratch"),
    "x5_hippocampi": Told(HC, "x5", "scratch"),
    "x5_1200": Told(LA, "x5-1200", "scratch-1200"),
    "again_1200": Told(LA, "x5-again-1200", "scratch-1200"),
    "again_x5": Told(LA, "x5-again-1200", "x5-1200"),
    "x20_1200": Told(LA, "x20-1200", "scratch-1200"),
    "x5_3600": Told(LA, "x5-3600", "scratch-3600"),
    "x20_3600": Told(LA, "x20-3600", "scratch-3600"),
    "gpu": Told(LA, "gpu-pretrained", "gpu-scratch"),
    "gpu_inner": Told(LA, "gpu-pretrained", "gpu-scratch", "inner"),
    "gpu_scratch": Told(LA, "gpu-scratch", "scratch-3600"),
    "scratch_1200": Told(LA, "scratch-1200", "scratch"),
    "scratch_3600": Told(LA, "scratch-3600", "scratch-1200"),
    "hippocampi_1200": Told(HC, "x5-1200", "scratch-1200"),
    "hippocampi_scratch_1200": Told(HC, "scratch-1200", "scratch"),
    "ninth_x5": Told(LA, "x5", "scratch-3600"),
    "third_x5": Told(LA, "x5-1200", "scratch-3600"),
    "third_x20": Told(LA, "x20-1200", "scratch-3600"),
    "hippocampi_third": Told(HC, "x5", "scratch-1200"),
    "x1_scratch": Told(LA, "x1", "scratch", "inner"),
    "x5_scratch": Told(LA, "x5", "scratch", "inner", seeds=TUNING),
    "x1_x5": Told(LA, "x1", "x5", "inner"),
    "x20_more": Told(LA, "x20", "x5"),
    "x20_more_1200": Told(LA, "x20-1200", "x5-1200"),
    "x20_more_3600": Told(LA, "x20-3600", "x5-3600"),
    "other_seed": Told(LA, "x5-seed1", "x5", "inner"),
    "zeroed_atria": Told(LA, "x5-seed1-zeroed", "x5-seed1"),
    "zeroed_short_atria": Told(LA, "x5-seed1-zeroed-short", "x5-seed1"),
    "zeroed_hippocampi": Told(HC, "x5-zeroed", "x5"),
    "zeroed_inner_hippocampi": Told(HC, "x5-zeroed", "x5", "inner"),
    "zeroed_short_hippocampi": Told(HC, "x5-zeroed-short", "x5"),
    "ratio_zeroed_hippocampi": Told(HC, "x5-ratio75", "x5-zeroed"),
    "zeroed_of_20": Told(HC, "x5-zeroed-again-of-20", "x5-of-20"),
    "at2000": Told(LA, "x5-seed1-at2000", "x5-seed1", "inner"),
    "voxels": Told(LA, "x5-voxels", "x5", "inner"),
    "ratio": Told(LA, "x5-ratio75", "x5", "inner"),
    "cell16": Told(LA, "x5-cell16", "x5", "inner"),
    "flipped": Told(LA, "x5-flipped-x", "x5", "inner"),
    "fast": Told(LA, "x5-fast", "x5", "inner"),
    "unet": Told(LA, "x5-unet", "x5", "inner"),
    "decoder": Told(LA, "x5-unet-decoder", "x5-unet", "inner"),
    "slow": Told(LA, f"x5-slow-encoder{ALL}", f"x5{ALL}", "inner"),
    "sawtooth": Told(LA, f"x5-sawtooth{ALL}", f"x5{ALL}", "inner"),
    "tenth": Told(LA, f"x5-tenth-peak{ALL}", f"x5{ALL}", "inner"),
    "resunet": Told(LA, "resunet-scratch", "scratch"),
    "resunet_scratch_1200": Told(LA, "resunet-scratch", "scratch-1200"),
    "resunet_x5": Told(LA, "resunet-x5", "resunet-scratch"),
    "resunet_inner": Told(LA, "resunet-x5", "resunet-scratch", "inner"),
    "resunet_against_x5": Told(LA, "resunet-scratch", "x5"),
    "norms": Told(LA, "narrow-x1-zeroed", "narrow-x1", "inner"),
    "narrow": Told(LA, "narrow-x1", "narrow-scratch", "inner"),
    "of_4": Told(LA, "x5-of-4", "scratch-of-4", "inner"),
    "of_16": Told(LA, "x5-of-16", "scratch-of-16", "inner"),
    "labels_16": Told(LA, "scratch-of-16", "scratch", "inner"),
    "of_20": Told(HC, "x5-of-20", "scratch-of-20"),
    "flips_atria": Told(LA, f"scratch{ALL}", "scratch"),
    "flips_x5_atria": Told(LA, f"x5{ALL}", "x5"),
    "flips_hippocampi": Told(HC, f"scratch{ALL}", "scratch", "inner"),
    "flips_x5_hippocampi": Told(HC, f"x5{ALL}", "x5", "inner"),
    "random_atria": Told(LA, "random-frozen", "scratch", "inner"),
    "frozen_atria": Told(LA, "x5-frozen", "scratch", "inner"),
    "random_hippocampi": Told(HC, "random-frozen", "scratch", "inner"),
    "frozen_hippocampi": Told(HC, "x5-frozen", "scratch", "inner"),
}
"""The differences that are named in the conclusions."""

LESS: Mapping[str, tuple[str, str]] = {
    "less_1200": (LA, "-1200"),
    "less_3600": (LA, "-3600"),
    "less_hippocampi": (HC, "-1200"),
}
"""What `x5` brings on the final cases after a longer fine-tuning, against after 400 steps."""


def said(results: Path) -> dict[str, str]:
    """The numbers by the name that the texts have for them."""
    arms = by_name(LA)
    return {
        **{name: _told(one, results=results) for name, one in SAID.items()},
        **{name: _less(*one, results=results) for name, one in LESS.items()},
        "pool_atria": str(len(persons(LA, "pool"))),
        "pool_hippocampi": str(len(persons(HC, "pool"))),
        **costs(results),
        **probe_numbers(results),
        **{
            f"dice_{steps}": f"{mean(scores(arms[name], 'final', results=results)):.1f}"
            for steps, name in ((400, "scratch"), (3600, "scratch-3600"), (6000, "gpu-scratch"))
        },
    }


def _told(one: Told, *, results: Path) -> str:
    arms, pair = by_name(one.of), []
    for name in (one.against, one.arm):
        each = scores(arms[name], one.side, results=results)
        pair.append({s: dice for s, dice in each.items() if one.seeds is None or s in one.seeds})
    apart = difference(pair[0], pair[1], of=one.of, side=one.side)
    return "not measured yet" if apart is None else with_seeds(apart)


def _less(of: str, longer: str, *, results: Path) -> str:
    """A difference of differences, paired as they are."""
    gains = []
    for length in ("", longer):
        start, end = (
            scores(by_name(of)[f"{name}{length}"], "final", results=results)
            for name in ("scratch", "x5")
        )
        gains.append(
            {
                seed: {case: end[seed][case] - start[seed][case] for case in start[seed]}
                for seed in set(start) & set(end)
            }
        )
    apart = difference(gains[0], gains[1], of=of, side="final")
    return "not measured yet" if apart is None else with_seeds(apart)


def costs(results: Path) -> dict[str, str]:
    """Pre-training in steps of fine-tuning, and against zeroed volumes, by what times.py found."""
    times = read(results / "times.json")
    assert times is not None
    of = times["seconds"]
    steps = {name: WEIGHTS[name]["trainer.steps"] for name in ("x5", "x20")}
    as_long = {name: number * of["visible"] / of["finetune"] for name, number in steps.items()}
    return {
        "unet_time": _slower(["pretrain-x5-unet"], ["pretrain-x5"], results=results),
        "gpu_time": _slower(
            ["pretrain-gpu"], [f"gpu-scratch-s{seed}" for seed in COURSE], results=results
        ),
        "resunet_cost": _slower(["pretrain-resunet-x5"], ["pretrain-x5"], results=results),
        "resunet_time": _slower(
            [f"resunet-scratch-s{seed}" for seed in TUNING],
            [f"scratch-s{seed}" for seed in TUNING],
            results=results,
        ),
        "ratio_of_time": f"{of['visible'] / of['zeroed']:.2f}",
        "ratios_of_time": _from_to("visible", times=times),
        "ratio_of_time_75": f"{of['visible75'] / of['zeroed']:.2f}",
        "ratios_of_time_75": _from_to("visible75", times=times),
        "x20_times": str(math.ceil(as_long["x20"] / (3600 - 1200))),
        **{f"{name}_cost": f"{round(number, -2):,.0f}" for name, number in as_long.items()},
    }


def _from_to(kind: str, *, times: Mapping[str, Any]) -> str:
    """The least and the most that it took of zeroed volumes, timed in turn."""
    each = times["each"]
    ratios = [one / other for one, other in zip(each[kind], each["zeroed"], strict=True)]
    return f"{min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} repetitions"


def _slower(first: list[str], second: list[str], *, results: Path) -> str:
    """How many times as long a run on the atria took; others ran beside them."""
    rows = [[read(results / LA / f"{name}.json") for name in names] for names in (first, second)]
    seconds = [[row and row["cpu_seconds"] for row in each] for each in rows]
    assert all(all(each) for each in seconds), "all have run without a stop"
    means = [sum(each) / len(each) for each in seconds]
    return f"{means[0] / means[1]:.1f}"
