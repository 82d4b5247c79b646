"""The arms: what each changes against its base. Imports no torch.

An arm is a fine-tuning; its `weights` name the pre-training that its encoder comes from. A seed
fixes subset, decoder initialisation and batches alike for all arms of a set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from settings import CHECKPOINTS, FLIPS_X, OF_SET, ON_GPU, RATE, RESUNET

SCRATCH = f"scratch-400-lr{RATE:g}"
"""The base from scratch, of both sets."""

TUNING, CONFIRMING = (0, 1, 2), (0, 1, 2, 3, 4, 5)
"""Seeds: of all arms, and of those that are measured on the final cases."""

RATES = (1e-3, 2e-3, 4e-3, 5e-4)
"""That scratch and pre-trained are each tuned over."""

OTHER_WEIGHTS = (
    "x20",
    "x5-75",
    "x20-75",
    "x5-head2",
    "x5-voxels",
    "x5-cell16",
    "x5-zeroed",
    "x5-flipped-x",
)
"""That are compared at the base's fine-tuning, in the order in which they are run."""


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
        **dict.fromkeys((f"scratch-400-lr{RATE:g}", f"x5-400-lr{RATE:g}"), TUNING),
        **dict.fromkeys((f"scratch-1200-lr{RATE:g}", f"x5-1200-lr{RATE:g}"), TUNING),
        **dict.fromkeys(("scratch-flips-x", "x5-flips-x"), CONFIRMING),
        **dict.fromkeys(("scratch-1200-flips-x", "x5-1200-flips-x"), CONFIRMING),
        **dict.fromkeys(("scratch-3600-flips-x", "x5-3600-flips-x"), CONFIRMING),
    },
    "hippocampus": dict.fromkeys(("scratch-flips-x", "x5-flips-x"), CONFIRMING),
}
"""Arms that are measured on the final cases, with their seeds: from scratch first, then what it is
compared with."""


def at(of: str, weights: str | None, *, steps: int, lr: float = RATE) -> Arm:
    """An arm named by length and rate; an encoder is compared with none, at the same rate."""
    values = {"optimizer.lr": lr, "trainer.steps": steps}
    against = None if weights is None else f"scratch-{steps}-lr{lr:g}"
    name = f"{weights or 'scratch'}-{steps}-lr{lr:g}"
    return Arm(of, name, weights, values=values, against=against)


def atria() -> Iterator[Arm]:
    """Of the left atrium, in the order in which they are run."""
    la = "left_atrium"
    scratch, x5 = at(la, None, steps=400), at(la, "x5", steps=400)

    def changed(name: str, weights: str | None = "x5", **more: Any) -> Arm:
        return Arm(la, name, weights, **{"against": x5.name, **more})

    for lr in RATES:
        yield from (at(la, None, steps=400, lr=lr), at(la, "x5", steps=400, lr=lr))
    yield replace(at(la, "x1", steps=400), against=x5.name)
    yield changed("random-frozen", "random", recipe={"name": "frozen"}, against=scratch.name)
    yield changed("x5-frozen", recipe={"name": "frozen"}, against="random-frozen")
    for steps, lr in ((1200, 1e-3), (3600, 1e-3), (1200, 2e-3), (3600, 2e-3)):
        yield from (at(la, None, steps=steps, lr=lr), at(la, "x5", steps=steps, lr=lr))
    for weights in (*OTHER_WEIGHTS, "x5-unet"):
        against = at(la, "x20", steps=400) if weights == "x20-75" else x5
        yield replace(at(la, weights, steps=400), against=against.name)
    decoder = {"transfer": "encoder+decoder"}
    yield changed("x5-unet-decoder", "x5-unet", values=decoder, against=f"x5-unet-400-lr{RATE:g}")
    for step in CHECKPOINTS:
        yield Arm(la, f"x20-at{step}", "x20", step, against=scratch.name)
        yield Arm(la, f"x20-zeroed-at{step}", "x20-zeroed", step, against=f"x20-at{step}")
    x20 = at(la, "x20", steps=400)
    yield Arm(la, "x20-zeroed", "x20-zeroed", against=x20.name)
    yield changed("x5-sawtooth", recipe={"name": "sawtooth"})
    yield changed("x5-slow-encoder", recipe={"encoder_rate": 0.1})
    yield changed("x5-tenth-peak", recipe={"peak": 0.1})
    yield Arm(la, "scratch-flips-x", values=FLIPS_X, against=scratch.name)
    yield Arm(la, "x5-flips-x", "x5", values=FLIPS_X, against="scratch-flips-x")
    for steps in (1200, 3600):
        longer = {**FLIPS_X, "trainer.steps": steps}
        yield Arm(
            la, f"scratch-{steps}-flips-x", values=longer, against=f"scratch-{steps}-lr{RATE:g}"
        )
        yield Arm(
            la, f"x5-{steps}-flips-x", "x5", values=longer, against=f"scratch-{steps}-flips-x"
        )
    for subjects in (4, 16):
        few = {"data.subjects": subjects}
        yield Arm(la, f"scratch-{subjects}", values=few)
        yield changed(f"x5-{subjects}", values=few, against=f"scratch-{subjects}")
    yield Arm(la, "resunet-scratch", values={"backbone": RESUNET})
    yield changed("resunet-x5", "resunet-x5", against="resunet-scratch")


def hippocampi() -> Iterator[Arm]:
    """Of the hippocampus, with what was found on the atrium."""
    of = "hippocampus"
    scratch, x5 = at(of, None, steps=400), at(of, "x5", steps=400)
    yield from (scratch, x5)
    frozen = {"name": "frozen"}
    yield Arm(of, "random-frozen", "random", recipe=frozen, against=scratch.name)
    yield Arm(of, "x5-frozen", "x5", recipe=frozen, against="random-frozen")
    yield Arm(of, "scratch-flips-x", values=FLIPS_X, against=scratch.name)
    yield Arm(of, "x5-flips-x", "x5", values=FLIPS_X, against="scratch-flips-x")
    yield Arm(of, "x5-zeroed", "x5-zeroed", against=x5.name)
    for subjects in (2, 20):
        few = {"data.subjects": subjects}
        yield Arm(of, f"scratch-{subjects}", values=few)
        yield Arm(of, f"x5-{subjects}", "x5", values=few, against=f"scratch-{subjects}")
    yield from (at(of, None, steps=1200), at(of, "x5", steps=1200))
    yield Arm(of, "smallest", values={"trainer.steps": 40})


def arms() -> Iterator[Arm]:
    """Those that a CPU can run."""
    for arm in (*atria(), *hippocampi()):
        yield replace(arm, seeds=CHOSEN[arm.of].get(arm.name, TUNING))


def peers() -> Iterator[Arm]:
    """Other projects' networks, which scripts of their own run: see nnunet.py."""
    yield Arm("hippocampus", "nnunet-short", against="x5-flips-x", seeds=(0, 1, 2, 3))


def gpu_arms() -> Iterator[Arm]:
    """A long schedule for one GPU: does the difference survive convergence?"""
    values, seeds = {"trainer.steps": 6000, **ON_GPU}, (0, 1, 2, 3)
    for of in OF_SET:
        yield Arm(of, "gpu-scratch", values=values, seeds=seeds)
        yield Arm(of, "gpu-pretrained", "gpu", values=values, against="gpu-scratch", seeds=seeds)
