"""What a component's config answers, and what it builds, judged: both come from strangers."""

from __future__ import annotations

import functools
import pkgutil
import sys
import typing
from collections.abc import Callable, Iterable
from types import GenericAlias
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ssl3d.plugin.shown import one_line_of, shown

TOLD = (ValueError, OSError, ImportError, MemoryError)
"""What a constructor may raise in its own words."""

Answer = Callable[..., Any]


class AnswerError(ValueError):
    """A component does not keep to what its kind promises; names it, and what it gave or raised."""


def judged(answer: Answer, *, like: Answer) -> Answer:
    """A method of a config that gives what the method of the kind's base says by its annotation.

    What is `Iterable` there is a list then, so that whatever it raises is raised here.
    """

    @functools.wraps(answer)
    def judge(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _is_traced():
            return answer(self, *args, **kwargs)
        said = f"{_named(self)}: {answer.__name__}() of its config"
        try:
            given = answer(self, *args, **kwargs)
            if isinstance(given, Iterable) and _is_iterable(like):
                given = given if isinstance(given, str) else list(given)
        except AnswerError:
            raise
        except Exception as error:
            raise AnswerError(f"{said} raises {one_line_of(error)}. {_ADVICE}") from error
        try:
            return _adapter(like).validate_python(given)
        except ValidationError:
            wanted = like.__annotations__["return"]
            raise AnswerError(f"{said} gives {shown(given)}; must be {wanted}. {_ADVICE}") from None

    return judge


def made(config: Any, make: Answer, context: dict[str, Any], *, base: str) -> Any:
    """What a config builds: an object of the class that `base` names, such as `module:Class`.

    Raises:
        AnswerError: it is none, or an error that is not for users came out of its constructor.
    """
    said = f"{_named(config)}: {config.builds}"
    try:
        built = make(config, **context)
    except TOLD:
        raise
    except Exception as error:
        raise AnswerError(f"{said} raises {one_line_of(error)}. {_ADVICE}") from error
    if not isinstance(built, pkgutil.resolve_name(base)):
        what = base.replace(":", ".")
        raise AnswerError(f"{said} gives {shown(built)}; must be a {what}. {_ADVICE}")
    return built


_ADVICE = "Tell its authors, or take another"


def _named(config: Any) -> str:
    """Kind, name and where the config is defined."""
    return f"{config.kind.replace('_', ' ')} {config.name!r} of {type(config).__module__}"


def _is_traced() -> bool:
    """True where torch compiles: it can follow an answer, and not what judges it."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.compiler.is_compiling())


def _is_iterable(like: Answer) -> bool:
    return typing.get_origin(_annotation(like)) is Iterable


@functools.cache
def _annotation(like: Answer) -> Any:
    return typing.get_type_hints(like)["return"]


@functools.cache
def _adapter(like: Answer) -> TypeAdapter[Any]:
    wanted = _annotation(like)
    if _is_iterable(like):
        wanted = GenericAlias(list, typing.get_args(wanted))
    return TypeAdapter(wanted)
