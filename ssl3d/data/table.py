"""Tables that users write: text in UTF-8 or UTF-16, rows of CSV. Whatever is unclear is refused."""

from __future__ import annotations

import codecs
import csv
import io
import reprlib
import unicodedata
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

Problem = Callable[[str], ValueError]
"""Makes an error of what is wrong with the file."""

NOTHING = ("", "n/a", "na", "nan", "null", "none", "#n/a", "<na>")
"""What tables write where they have nothing, in any case of letters: `n/a` is BIDS's, `NA` R's."""


def read_text(path: Path, *, problem: Problem) -> str:
    """The text of a file in UTF-8, or in UTF-16 with its mark.

    Raises:
        ValueError: `problem` of what is wrong.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise problem(f"cannot be read: {error.strerror}") from error
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise problem(f"is not UTF-8 in line {line}: save it as UTF-8") from error
    if "\0" in text:
        raise problem("holds null characters: save it as UTF-8")
    return text


def csv_rows(
    text: str, *, needed: Collection[str], problem: Problem
) -> Iterator[tuple[dict[str, str], str]]:
    """(row by column, "line 2") of each row that holds something; commas, semicolons or tabs part.

    Args:
        text: of the file.
        needed: columns that must be there, once.
        problem: makes the error.

    Raises:
        ValueError: `problem` of what is wrong.
    """
    text = text.lstrip("\r\n")
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = [column.strip() for column in reader.fieldnames or ()]
        if any(columns.count(column) != 1 for column in needed):
            found, names = reprlib.repr(columns), " and ".join(needed)
            verb = "are" if len(needed) > 1 else "is"
            raise problem(f"has the columns {found}: {names} {verb} needed, once")
        twice = [column for column in columns if column and columns.count(column) > 1]
        if twice:
            raise problem(f"has two columns {twice[0]!r}: give each a name of its own")
        reader.fieldnames = columns
        for row in reader:
            place = f"line {reader.line_num}"
            if None in row:
                raise problem(f"has more cells than columns, {place}")
            if any((cell or "").strip() for cell in row.values()):
                yield {name: cell or "" for name, cell in row.items()}, place
    except csv.Error as error:
        raise problem(f"is not CSV: {error}, line {reader.line_num}") from error


def plain_text(text: str) -> str:
    """One form of accented letters (systems differ), and no blanks around."""
    return unicodedata.normalize("NFC", text).strip()
