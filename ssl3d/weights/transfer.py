"""Copy a mapping of tensors into a module, and say what fitted and what did not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class TransferReport:
    """What became of every tensor.

    Attributes:
        loaded: names in the module that were filled.
        missing: names in the module that the source does not have; they keep their values.
        unexpected: names in the source that the module does not have.
        wrong_shape: name to (shape in the source, shape in the module); they keep their values.
        adapted: names in `loaded` whose input channels were averaged to fit.
        resized: name in `loaded` to how its table of positions was interpolated to fit.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    wrong_shape: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] | None = None
    adapted: tuple[str, ...] = ()
    resized: Mapping[str, str] | None = None

    def tensors(self) -> list[tuple[str, str, str]]:
        """A line for each tensor: its name, what became of it, and how.

        `loaded`, `adapted`, `missing` (it keeps its initial value) or `left over`.
        """
        mean = dict.fromkeys(self.adapted, ("adapted", "average over input channels"))
        lines = [(name, *mean.get(name, ("loaded", "as it is"))) for name in self.loaded]
        initial = (*self.missing, *(self.wrong_shape or {}))
        lines += [(name, "missing", "keeps its initial value") for name in initial]
        return lines + [(name, "left over", "not used") for name in self.unexpected]

    def __str__(self) -> str:
        return "\n".join([f"{len(self.loaded)} tensors loaded", *self.differences()])

    def differences(self) -> list[str]:
        """A line for each kind of tensor that was not simply copied."""
        shapes = tuple(
            f"{name} (source {source}, module {module})"
            for name, (source, module) in (self.wrong_shape or {}).items()
        )
        lists = {
            "missing in the source": self.missing,
            "unknown to the module": self.unexpected,
            "of another shape": shapes,
            "with averaged input channels": self.adapted,
            "interpolated": tuple(f"{n} ({how})" for n, how in (self.resized or {}).items()),
        }
        return [f"{len(v)} {k}: {', '.join(v)}" for k, v in lists.items() if v]


def transfer(
    source: Mapping[str, Tensor],
    module: nn.Module,
    *,
    allow_missing: Iterable[str] = (),
    allow_unexpected: Iterable[str] = (),
    average_inputs: str | None = None,
) -> TransferReport:
    """Fill the parameters and buffers of `module` from `source`: all of them, or none.

    A tensor that the module holds under several names is filled from any of them.

    Args:
        source: name to tensor.
        module: what is filled; it keeps its dtypes and devices.
        allow_missing: patterns (`decoder.*`) of names that may keep their values, because the
            source lacks them or has them in another shape.
        allow_unexpected: patterns of names in `source` that may be left unused.
        average_inputs: name of a convolution's weight (O, I, kz, ky, kx) that may take another
            number of input channels: each gets the mean over the source's, scaled so that equal
            inputs give the same response. The report lists it under `adapted`.

    Raises:
        ValueError: something does not fit and is not allowed; names everything that does not.
            Nothing was copied then.
    """
    copies: list[tuple[Tensor, Tensor]] = []
    loaded: list[str] = []
    missing: list[str] = []
    adapted: list[str] = []
    wrong: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    known: set[str] = set()
    for names, target in _tensors(module):
        known.update(names)
        given = [name for name in names if name in source]
        if not given:
            missing.append(names[0])
            continue
        value = source[given[0]]
        for other in given[1:]:
            if not torch.equal(source[other], value):
                raise ValueError(
                    f"{given[0]} and {other} are one tensor in the module, but the source has "
                    "different values for them: remove one of the two"
                )
        if average_inputs in names and value.shape != target.shape:
            value = _average_inputs(value, channels=target.shape[1])
            adapted.append(names[0])
        if value.shape != target.shape:
            wrong[names[0]] = (tuple(value.shape), tuple(target.shape))
            continue
        loaded.append(names[0])
        copies.append((target, value))
    unexpected = [name for name in source if name not in known]
    report = TransferReport(tuple(loaded), tuple(missing), tuple(unexpected), wrong, tuple(adapted))
    unfilled, unused = tuple(allow_missing), tuple(allow_unexpected)
    refused = [name for name in (*missing, *wrong) if not _matches(name, unfilled)]
    refused += [name for name in unexpected if not _matches(name, unused)]
    if refused or not loaded:
        lines = "\n".join([f"{len(loaded)} tensors would fit", *report.differences()])
        raise ValueError(
            f"the weights do not fit, and nothing was copied. {lines}\n"
            f"Refused: {', '.join(refused) or 'to load nothing'}. allow_missing and "
            "allow_unexpected of ssl3d.weights.transfer leave tensors out by name"
        )
    with torch.no_grad():
        for target, value in copies:
            target.copy_(value)
    return report


def _tensors(module: nn.Module) -> list[tuple[list[str], Tensor]]:
    """Every tensor of the state dict once, with all the names that it goes by."""
    found: dict[int, tuple[list[str], Tensor]] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        found.setdefault(id(tensor), ([], tensor))[0].append(name)
    return list(found.values())


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _average_inputs(weight: Tensor, *, channels: int) -> Tensor:
    scale = weight.shape[1] / channels
    return (weight.mean(1, keepdim=True) * scale).expand(-1, channels, *weight.shape[2:])
