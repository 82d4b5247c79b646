"""Means of what training gives: over micro-batches and ranks, without asking the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ssl3d.run.run_error import RunError
from ssl3d.run.task import COUNT, LOSS, SHARE


def loss_of(outputs: Mapping[str, Tensor]) -> Tensor:
    """The loss in the answer of a task's module.

    Raises:
        RunError: it is not there, or a value is no scalar.
    """
    if LOSS not in outputs:
        given = ", ".join(outputs) or "nothing"
        raise RunError(f"the task's module returned {given}: it must return {LOSS!r} too")
    for name, value in outputs.items():
        if not isinstance(value, Tensor) or value.dim():
            what = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
            raise RunError(
                f"the task's module returned {name!r} as {what}: it must be a tensor that holds "
                "one number, without axes"
            )
    return outputs[LOSS]


class Tally:
    """Adds up one optimiser step on the device: for each name value times share, and share.

    Attributes:
        names: of means, the loss first, known after the first micro-batch.
        counts: of what is added up.
    """

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.counts: tuple[str, ...] = ()
        self._given: frozenset[str] = frozenset()
        self._sums: Tensor | None = None

    def add(self, outputs: Mapping[str, Tensor]) -> None:
        """Count a micro-batch in.

        Raises:
            RunError: its names are not those of the first one.
        """
        if not self._given:
            self._name(outputs)
        if changed := outputs.keys() ^ self._given:
            raise RunError(
                f"the task's module returned {', '.join(outputs)}, and before "
                f"{', '.join(sorted(self._given))}: all must be there every time. Where there is "
                f"nothing to measure for {', '.join(sorted(changed))}, give any number and a "
                f"{SHARE}/<name> of 0"
            )
        loss = outputs[LOSS].detach()
        exact = torch.float32 if loss.device.type == "mps" else torch.float64  # Apple has none
        one = loss.new_ones(())
        numbers = [outputs[name] for name in self.names]
        numbers += [_share(name, outputs, one=one) for name in self.names]
        numbers += [outputs[COUNT + name] for name in self.counts]
        exactly = torch.stack([number.detach().to(loss.device, exact) for number in numbers])
        n = len(self.names)
        values, shares, counts = exactly[:n], exactly[n : 2 * n], exactly[2 * n :]
        sums = torch.cat([torch.where(shares > 0, values * shares, 0.0), shares, counts])
        self._sums = sums if self._sums is None else self._sums + sums

    def take(self) -> Tensor:
        """What was added up since it was last taken, in one vector."""
        assert self._sums is not None
        sums, self._sums = self._sums, None
        return sums

    def _name(self, outputs: Mapping[str, Tensor]) -> None:
        names = {name for name in outputs if name != SHARE and not name.startswith(f"{SHARE}/")}
        counts = {name for name in names if name.startswith(COUNT)}
        self._given = frozenset(outputs)
        self.names = (LOSS, *sorted(names - counts - {LOSS}))
        self.counts = tuple(sorted(name.removeprefix(COUNT) for name in counts))


class Means:
    """Adds up the steps since the last row, on the host: the same on all ranks."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._shares: dict[str, float] = {}
        self._counts: dict[str, float] = {}

    def add(self, sums: list[float], *, tally: Tally) -> None:
        """Count a step in: what `tally.take` gave, summed over ranks."""
        n = len(tally.names)
        for into, names, values in (
            (self._sums, tally.names, sums[:n]),
            (self._shares, tally.names, sums[n : 2 * n]),
            (self._counts, tally.counts, sums[2 * n :]),
        ):
            for name, value in zip(names, values, strict=True):
                into[name] = into.get(name, 0.0) + value

    def take(self) -> dict[str, float]:
        """Means and counts, of what was measured at all; begins anew."""
        row = {name: self._sums[name] / share for name, share in self._shares.items() if share}
        row |= {name: count for name, count in self._counts.items() if count}
        self._sums, self._shares, self._counts = {}, {}, {}
        return row

    def state_dict(self) -> dict[str, Any]:
        """What the next row needs of the steps since the last one."""
        return {"sums": self._sums, "shares": self._shares, "counts": self._counts}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up `state_dict`'s."""
        self._sums, self._shares = dict(state["sums"]), dict(state["shares"])
        self._counts = dict(state["counts"])


def _share(name: str, outputs: Mapping[str, Tensor], *, one: Tensor) -> Tensor:
    """By how much a micro-batch counts in the mean of `name`: the share of the longest label."""
    label = name
    while label:
        if f"{SHARE}/{label}" in outputs:
            return outputs[f"{SHARE}/{label}"].detach()
        label = label.rpartition("/")[0]
    return outputs.get(SHARE, one).detach()
