"""Output on terminals that cannot show every character."""

from __future__ import annotations

import codecs
import io
import sys

PLAIN = {
    "×": "x",
    "·": "*",
    "≤": "<=",
    "≥": ">=",
    "−": "-",
    "–": "-",
    "²": "^2",
    "³": "^3",
    "…": "...",
    "’": "'",
}
"""What stands for the signs that messages use."""


def tolerate_plain_terminals() -> None:
    """Let standard output and errors write a plain sign, or an escape, for what they lack.

    An ASCII terminal, and a file name that is not UTF-8, would end a command otherwise.
    """
    codecs.register_error("ssl3d.plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="ssl3d.plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    signs = (PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lacking)
    return "".join(signs), error.end
