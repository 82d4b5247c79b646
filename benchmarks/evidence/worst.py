"""Draw the final cases on which scratch is worst, as it and `x5` segment them.

    python benchmarks/evidence/worst.py --data DIR --work DIR

From the models that run.py has kept in `--work`. Of the hippocampus, whose files may be shown.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from compare import by_name, scores
from kept import read
from numpy.typing import NDArray
from run import RESULTS
from sets import LABELS
from tables import worst

OF, SEED, SHOWN = "hippocampus", 0, ("scratch", "x5")
OUTLINES = (("tab:orange", "solid"), ("tab:cyan", "dashed"))
Map = NDArray[np.generic]


def main() -> None:
    """Predict the cases where that has not been done, and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    given = parser.parse_args()
    data = given.data.resolve() / OF
    cases = worst(scores(by_name(OF)["scratch"], "final", results=RESULTS))
    images = {case: data / "images" / f"{case}.nii.gz" for case in cases}
    maps = {"label": {case: data / "labels" / f"{case}.nii.gz" for case in cases}}
    for name in SHOWN:
        maps[name] = _predicted(name, images, work=given.work.resolve())
    _draw(images, maps)


def _predicted(name: str, images: dict[str, Path], *, work: Path) -> dict[str, Path]:
    """Case to the file that an arm predicts."""
    import ssl3d

    run, out = work / OF / f"{name}-s{SEED}", work / "worst" / name
    ssl3d.predict(run, list(images.values()), out=out, device="cpu")
    return {case: out / f"{case}.nii.gz" for case in images}


def _draw(images: dict[str, Path], maps: dict[str, dict[str, Path]]) -> None:
    """A row a case: the sagittal slice in which most is labelled, with the outlines of each map."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shape, size = (len(images), len(maps)), (6.5, 1.8 * len(images))
    page, axes = pyplot.subplots(*shape, figsize=size, squeeze=False, layout="constrained")
    for row, (case, image) in zip(axes, images.items(), strict=True):
        at = int(np.argmax((_read(maps["label"][case]) > 0).sum((1, 2))))
        for axis, (name, files) in zip(row, maps.items(), strict=True):
            axis.imshow(_read(image)[at].T, cmap="gray", origin="lower")
            drawn = _read(files[case])[at].T
            for value, (colour, style) in zip(LABELS[OF].values(), OUTLINES, strict=True):
                if (drawn == value).any():
                    axis.contour(drawn == value, [0.5], colors=colour, linestyles=style)
            axis.set_axis_off()
            axis.set_title(f"{case}, {name}{_dice(name, case)}", fontsize=7)
    said = {"Software": None, "Description": ", ".join(images)}
    page.savefig(RESULTS / "worst.png", dpi=160, metadata=said)
    pyplot.close(page)


def _read(path: Path) -> Map:
    """(x, y, z), x from left to right."""
    file: Any = nibabel.as_closest_canonical(nibabel.load(path))
    return np.asarray(file.dataobj)


def _dice(name: str, case: str) -> str:
    """As it was measured, on the grid of prepared volumes."""
    result = read(RESULTS / OF / f"{name}-s{SEED}.json")
    return "" if result is None else f" {100 * result['final'][case]:.1f}"


if __name__ == "__main__":
    main()
