"""Checks as the tests of a pytest class."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import pytest
import torch

from ssl3d.testing.check import Check


class Kit:
    """Base of the kits: each check is a test, each of its cases too.

    A kit names the dataclass that its checks are given; class attributes of the same names fill it.
    """

    under_test: ClassVar[Callable[..., Any]]

    def __init_subclass__(cls, *, checks: Iterable[Check[Any, Any]] = ()) -> None:
        super().__init_subclass__()
        for check in checks:
            setattr(cls, f"test_{check.name}", _test_of(check))

    @pytest.fixture(autouse=True)
    def _own_random_state(self) -> Iterator[None]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            yield

    def subject(self) -> Any:
        """What the checks are given."""
        fields: Any = dataclasses.fields(self.under_test)  # type: ignore[arg-type]
        given = [field.name for field in fields if hasattr(self, field.name)]
        return self.under_test(**{name: getattr(self, name) for name in given})


def _test_of(check: Check[Any, Any]) -> Callable[..., None]:
    names, cases = zip(*check.cases(), strict=True)

    def test(self: Kit, case: dict[str, Any]) -> None:
        check(self.subject(), **case)

    def test_without_cases(self: Kit) -> None:
        check(self.subject())

    if names == ("",):
        made = test_without_cases
    else:
        made = pytest.mark.parametrize("case", cases, ids=names)(test)
    made.__name__ = f"test_{check.name}"
    made.__doc__ = check.__doc__
    return made
