"""The base of every group of options: what no option means, and what an empty one means.

Imports no torch.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Iterable, Iterator, Mapping
from types import NoneType
from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from ssl3d.plugin.shown import shown

LARGEST_INTEGER = 2**32 - 1
LARGEST_FLOAT = 1e30
"""All is computed in single precision, whose numbers end at 3e38."""

MOST_ITEMS = 10**5
"""Of a list of numbers; the longest that makes sense has a few."""

Presets = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Option that names a preset, name of the preset, option that it settles: the value of that."""


class Section(BaseModel):
    """Frozen options. Unknown ones are refused, `true` is no number, and no number is absurd.

    A section inside that is given as null, which is how YAML reads an empty one, is its defaults.

    Attributes:
        presets: a preset fills in what is not given; what is given otherwise is an error, so that
            no spec says the name of what it is not.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        allow_inf_nan=False,
        revalidate_instances="always",
    )

    presets: ClassVar[Presets] = {}

    @classmethod
    def settles(cls, option: str) -> Iterable[str]:
        """Options that a value of this one fills in."""
        return {other for one in cls.presets.get(option, {}).values() for other in one}

    @classmethod
    def without_false_names(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Options without the presets' names that they contradict, as older versions wrote them."""
        false = {
            option
            for option, presets in cls.presets.items()
            if isinstance(given.get(option), str)
            for other, settled in presets.get(given[option], {}).items()
            if given.get(other) is not None and plain(given[other]) != plain(settled)
        }
        return {option: value for option, value in given.items() if option not in false}

    @field_validator("*", mode="wrap")
    @classmethod
    def _makes_sense(
        cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        assert info.field_name is not None
        field = cls.model_fields[info.field_name]
        kinds = set(_kinds(field.annotation))
        if value is None and NoneType not in kinds and any(map(_is_section, kinds)):
            value = {} if field.is_required() else field.get_default(call_default_factory=True)
        numbers = list(_numbers(value))
        for number in numbers:
            # Before anything counts up to it.
            if _largest(number) < abs(number) < math.inf:
                raise ValueError(
                    f"given {shown(value)}; must be at most {_largest(number):.10g} in size"
                )
        result = handler(value)
        if bool not in kinds and kinds & {int, float} and any(isinstance(n, bool) for n in numbers):
            raise ValueError(f"given {shown(value)}; must be a number, not true or false")
        return result

    @model_validator(mode="before")
    @classmethod
    def _fill_in_presets(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        filled = dict(given)
        for option, presets in cls.presets.items():
            name = filled.get(option)
            for other, value in presets.get(name, {}).items() if isinstance(name, str) else ():
                if filled.get(other) is None:
                    filled[other] = value
        return filled

    @model_validator(mode="after")
    def _is_what_its_preset_says(self) -> Self:
        for option, presets in self.presets.items():
            name = getattr(self, option)
            for other, value in presets.get(name, {}).items():
                given = getattr(self, other)
                if given != value:
                    raise ValueError(
                        f"{option} {name!r} has {other} {shown(value)}, given {shown(given)}: "
                        f"leave out {other}, or give {option} as null and keep the options"
                    )
        return self


def plain(value: Any) -> Any:
    """Tuples as the lists that files hold."""
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def _largest(number: float) -> float:
    return LARGEST_FLOAT if isinstance(number, float) else LARGEST_INTEGER


def _kinds(annotation: Any) -> Iterator[Any]:
    """The types that an annotation is made of."""
    origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal or not inside:
        yield annotation
        return
    for one in inside[:1] if origin is typing.Annotated else inside:
        yield from _kinds(one)


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _numbers(value: Any) -> Iterator[float]:
    """The numbers in a value and in the lists in it; a mapping's are its own section's to judge.

    A list may be as deep as it likes, or hold itself: a bounded number of items is looked at.
    """
    at = [value]
    for _ in range(MOST_ITEMS):
        if not at:
            return
        one = at.pop()
        if isinstance(one, int | float):
            yield one
        elif isinstance(one, list | tuple):
            at.extend(one[:MOST_ITEMS])


def by_name(value: Any) -> Any:
    """A name alone as the mapping that it stands for; anything else as it is."""
    return {"name": value} if isinstance(value, str) else value


def name_of(value: Any) -> str:
    """Which of several sections a value is about; empty where it does not say, which fits none."""
    name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
    return name if isinstance(name, str) else ""
