"""A check: a plain function that says what is wrong, and the cases that it is tried on."""

from __future__ import annotations

import functools
import itertools
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, ParamSpec, TypeVar
from unittest import SkipTest

import numpy as np
import torch
from torch import Tensor

from ssl3d.run.deterministic import deterministic

P = ParamSpec("P")
R = TypeVar("R")


class Check(Generic[P, R]):
    """A function of a component under test; called as one.

    It raises `AssertionError` with a reason, or `unittest.SkipTest` where a library lacks what it
    tries; its docstring says what must hold.

    Attributes:
        name: of the function.
    """

    def __init__(self, function: Callable[P, R], parameters: Mapping[str, Iterable[Any]]) -> None:
        functools.update_wrapper(self, function)
        self.name = function.__name__
        self._function = function
        self._parameters = parameters

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Try it."""
        return self._function(*args, **kwargs)

    def cases(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every case by its name, and the arguments after the first; one without name for none."""
        choices = [
            [(str(key), value) for key, value in _named(values)]
            for values in self._parameters.values()
        ]
        for chosen in itertools.product(*choices):
            arguments = zip(self._parameters, (value for _, value in chosen), strict=True)
            yield "-".join(name for name, _ in chosen), dict(arguments)


def check(**parameters: Iterable[Any]) -> Callable[[Callable[P, R]], Check[P, R]]:
    """Make a check of a function; every combination of the parameters' values is a case.

    A mapping gives values with names of their own; other values are called as `str` says.
    """
    return lambda function: Check(function, parameters)


def checks_of(names: Mapping[str, Any]) -> tuple[Check[Any, Any], ...]:
    """The checks among a module's `globals()`, in the order in which they are defined."""
    return tuple(value for value in names.values() if isinstance(value, Check))


def require(condition: bool, reason: str) -> None:
    """Raise AssertionError with the reason unless the condition holds, under `python -O` too."""
    if not condition:
        raise AssertionError(reason)


@contextmanager
def refused(what: str, *, naming: str = "") -> Iterator[None]:
    """What is inside must raise a ValueError that names something (a regular expression)."""
    try:
        yield
    except ValueError as error:
        found = re.search(naming, str(error))
        require(found is not None, f"{what}: the error does not name {naming!r}: {error}")
        return
    raise AssertionError(f"{what} must raise a ValueError")


@contextmanager
def same_bits_asked_of(device: str) -> Iterator[None]:
    """What is inside computes the same bits each time, as it does on a CPU without being asked.

    Raises:
        SkipTest: CUDA has no such way for one of the operations.
    """
    with deterministic(device.startswith("cuda")):
        try:
            yield
        except RuntimeError as error:
            if "does not have a deterministic implementation" not in str(error):
                raise
            raise SkipTest(str(error).split(",")[0]) from error


@contextmanager
def global_random_states_untouched() -> Iterator[None]:
    """What is inside must draw from no global generator: generators are passed in."""
    before = _random_states()
    yield
    for whose, state in _random_states().items():
        require(state == before[whose], f"global random state was used, that of {whose}")


def largest_error(got: Tensor | None, want: Tensor, *, name: str, tolerance: float) -> float:
    """Largest difference, as a share of the largest value wanted, or of 1 where that is smaller.

    Raises:
        AssertionError: it is above the tolerance, or `got` is missing, not finite or of another
            shape.
    """
    if got is None:
        raise AssertionError(f"{name} is missing")
    got, want = got.detach().cpu().double(), want.detach().cpu().double()
    shapes = tuple(got.shape), tuple(want.shape)
    require(shapes[0] == shapes[1], f"{name} has shape {shapes[0]}, expected {shapes[1]}")
    require(bool(got.isfinite().all()), f"{name}: not finite")
    if not want.numel():
        return 0.0
    error = float((got - want).abs().max()) / max(1.0, float(want.abs().max()))
    require(
        error <= tolerance,
        f"{name}: differs by {error:.1e} of the largest value, allowed {tolerance:.0e}",
    )
    return error


def survives_json(config: Any) -> None:
    """Specs are stored as JSON: a config comes back as it was."""
    again = type(config).model_validate_json(config.model_dump_json())
    require(again == config, f"{config!r} comes back from JSON as {again!r}")


def _random_states() -> dict[str, Any]:
    _, keys, *rest = np.random.get_state()
    return {
        "torch": torch.get_rng_state().tolist(),
        "Python": random.getstate(),
        "NumPy": (np.asarray(keys).tolist(), rest),
    }


def _named(values: Iterable[Any]) -> Iterable[tuple[Any, Any]]:
    return values.items() if isinstance(values, Mapping) else ((v, v) for v in values)
