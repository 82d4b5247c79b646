"""What is left to run, in core minutes."""

from __future__ import annotations

from pathlib import Path

from arm import Arm
from arms import peers
from kept import read
from settings import FINETUNE, NARROW, NETWORK, PRETRAIN, RESUNET, WEIGHTS

PRETRAIN_STEP, FINETUNE_STEP, MEASURING = 0.14, 0.28, 25.0
"""Core seconds of WaveFormer on the faster processor of docs/evidence.md; the last of an arm's
cases."""

OF_NETWORK = ((NETWORK, 1.0), (NARROW, 1.3), (RESUNET, 3.6))
"""What networks take against the base's."""

OF_ZEROED, OF_UNET = 1.9, 2.5
"""What a step of pre-training with zeroed volumes, or with decoder `unet`, takes against the
base's."""

OF_PEER = 1000.0
"""Core seconds of a seed of nnunet.py."""


def print_budget(todo: list[tuple[Arm, int]], *, results: Path) -> None:
    """A line for each arm that is left, and the sum; encoders count once."""
    total, there = 0.0, set[tuple[str, str]]()
    for arm, seed in todo:
        if read(results / arm.of / f"{arm.name}-s{seed}.json") is not None:
            continue
        seconds = cost_of(arm)
        if arm.weights is not None and (arm.of, arm.weights) not in there:
            there.add((arm.of, arm.weights))
            if read(results / arm.of / f"pretrain-{arm.weights}.json") is None:
                seconds += cost_of_weights(arm.weights)
        print(f"{seconds / 60:7.1f} core minutes  {arm.of}/{arm.name}-s{seed}")
        total += seconds
    print(f"{total / 60:7.1f} core minutes in all (measured rates, one thread)", flush=True)


def cost_of(arm: Arm) -> float:
    """Core seconds of a fine-tuning, or of a peer."""
    if arm in list(peers()):
        return OF_PEER
    steps = arm.values.get("trainer.steps", FINETUNE["trainer"]["steps"])
    weights = {} if arm.weights is None else WEIGHTS[arm.weights]
    network = arm.values.get("backbone", weights.get("backbone", NETWORK))
    return float((steps * FINETUNE_STEP + MEASURING) * _times_of(network))


def cost_of_weights(name: str) -> float:
    """Core seconds of a pre-training."""
    values = WEIGHTS[name]
    seconds = PRETRAIN_STEP * float(values.get("trainer.steps", PRETRAIN["trainer"]["steps"]))
    seconds *= _times_of(values.get("backbone", NETWORK))
    for slower, times in (
        (values.get("encoder_input") == "zeroed", OF_ZEROED),
        ("decoder" in values, OF_UNET),
    ):
        seconds *= times if slower else 1.0
    return seconds


def _times_of(network: object) -> float:
    return next(times for one, times in OF_NETWORK if one == network)
