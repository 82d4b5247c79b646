"""A slice turned to the radiological convention, with the sides of the patient at its edges."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from ssl3d.report.anatomy import PLANES


def mark_sides(axes: Axes, *, axis: int) -> None:
    """Turn the slice to the radiological convention, and say which side is which."""
    axes.invert_xaxis()
    axes.set_xticks([])
    axes.set_yticks([])
    plane = PLANES[axis]
    for x, y, letter in (
        (0.03, 0.5, plane.left),
        (0.97, 0.5, plane.right),
        (0.5, 0.03, plane.bottom),
        (0.5, 0.97, plane.top),
    ):
        axes.text(
            x,
            y,
            letter,
            transform=axes.transAxes,
            ha={0.03: "left", 0.97: "right"}.get(x, "center"),
            va={0.03: "bottom", 0.97: "top"}.get(y, "center"),
            fontsize=8,
            color="white",
            path_effects=[withStroke(linewidth=1.8, foreground="black")],
        )
