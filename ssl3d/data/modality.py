"""What samples were made by: as the spec says, else as the headers of DICOM do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ssl3d.data.data_error import BadVolume
from ssl3d.data.dicom.among import pydicom_there
from ssl3d.data.dicom.candidates import ENDING
from ssl3d.data.group_file import groups_from_file
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec
from ssl3d.data.split import by_expression


def with_modalities(
    sources: Sequence[Source], *, spec: DataSpec, folder: Path | None = None
) -> list[Source]:
    """The samples, each with its modality; what a manifest said of one stands.

    `modality_by` sees paths from `folder`, where the run was begun; none: as they are given.

    Raises:
        DataError: a sample has none although the spec says how it is found.
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
    pairs = zip(sources, found, strict=True)
    return [replace(source, modality=source.modality or own) for source, own in pairs]


def _of_header(path: Path) -> str | None:
    if path.suffix != ENDING or not pydicom_there():
        return None
    from ssl3d.data.dicom.series import modality_of

    try:
        return modality_of(path) or None
    except BadVolume:  # said when its header is judged
        return None
