"""Fill a module from one of another number of input channels, or for another size of volumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl3d.geometry import Triple, product, show
from ssl3d.precision import at_least_single
from ssl3d.weights.transfer import TransferReport, transfer

Inputs = Literal["repeat", "average", "new"]
"""What another number of input channels gets. repeat: those of the source in turn (where there are
fewer, the last ones are added to the first); average: their mean; both scaled so that equal inputs
give the same response. new: all of them start from the module's initial values."""

Positions = Literal["resize", "new"]
"""What tables of positions of another grid get: trilinear interpolation, or initial values."""


@dataclass(frozen=True)
class Adapted:
    """What became of every tensor, after some were changed to fit.

    Attributes:
        report: of the transfer.
        changed: name in the module to what was done to its tensor.
        left: names that the file had, and the source's own loading left out.
    """

    report: TransferReport
    changed: Mapping[str, str]
    left: tuple[str, ...] = ()

    def tensors(self) -> list[tuple[str, str, str]]:
        """A line for each tensor, as `TransferReport.tensors` gives them."""
        lines = [
            (name, "adapted" if what == "loaded" and name in self.changed else what, how)
            for name, what, how in self.report.tensors()
        ]
        lines = [(name, what, self.changed.get(name, how)) for name, what, how in lines]
        return lines + [(name, "left over", "not used") for name in self.left]

    def table(self) -> list[tuple[str, str, str]]:
        """The lines of the tensors that were not simply copied."""
        return [line for line in self.tensors() if line[1] != "loaded"]

    def __str__(self) -> str:
        """How many were copied as they are, and a line for each of the others."""
        copied = len(self.tensors()) - len(self.table())
        lines = [f"{name}: {what}, {how}" for name, what, how in self.table()]
        return "\n".join([f"{copied} tensors loaded as they are", *lines])


def fill_from(
    source: nn.Module,
    module: nn.Module,
    *,
    channels: tuple[int, int] | None = None,
    inputs: Inputs | None = None,
    grids: tuple[Triple, Triple] | None = None,
    positions: Positions | None = None,
    left: tuple[str, ...] = (),
) -> Adapted:
    """Fill a module from one of the same kind: all of it, or what is named and nothing silently.

    Args:
        source: what was pre-trained.
        module: what is filled.
        channels: of the volumes of both.
        inputs: what to do where they differ; none: that is an error.
        grids: sites of the patch of both, for tables of positions.
        positions: what to do with tables where they differ; none: that is an error.
        left: names that loading the source left out, for the table.

    Raises:
        ValueError: something does not fit and was not asked for; nothing was copied then.
    """
    given, wanted = dict(source.state_dict()), module.state_dict()
    changed: dict[str, str] = {}
    initial: list[str] = []
    for name, value in list(given.items()):
        now = wanted.get(name)
        if now is None or now.shape == value.shape:
            continue
        if channels is not None and _is_input(value, now, channels=channels):
            _ask(inputs, option="inputs", what=f"{channels[0]} channels, now {channels[1]}")
            changed[name] = f"{channels[0]} input channels to {channels[1]}: {inputs}"
            if inputs is not None and inputs != "new":
                given[name] = _more_inputs(value, channels=channels[1], how=inputs)
        elif grids is not None and _is_table(value, now, grids=grids):
            shown = f"positions of {show(grids[0])} sites to {show(grids[1])}"
            _ask(positions, option="positions", what=shown)
            changed[name] = f"{shown}: {positions}"
            if positions == "resize":
                given[name] = resized_positions(value, grids=grids)
        if name in changed and given[name].shape != now.shape:
            initial.append(name)
            del given[name]
    return Adapted(transfer(given, module, allow_missing=initial), changed, left)


def resized_positions(table: Tensor, *, grids: tuple[Triple, Triple]) -> Tensor:
    """A table (..., N, C) of positions on one grid, interpolated onto another."""
    was, now = grids
    flat = at_least_single(table.reshape(-1, *was, table.shape[-1]).movedim(-1, 1))
    onto = F.interpolate(flat, size=now, mode="trilinear", align_corners=False)
    return onto.movedim(1, -1).reshape(*table.shape[:-2], product(now), -1).to(table.dtype)


def _is_input(value: Tensor, now: Tensor, *, channels: tuple[int, int]) -> bool:
    """A convolution's weight (O, I, ...) that differs in its input channels alone."""
    if value.dim() != now.dim() or value.dim() < 3:
        return False
    same = value.shape[0] == now.shape[0] and value.shape[2:] == now.shape[2:]
    return same and (value.shape[1], now.shape[1]) == channels


def _is_table(value: Tensor, now: Tensor, *, grids: tuple[Triple, Triple]) -> bool:
    """A table (..., N, C) that differs in its number of sites alone."""
    if value.dim() != now.dim() or value.dim() < 2:
        return False
    same = value.shape[:-2] == now.shape[:-2] and value.shape[-1] == now.shape[-1]
    return same and (value.shape[-2], now.shape[-2]) == (product(grids[0]), product(grids[1]))


def _ask(choice: str | None, *, option: str, what: str) -> None:
    if choice is None:
        ways = {"inputs": "repeat, average or new", "positions": "resize or new"}[option]
        raise ValueError(
            f"the encoder was pre-trained with {what}: say what to do with what does not fit, "
            f"{option}: {ways}. Nothing was loaded"
        )


def _more_inputs(weight: Tensor, *, channels: int, how: Literal["repeat", "average"]) -> Tensor:
    """(O, I, ...) for another I, scaled so that equal inputs give the same response."""
    was = weight.shape[1]
    if how == "average":
        few = weight.mean(1, keepdim=True).expand(-1, channels, *weight.shape[2:])
        return few * (was / channels)
    source = torch.arange(channels, device=weight.device) % was
    if channels < was:
        # Fewer than there were: each of the last ones joins the one whose place it has.
        joined = torch.arange(was, device=weight.device) % channels
        return torch.zeros_like(weight[:, :channels]).index_add(1, joined, weight)
    times = torch.bincount(source, minlength=was)[source]
    return weight[:, source] / times.view(-1, *(1,) * (weight.dim() - 2))
