"""What samples were made by: as the spec says, else as the headers of DICOM do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ssl3d.data.data_error import BadVolume, DataError
from ssl3d.data.dicom.among import pydicom_there
from ssl3d.data.dicom.candidates import ENDING
from ssl3d.data.group_file import groups_from_file
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec
from ssl3d.data.split import by_expression, named_by


def with_modalities(
    sources: Sequence[Source], *, spec: DataSpec, folder: Path | None = None
) -> list[Source]:
    """The samples, each with its modality; what a manifest said of one stands.

    `modality_by` sees paths from `folder`, where the run was begun; none: as they are given.

    Raises:
        DataError: a sample has none although the spec says how it is found, or several by which
            its channels would have to be normalised apart.
    """
    found: Sequence[str | None]
    if spec.modality_by is not None:
        found = by_expression(
            sources, spec.modality_by, folder=folder, option="data.modality_by", what="modality"
        )
    elif spec.modality_file is not None:
        path = Path(spec.modality_file).expanduser()
        found = groups_from_file(sources, path=path, option="data.modality_file")
    else:
        found = [_of_header(source.files[0]) for source in sources]
    if spec.normalise_by_modality:
        for source in sources:
            _check_one(source, spec=spec, folder=folder)
    pairs = zip(sources, found, strict=True)
    return [replace(source, modality=source.modality or own) for source, own in pairs]


def _check_one(source: Source, *, spec: DataSpec, folder: Path | None) -> None:
    """A sample whose files are of several modalities is none of `normalise_by_modality`."""
    if source.modality is not None or spec.modality_file is not None or len(source.files) < 2:
        return
    if spec.modality_by is None:
        names = {_of_header(path) for path in source.files}
    else:
        pattern = re.compile(spec.modality_by)
        names = {named_by(pattern, path, folder=folder) for path in source.files}
    several = sorted(name for name in names if name)
    if len(several) > 1:
        raise DataError(
            f"data.normalise_by_modality: the files of {source.name} are of {', '.join(several)}, "
            "and a sample is normalised as one: give data.normalise alone, which sees each channel "
            "by itself (percentile, zscore), or say by a manifest what the sample as a whole is"
        )


def _of_header(path: Path) -> str | None:
    if path.suffix != ENDING or not pydicom_there():
        return None
    from ssl3d.data.dicom.series import modality_of

    try:
        return modality_of(path) or None
    except BadVolume:  # said when its header is judged
        return None
