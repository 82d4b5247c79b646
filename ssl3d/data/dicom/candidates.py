"""Which files are looked into for DICOM, by their names."""

from __future__ import annotations

import re
from pathlib import Path

ENDING = ".dcm"
"""Of the path of a series, `FOLDER/UID.dcm`: its files may have other names."""

# Named by an ending of DICOM's, or by a number or an UID.
_NAMED = re.compile(r"\.(dcm|dicom|ima)", re.IGNORECASE)
_NUMBERED = re.compile(r"\.[0-9]+")


def named_dicom(path: Path) -> bool:
    """True for a name that says so."""
    return _NAMED.fullmatch(path.suffix) is not None


def may_be_dicom(path: Path) -> bool:
    """True for files that are looked into: many have no ending."""
    return named_dicom(path) or path.suffix == "" or _NUMBERED.fullmatch(path.suffix) is not None
