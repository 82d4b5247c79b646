"""One file, read once: its facts."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.orientations import aff2axcodes, apply_orientation
from numpy.typing import NDArray

from ssl3d.data.data_error import BadVolume, shown
from ssl3d.data.dicom.candidates import ENDING
from ssl3d.data.files import ENDINGS
from ssl3d.data.grid import oriented
from ssl3d.data.intensity import NoContrast, check_values
from ssl3d.data.label_maps import label_like
from ssl3d.data.read import check_header
from ssl3d.data.scan import files_of, open_scan
from ssl3d.report.thumbnail import thumbnails
from ssl3d.tasks.inspect.facts import PERCENTILES, Facts


def look_at(path: Path, *, max_non_finite: float = 0.05) -> Facts:
    """Read a file, judge it as a run would, and draw it; never raises for what is in the file.

    Args:
        path: of a file, or of a DICOM series.
        max_non_finite: share of NaN and infinite voxels from which a run leaves it out.
    """
    found: dict[str, Any] = {"path": shown(path), "format": _format(path)}
    try:
        _look(path, found, max_non_finite=max_non_finite)
    except (BadVolume, NoContrast) as error:
        found["problem"] = error.reason if isinstance(error, BadVolume) else str(error)
    except MemoryError:
        found["problem"] = "there is not enough memory to read it"
    except Exception as error:  # one file must not end the look at the others
        line = " ".join(f"{type(error).__name__}: {error}".split())
        found["problem"] = f"cannot be looked at: {line}"
    return Facts(**found)


def _look(path: Path, found: dict[str, Any], *, max_non_finite: float) -> None:
    """Fill in `found`, so that what was found before an error stays."""
    if path.suffix != ENDING and path.exists():
        found["bytes"] = path.stat().st_size
    found["notes"] = check_header(path)
    found["bytes"] = sum(file.stat().st_size for file in files_of(path))
    if path.suffix == ENDING:
        from ssl3d.data.dicom.series import members

        found["modality"] = members(path)[0][0][1].modality
    scan = open_scan(path)
    grid, turn = oriented(scan.shape, scan.affine)
    found["shape"] = tuple(int(size) for size in reversed(grid.shape))
    found["spacing"] = tuple(round(float(step), 6) for step in reversed(grid.steps))
    found["orientation"] = "".join(aff2axcodes(scan.affine))
    voxels = scan.voxels()
    found["dtype"] = str(voxels.dtype)
    measured = voxels
    if isinstance(voxels, np.ma.MaskedArray):
        measured = voxels.compressed()
        found["not_measured"] = 1 - measured.size / voxels.size
        voxels = np.where(voxels.mask, np.float32(np.nan), voxels.data.astype(np.float32))
    finite = measured[np.isfinite(measured)] if measured.dtype.kind == "f" else measured
    found["non_finite"] = 1 - finite.size / measured.size
    if finite.size:
        levels = np.percentile(finite, PERCENTILES)
        found["percentiles"] = tuple(float(level) for level in levels)
    turned = apply_orientation(voxels.reshape(voxels.shape[:3]), turn).transpose(2, 1, 0)
    if finite.size:
        _, low, *_, high, _ = found["percentiles"]
        pictures = thumbnails(turned, spacing=found["spacing"], greys=(low, high))
        found["pictures"] = tuple(base64.b64encode(one).decode() for one in pictures)
    check_values(measured, max_non_finite=max_non_finite)
    found["labels"] = label_like(path, finite)
    found["digest"] = digest_of(turned)


def digest_of(volume: NDArray[Any]) -> str:
    """Digest of voxels (z, y, x) in single precision, slice by slice, whatever type they have."""
    digest = hashlib.blake2b(repr(volume.shape).encode(), digest_size=16)
    for one in volume:
        with np.errstate(over="ignore"):
            values = np.array(one, dtype="<f4", order="C")
        values[~np.isfinite(values)] = np.nan
        digest.update((values + np.float32(0)).tobytes())  # 0 and -0 are one value
    return digest.hexdigest()


def _format(path: Path) -> str:
    if path.suffix == ENDING:
        return "dicom"
    ending = next((one for one in ENDINGS if path.name.lower().endswith(one)), path.suffix)
    return ending.lstrip(".")
