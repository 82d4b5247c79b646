"""How often each sample is drawn, and in which order."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ssl3d.data.data_error import DataError, DataWarning
from ssl3d.data.sizes import Grid, patches_held
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec
from ssl3d.streams import Stream, generator

GOLDEN = (5**0.5 - 1) / 2
"""Steps of it fill the circle most evenly."""


class Draws:
    """Which sample each crop is of: a pure function of the seed and the crop's number.

    Crops are numbered pass by pass, and a pass is as many crops as there are samples. Where all
    shares are alike it visits each sample once. Else it is a systematic sample: of a sample that is
    expected x times in a pass it holds floor(x) or ceil(x) crops, and where it begins moves by the
    golden ratio from pass to pass, so that over many passes no count strays from its expectation by
    more than a few. Each pass has an order of its own.

    Args:
        shares: of the crops that are of each sample, with the sum 1; 0: never.
        seed: of the passes and their order.
    """

    def __init__(self, shares: Sequence[float], *, seed: int) -> None:
        self._even = len(set(shares)) == 1
        self._drawn = [i for i, share in enumerate(shares) if share > 0]
        self._count = len(shares)
        self._ends = np.cumsum([shares[i] for i in self._drawn])
        self._seed = seed
        self._start = float(torch.rand((), generator=generator(seed, Stream.ORDER)))

    def __call__(self, index: int) -> list[int]:
        """The sample of crop `index`, and after it those that take its place, in their order."""
        order, place = divmod(index, self._count)
        random = generator(self._seed, Stream.ORDER, order)
        turns = torch.randperm(self._count, generator=random).roll(-place).tolist()
        members = self._members(order)
        own = (self._drawn[members[turn]] for turn in turns)
        return list(dict.fromkeys((*own, *self._drawn)))

    def _members(self, order: int) -> Sequence[int]:
        if self._even:
            return range(self._count)
        places = (np.arange(self._count) + (self._start + order * GOLDEN) % 1) / self._count
        found: NDArray[np.int64] = np.searchsorted(self._ends, places, side="right")
        members: list[int] = found.clip(max=len(self._drawn) - 1).tolist()
        return members


def shares_of(
    sources: Sequence[Source],
    *,
    spec: DataSpec,
    groups: Sequence[str | None],
    grid: Callable[[Source], Grid],
) -> list[float]:
    """Share of the crops that are of each sample, by `data.sampling`; their sum is 1.

    Args:
        sources: that are trained on.
        spec: the rules, and how volumes are resampled.
        groups: of each sample; None where there are none.
        grid: of a sample, before it is resampled: its file need not be there (`data.store`).

    Raises:
        DataError: nothing is known of what a rule goes by.
    """
    whole = sum(spec.sampling.values())
    total = np.zeros(len(sources))
    for rule, part in spec.sampling.items():
        total += part / whole * _by(rule, sources, spec=spec, groups=groups, grid=grid)
    shares: list[float] = total.tolist()
    return shares


def check_weights(sources: Sequence[Source], *, spec: DataSpec) -> None:
    """Compare what a manifest says with `data.sampling`, before a split: weights that differ and do
    nothing are said (`DataWarning`).

    Raises:
        DataError: weights are gone by, and every volume has the weight 1.
    """
    weights = {source.weight for source in sources}
    if "weight" in spec.sampling and weights == {1.0}:
        raise DataError(
            "data.sampling: 'weight' is given, and every volume has the weight 1: give others in "
            "the column of a manifest (data.columns.weight), or leave it out"
        )
    if "weight" not in spec.sampling and len(weights) > 1:
        warnings.warn(
            f"data.manifest: the column {spec.columns.weight!r} changes nothing, for data.sampling "
            f"goes by {' and '.join(spec.sampling)}: give weight there, alone or in a mixture, if "
            "it is to count",
            DataWarning,
            stacklevel=2,
        )


def seen(shares: Sequence[float], *, names: Sequence[str | None]) -> dict[str, float]:
    """Share of the crops that are of each name."""
    found: dict[str, float] = {}
    for name, share in zip(names, shares, strict=True):
        found[name or "unknown"] = found.get(name or "unknown", 0.0) + share
    return found


def _by(
    rule: str,
    sources: Sequence[Source],
    *,
    spec: DataSpec,
    groups: Sequence[str | None],
    grid: Callable[[Source], Grid],
) -> NDArray[np.float64]:
    if rule == "file":
        weights = [1.0] * len(sources)
    elif rule == "size":
        weights = [patches_held(grid(source), spec=spec) for source in sources]
    elif rule == "weight":
        weights = [source.weight for source in sources]
    else:
        names = groups if rule == "group" else [source.modality for source in sources]
        _check_known(names, rule=rule)
        weights = _even(names)
    return np.array(weights) / sum(weights)


def _even(names: Sequence[str | None]) -> list[float]:
    """Each name as often as any other, and what it is of as often as the rest of it."""
    counts: Mapping[str | None, int] = Counter(names)
    return [1 / counts[name] for name in names]


def _check_known(names: Sequence[str | None], *, rule: str) -> None:
    unknown = sum(not name for name in names)
    how = f"data.{rule}_by, data.{rule}_file or a manifest"
    if unknown == len(names):
        raise DataError(
            f"data.sampling: {rule!r} is given, and no volume has a {rule}: say by {how} what each "
            "is of, or leave it out"
        )
    if unknown:
        share = 1 / len(set(names))
        warnings.warn(
            f"data.sampling: {rule!r} is given, and {unknown} of {len(names)} volumes have none: "
            f"they count as one together, which gets {share:.0%} of what goes by it. Say by {how} "
            "what each is of",
            DataWarning,
            stacklevel=2,
        )
