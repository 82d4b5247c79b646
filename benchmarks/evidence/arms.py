"""The arms: what each changes against its base. Imports no torch.

An arm is a fine-tuning; its `weights` name the pre-training that its encoder comes from. A seed
fixes subset, decoder initialisation and batches alike for all arms of a set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from settings import ALL_FLIPS, CHECKPOINTS, OF_SET, ON_GPU, RATE, RESUNET

TUNING, COURSE, CONFIRMING = (0, 1, 2), (0, 1, 2, 3), (0, 1, 2, 3, 4, 5)
"""Seeds: of all arms; of costs, peers and arms for a GPU; of what is confirmed."""

RATES = (1e-3, 2e-3, 4e-3, 5e-4)
"""That scratch and pre-trained are each tuned over."""

ALL = "-all-flips"
"""Ends the names of the first arms, which flip along all axes; rates were chosen with these."""

OTHER_WEIGHTS = (
    "x20",
    "x5-seed1",
    "x5-seed2",
    "x5-ratio75",
    "x5-voxels",
    "x5-cell16",
    "x5-flipped-x",
    "x5-fast",
    "x5-unet",
    "x1",
)
"""That are compared with `x5` at the base's fine-tuning, in the order in which they are run."""


@dataclass(frozen=True)
class Arm:
    """A fine-tuning.

    Attributes:
        of: the set.
        name: what it changes in its base.
        weights: the pre-training of its encoder; None from scratch.
        checkpoint: a step of that, before its end.
        values: what it changes, by path of the spec.
        recipe: as the spec has it. Where everything trains, the course of rates is the same with
            an encoder (`plain`) and without (`scratch`).
        against: the arm that it is compared with.
        seeds: that it is repeated with.
    """

    of: str
    name: str
    weights: str | None = None
    checkpoint: int | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] | None = None
    against: str | None = None
    seeds: tuple[int, ...] = TUNING

    @property
    def course(self) -> dict[str, Any]:
        """The recipe with its peak; `optimizer.lr` is that peak unless the arm says otherwise."""
        name = "scratch" if self.weights is None else "plain"
        return {"name": name, "peak": 1.0, **(self.recipe or {})}


CHOSEN: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "left_atrium": {
        **dict.fromkeys(("scratch", "x5"), CONFIRMING),
        **dict.fromkeys(("scratch-1200", "x5-1200"), CONFIRMING),
        **dict.fromkeys(("scratch-3600", "x5-3600"), TUNING),
        **dict.fromkeys(("x20", "x20-1200", "x20-3600"), TUNING),
        **dict.fromkeys((f"scratch{ALL}", f"x5{ALL}"), TUNING),
        **dict.fromkeys((f"scratch-1200{ALL}", f"x5-1200{ALL}"), TUNING),
    },
    "hippocampus": {
        **dict.fromkeys(("scratch", "x5"), CONFIRMING),
        **dict.fromkeys(("scratch-1200", "x5-1200"), TUNING),
    },
}
"""Arms that are measured on the final cases, with their seeds; each after what it is compared
with."""


def named(weights: str | None, *, steps: int = 400, lr: float = RATE, flips: str = "") -> str:
    """The name of an arm that changes length, rate or flips; what is the base's is left out."""
    length = "" if steps == 400 else f"-{steps}"
    rate = "" if lr == RATE else f"-lr{lr:g}"
    return f"{weights or 'scratch'}{length}{rate}{flips}"


def pair(of: str, *, steps: int = 400, lr: float = RATE, flips: str = "") -> Iterator[Arm]:
    """From scratch and from `x5`, which is compared with it; see `named`.

    From scratch, the base's rate with flips of all axes is compared with the base's flips.
    """
    values = {"optimizer.lr": lr, "trainer.steps": steps, **(ALL_FLIPS if flips else {})}
    first, second = (named(w, steps=steps, lr=lr, flips=flips) for w in (None, "x5"))
    other = named(None, steps=steps) if flips and lr == RATE else None
    yield Arm(of, first, values=values, against=other)
    yield Arm(of, second, "x5", values=values, against=first)


def few(of: str, subjects: int, *, flips: str = "") -> Iterator[Arm]:
    """From scratch and from `x5`, with so many labelled subjects."""
    values = {"data.subjects": subjects, **(ALL_FLIPS if flips else {})}
    first, second = (f"{start}-of-{subjects}{flips}" for start in ("scratch", "x5"))
    yield Arm(of, first, values=values)
    yield Arm(of, second, "x5", values=values, against=first)


def frozen(of: str, *, flips: str = "") -> Iterator[Arm]:
    """Encoders that stay as they are: random, and `x5`."""
    values = ALL_FLIPS if flips else {}
    recipe, first = {"name": "frozen"}, f"random-frozen{flips}"
    yield Arm(of, first, "random", values=values, recipe=recipe, against=f"scratch{flips}")
    yield Arm(of, f"x5-frozen{flips}", "x5", values=values, recipe=recipe, against=first)


def course(of: str) -> Iterator[Arm]:
    """Within a pre-training, of visible cells alone and of zeroed volumes: Dice over its cost."""
    visible, zeroed = "x5-seed1", "x5-seed1-zeroed"
    for step in CHECKPOINTS:
        first, second = (f"{weights}-at{step}" for weights in (visible, zeroed))
        yield Arm(of, first, visible, step, against="scratch", seeds=COURSE)
        yield Arm(of, second, zeroed, step, against=first, seeds=COURSE)
    for weights in (zeroed, f"{zeroed}-short"):
        yield Arm(of, weights, weights, against=visible, seeds=COURSE)


def atria() -> Iterator[Arm]:
    """Of the left atrium, in the order in which they are run."""
    of = "left_atrium"
    yield from pair(of)
    for steps in (1200, 3600):
        yield from pair(of, steps=steps)
    for weights in OTHER_WEIGHTS:
        seeds = COURSE if weights == "x5-seed1" else TUNING
        yield Arm(of, weights, weights, against="x5", seeds=seeds)
    for steps in (1200, 3600):
        longer = {"trainer.steps": steps}
        yield Arm(of, f"x20-{steps}", "x20", values=longer, against=f"scratch-{steps}")
    decoder = {"transfer": "encoder+decoder"}
    yield Arm(of, "x5-unet-decoder", "x5-unet", values=decoder, against="x5-unet")
    yield from course(of)
    yield from frozen(of)
    for subjects in (4, 16):
        yield from few(of, subjects)
    for steps, lr in ((400, 5e-4), (400, 2e-3), (1200, 2e-3)):
        yield from pair(of, steps=steps, lr=lr)
    yield Arm(of, "resunet-scratch", values={"backbone": RESUNET})
    yield Arm(of, "resunet-x5", "resunet-x5", against="resunet-scratch")

    for lr in (1e-3, 2e-3, 4e-3):
        yield from pair(of, lr=lr, flips=ALL)
    for steps in (1200, 3600):
        yield from pair(of, steps=steps, flips=ALL)
    yield from frozen(of, flips=ALL)
    yield from few(of, 4, flips=ALL)
    for name, recipe in (
        ("sawtooth", {"name": "sawtooth"}),
        ("slow-encoder", {"encoder_rate": 0.1}),
        ("tenth-peak", {"peak": 0.1}),
    ):
        x5 = f"x5{ALL}"
        yield Arm(of, f"x5-{name}{ALL}", "x5", values=ALL_FLIPS, recipe=recipe, against=x5)


def hippocampi() -> Iterator[Arm]:
    """Of the hippocampus, with what was found on the atrium."""
    of = "hippocampus"
    yield from pair(of)
    for subjects in (2, 20):
        yield from few(of, subjects)
    yield from pair(of, steps=1200)
    yield Arm(of, "x20", "x20", against="x5")
    yield Arm(of, "x20-1200", "x20", values={"trainer.steps": 1200}, against="scratch-1200")
    yield from frozen(of)
    yield from pair(of, flips=ALL)
    yield from frozen(of, flips=ALL)
    yield Arm(of, f"smallest{ALL}", values={"trainer.steps": 40, **ALL_FLIPS})


def arms() -> Iterator[Arm]:
    """Those that a CPU can run."""
    for arm in (*atria(), *hippocampi()):
        yield replace(arm, seeds=CHOSEN[arm.of].get(arm.name, arm.seeds))


def peers() -> Iterator[Arm]:
    """Other projects' networks, which scripts of their own run: see nnunet.py."""
    yield Arm("hippocampus", "nnunet-short", against="x5", seeds=COURSE)


def gpu_arms() -> Iterator[Arm]:
    """A long schedule for one GPU: does the difference survive convergence?"""
    values, seeds = {"trainer.steps": 6000, **ON_GPU}, COURSE
    for of in OF_SET:
        yield Arm(of, "gpu-scratch", values=values, seeds=seeds)
        yield Arm(of, "gpu-pretrained", "gpu", values=values, against="gpu-scratch", seeds=seeds)
