"""A sample, and what is known of it before a file is opened."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from ssl3d.data.data_error import shown


@dataclass(frozen=True)
class Source:
    """One sample: a file per channel, in the order of the spec.

    Attributes:
        files: of the channels that there is a file for; one at least.
        modality: what it was made by, such as CT, T1w; None where nobody says.
        valid: a file whose voxels are 0 where those of the sample say nothing; None for none.
        lacking: numbers, from 0, of channels that there is no file for.
        group: whose it is; None where no manifest says.
        visit: when it was made, of its group; None where no manifest says.
        weight: how often it is drawn, relative to others.
    """

    files: tuple[Path, ...]
    modality: str | None = None
    valid: Path | None = None
    lacking: tuple[int, ...] = ()
    # What does not change how it is prepared tells no samples apart.
    group: str | None = field(default=None, compare=False)
    visit: str | None = field(default=None, compare=False)
    weight: float = field(default=1.0, compare=False)

    @property
    def name(self) -> str:
        """Path of the first file as text: what reports call this sample."""
        return shown(self.files[0])

    @property
    def numbers(self) -> tuple[int, ...]:
        """Channel of each file, from 0."""
        channels = range(len(self.files) + len(self.lacking))
        return tuple(number for number in channels if number not in self.lacking)

    @property
    def whole(self) -> Source:
        """The same with whole paths: its name is the same from every folder."""
        files = tuple(file.absolute() for file in self.files)
        return replace(self, files=files, valid=self.valid and self.valid.absolute())
