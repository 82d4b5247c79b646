"""What happens to files that cannot be used, and how the main process learns of them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Literal

from ssl3d.data.data_error import BadVolume, DataError
from ssl3d.data.source import Source


class BadFileRecord:
    """Bad samples of a run, one JSON line each; every worker and rank appends to one file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, name: str, problem: str) -> None:
        line = json.dumps({"sample": name, "problem": problem}) + "\n"
        # One write to a file opened for appending: lines of several processes do not mix.
        handle = os.open(self.path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o666)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)

    def read(self) -> dict[str, str]:
        """{sample: problem}, sorted by sample; each one once, however many processes met it."""
        if not self.path.exists():
            return {}
        lines = [json.loads(line) for line in self.path.read_text().splitlines()]
        return dict(sorted((line["sample"], line["problem"]) for line in lines))

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)


class BadFilePolicy:
    """Records bad samples and decides whether the run goes on.

    Args:
        record: where bad samples are kept.
        total: samples that the run was given.
        on_bad_file: "skip" goes on, "stop" raises at the first.
        max_share: largest share of bad samples to go on with.
    """

    def __init__(
        self,
        record: BadFileRecord,
        *,
        total: int,
        on_bad_file: Literal["skip", "stop"] = "skip",
        max_share: float = 1.0,
    ) -> None:
        self.record = record
        self._total = total
        self._stop = on_bad_file == "stop"
        self._max_share = max_share
        self._known: set[str] = set()
        self._bad = 0

    def handle(self, error: BadVolume, *, source: Source) -> None:
        """Note that `source` is bad.

        Raises:
            BadVolume: bad files stop the run.
            DataError: more than the largest share is bad; names them.
        """
        if source.name not in self._known:
            self._known.add(source.name)
            self.record.add(source.name, str(error))
            self._bad = len(self.record.read())
        if self._stop:
            raise error
        if self._bad > self._max_share * self._total:
            raise DataError(
                f"data: {self._bad} of {self._total} samples cannot be used, data.max_bad_share "
                f"allows {self._max_share:.0%}:\n{self.summary()}"
            )

    def summary(self, *, most: int = 10) -> str:
        """The recorded problems, one a line."""
        problems = list(self.record.read().values())
        more = [f"and {len(problems) - most} more"] if len(problems) > most else []
        return "\n".join(f"  {problem}" for problem in problems[:most] + more)
