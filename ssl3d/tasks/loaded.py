"""What a run started from, tensor by tensor: a table in its folder, and counts for its summary."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ssl3d.files import written_whole

if TYPE_CHECKING:
    from ssl3d.weights import Adapted, TransferReport

LOADED = "loaded.csv"
COLUMNS = ("part", "source", "tensor", "what", "how")


class Loaded(NamedTuple):
    """What became of the tensors of a part of the model.

    Attributes:
        part: `encoder` or `decoder`.
        source: where they came from.
        report: of each tensor.
        note: what else is to be said of them; may be empty.
    """

    part: str
    source: str
    report: Adapted | TransferReport
    note: str = ""

    def __str__(self) -> str:
        note = f", {self.note}" if self.note else ""
        return f"{self.part.capitalize()} from {self.source}{note}: {self.report}"


def write_loaded(folder: Path, parts: Iterable[Loaded]) -> None:
    """A line for each tensor: `loaded` as it is, `adapted`, `missing` or `left over`, and how.

    Nothing is written where nothing was loaded.
    """
    lines = [(one.part, one.source, *line) for one in parts for line in one.report.tensors()]
    if not lines:
        return
    with (
        written_whole(folder / LOADED) as unfinished,
        open(unfinished, "w", newline="", encoding="utf-8") as file,
    ):
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows(lines)


def loaded_counts(folder: Path) -> dict[str, dict[str, int | str]]:
    """Of each part in the table of a run its source, and how many tensors became what."""
    if not (folder / LOADED).is_file():
        return {}
    with open(folder / LOADED, newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    sources = {line["part"]: line["source"] for line in lines}
    return {
        part: {"source": source} | Counter(one["what"] for one in lines if one["part"] == part)
        for part, source in sources.items()
    }
