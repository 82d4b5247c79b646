"""What a user gave, as messages show it: cut to a readable length, on one line."""

from __future__ import annotations

import reprlib
from typing import Any

LONGEST_VALUE = 80
LONGEST_TEXT = 2000
LARGEST_WRITTEN = 10**30
"""Larger numbers are told by how many digits they have."""


class _Shown(reprlib.Repr):
    """Looks at a few items of a few levels only: a value may be deep, endless or shared."""

    def repr_int(self, x: int, level: int) -> str:  # noqa: ARG002
        if abs(x) < LARGEST_WRITTEN:
            return str(x)
        return f"a number of {int(x.bit_length() * 0.30103) + 1} digits"

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        """In the order that was given."""
        if level <= 0 and x:
            return "{...}"
        items = [
            f"{self.repr1(key, level - 1)}: {self.repr1(x[key], level - 1)}"
            for key, _ in zip(x, range(self.maxdict), strict=False)
        ]
        return f"{{{', '.join(items + ['...'] * (len(x) > self.maxdict))}}}"


_shown = _Shown()
_shown.maxlevel, _shown.maxdict, _shown.maxlist, _shown.maxtuple = 4, 16, 16, 16
_shown.maxstring = _shown.maxother = LONGEST_VALUE


def shown(value: Any) -> str:
    """A value as Python writes it, in at most 80 characters."""
    return cut(_shown.repr(value), most=LONGEST_VALUE)


def cut(text: str, *, most: int = LONGEST_VALUE) -> str:
    """The start of a text where it is longer than `most` characters."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def one_line(text: str, *, most: int = LONGEST_TEXT) -> str:
    """A text without line breaks and control characters, which are written as escapes."""
    start = cut(text, most=most)
    if start.isprintable():
        return start
    escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in start)
    return cut("".join(escaped), most=most)


def one_line_of(error: BaseException) -> str:
    """An error on one line of a readable length."""
    try:
        text = str(error)
    except Exception:  # a stranger's error may fail even here
        text = "an error that cannot say what is wrong"
    return one_line(f"{type(error).__name__}: {' '.join(text.split())}")
