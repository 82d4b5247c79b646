"""An arm, and those that are made alike. Imports no torch.

An arm is a fine-tuning; its `weights` name the pre-training that its encoder comes from. A seed
fixes subset, decoder initialisation and batches alike for all arms of a set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from settings import ALL_FLIPS, RATE

TUNING, COURSE, CONFIRMING = (0, 1, 2), (0, 1, 2, 3), (0, 1, 2, 3, 4, 5)
"""Seeds: of all arms; of costs, peers and arms for a GPU; of what is confirmed."""

RATES = (1e-3, 2e-3, 4e-3, 5e-4)
"""That scratch and pre-trained are each tuned over."""

ALL = "-all-flips"
"""Ends the names of the first arms, which flip along all axes; rates were chosen with these."""


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
    def on_gpu(self) -> bool:
        """True where it needs one."""
        return bool(self.values.get("trainer.accelerator") == "gpu")

    @property
    def course(self) -> dict[str, Any]:
        """The recipe with its peak; `optimizer.lr` is that peak unless the arm says otherwise."""
        name = "scratch" if self.weights is None else "plain"
        return {"name": name, "peak": 1.0, **(self.recipe or {})}


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
