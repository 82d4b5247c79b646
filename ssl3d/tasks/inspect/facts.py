"""What is known of one file after a look at it: plain values, kept and written as they are."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

PERCENTILES = (0.0, 0.5, 25.0, 50.0, 75.0, 99.5, 100.0)

Sizes = tuple[float, float, float]


@dataclass(frozen=True)
class Facts:
    """One file, or one DICOM series. What could not be found out is empty or None.

    Attributes:
        path: its name.
        bytes: on the disk, with files beside it that hold its voxels.
        problem: why a run could not use it; empty where it could.
        format: the ending of its name, without the dot.
        shape: voxels (z, y, x), turned to RAS.
        spacing: size of a voxel in mm (z, y, x).
        orientation: where the file's own first, second and third axis point to, such as LPS.
        dtype: of the voxels as they are read, their scaling applied.
        modality: such as CT, as a manifest, the spec or the header of DICOM says.
        percentiles: of the finite voxels, at `PERCENTILES`, in the file's unit.
        non_finite: share of voxels that are NaN or infinite.
        not_measured: share of voxels that the file marks as no measurement.
        digest: of the voxels in RAS, in single precision: alike for the same image in any format.
        labels: why it looks like a label map; empty where it does not.
        notes: what was assumed of its header, as words that go after its name.
        pictures: an axial, a coronal and a sagittal slice as PNG, in base64.
    """

    path: str
    bytes: int = 0
    problem: str = ""
    format: str = ""
    shape: tuple[int, int, int] | None = None
    spacing: Sizes | None = None
    orientation: str = ""
    dtype: str = ""
    modality: str = ""
    percentiles: tuple[float, ...] = ()
    non_finite: float = 0.0
    not_measured: float = 0.0
    digest: str = ""
    labels: str = ""
    notes: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()

    @property
    def image(self) -> bool:
        """True for what a run could learn from."""
        return not self.problem and not self.labels

    @property
    def thick(self) -> str:
        """The axis (z, y or x) with steps of over 3 times those of the others; empty for none."""
        if self.spacing is None:
            return ""
        worst = max(range(3), key=self.spacing.__getitem__)
        others = (step for axis, step in enumerate(self.spacing) if axis != worst)
        return "zyx"[worst] if self.spacing[worst] > THICK * max(others) else ""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Facts:
        """From what `as_json` gave; raises TypeError for what has other fields."""
        names = {field.name for field in fields(cls)}
        if set(content) != names:
            raise TypeError(f"facts have {sorted(names)}")
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in content.items()
        }
        return cls(**values)


THICK = 3.0
"""From here on slices are thick; nnU-Net's planner (ANISO_THRESHOLD) has the same number."""
