"""The arms: what each changes against its base, in the order in which they are run.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from arm import ALL, CONFIRMING, COURSE, TUNING, Arm, few, frozen, named, pair
from settings import ALL_FLIPS, CHECKPOINTS, NARROW, OF_SET, ON_GPU, RESUNET

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

CHOSEN: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "left_atrium": {
        **dict.fromkeys(("scratch", "x5"), CONFIRMING),
        **dict.fromkeys(("scratch-1200", "x5-1200", "x5-again-1200"), CONFIRMING),
        **dict.fromkeys(("scratch-3600", "x5-3600"), TUNING),
        **dict.fromkeys(("x20", "x20-1200", "x20-3600"), TUNING),
        **dict.fromkeys(("x5-seed1", "x5-seed1-zeroed", "x5-seed1-zeroed-short"), CONFIRMING),
        **dict.fromkeys(("resunet-scratch", "resunet-x5"), TUNING),
        **dict.fromkeys(("gpu-scratch", "gpu-pretrained"), COURSE),
        **dict.fromkeys((f"scratch{ALL}", f"x5{ALL}"), TUNING),
        **dict.fromkeys((f"scratch-1200{ALL}", f"x5-1200{ALL}"), TUNING),
    },
    "hippocampus": {
        **dict.fromkeys(("scratch", "x5"), CONFIRMING),
        **dict.fromkeys(("scratch-1200", "x5-1200"), TUNING),
        **dict.fromkeys(("x5-zeroed", "x5-zeroed-short", "x5-ratio75"), CONFIRMING),
        **dict.fromkeys(("scratch-of-20", "x5-of-20", "x5-zeroed-again-of-20"), CONFIRMING),
    },
}
"""Arms that are measured on the final cases, with their seeds; each after what it is compared
with."""


def course(of: str) -> Iterator[Arm]:
    """Within a pre-training, of visible cells alone and of zeroed volumes: Dice over its cost."""
    visible, zeroed = "x5-seed1", "x5-seed1-zeroed"
    for step in CHECKPOINTS:
        first, second = (f"{weights}-at{step}" for weights in (visible, zeroed))
        yield Arm(of, first, visible, step, against="scratch", seeds=COURSE)
        yield Arm(of, second, zeroed, step, against=first, seeds=COURSE)
    for weights in (zeroed, f"{zeroed}-short"):
        yield Arm(of, weights, weights, against=visible, seeds=COURSE)


def zeroed(of: str) -> Iterator[Arm]:
    """From zeroed volumes: in as many steps, in the same time, with 20 subjects."""
    for weights in ("x5-zeroed", "x5-zeroed-short"):
        yield Arm(of, weights, weights, against="x5")
    values = {"data.subjects": 20}
    again = "x5-zeroed-again"
    yield Arm(of, f"{again}-of-20", again, values=values, against="x5-of-20")


def resunets(of: str) -> Iterator[Arm]:
    """Another network, from scratch and pre-trained as `x5`."""
    for steps in (400, 1200):
        length = {"trainer.steps": steps}
        first, second = (named(f"resunet-{start}", steps=steps) for start in ("scratch", "x5"))
        base = named(None, steps=steps)
        yield Arm(of, first, values={"backbone": RESUNET, **length}, against=base)
        yield Arm(of, second, "resunet-x5", values=length, against=first)


def norms(of: str) -> Iterator[Arm]:
    """A ResUNet, small for its cost, whose norms were over visible sites alone, or over all."""
    first, second, third = "narrow-scratch", "narrow-x1", "narrow-x1-zeroed"
    yield Arm(of, second, second, against=first)
    yield Arm(of, third, third, against=second)
    yield Arm(of, first, values={"backbone": NARROW})


def atria() -> Iterator[Arm]:
    """Of the left atrium, in the order in which they are run."""
    of = "left_atrium"
    yield from pair(of)
    for steps in (1200, 3600):
        yield from pair(of, steps=steps)
    for weights in OTHER_WEIGHTS:
        seeds = COURSE if weights == "x5-seed1" else TUNING
        yield Arm(of, weights, weights, against="x5", seeds=seeds)
    values = {"trainer.steps": 1200}
    yield Arm(of, "x5-again-1200", "x5-again", values=values, against="scratch-1200")
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
    yield from norms(of)
    yield from resunets(of)

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
    yield from zeroed(of)
    yield Arm(of, "x5-ratio75", "x5-ratio75", against="x5")
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
