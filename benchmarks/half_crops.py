"""What float16 and bfloat16 change of crops: of what a model sees and of the targets of a loss.

    python benchmarks/half_crops.py FOLDER [FOLDER ...]      volumes; each folder on its own

For each folder and normalisation the root mean square by which normalised targets are off, in
standard deviations of their patch: of the middle patch, the 95th of a hundred, and the worst; and
the share of voxels that a model in bfloat16 sees otherwise when they come as float16.
"""

from __future__ import annotations

import argparse
import tempfile

import torch
from measure import wide_console
from rich.table import Table
from torch import Tensor

from ssl3d.data import RunVolumes
from ssl3d.data.spec import DataSpec
from ssl3d.masked.target import patch_statistics
from ssl3d.sparse import split_cells

PATCH, CELL = (96, 96, 96), (16, 16, 16)
HALVES = (torch.float16, torch.bfloat16)
NORMALISATIONS = ("percentile", "zscore", "ct_window")


def off(patches: Tensor, rounded: Tensor) -> Tensor:
    """(M,) how far the targets of patches (M, V, C) with contrast are off when rounded."""
    exact, other = (patch_statistics(one, valid=None) for one in (patches, rounded))
    error = other.normalise(rounded) - exact.normalise(patches)
    return error[exact.contrast.flatten(1).all(1)].square().mean((1, 2)).sqrt()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--crops", type=int, default=2, help="of each folder")
    args = parser.parse_args()
    table = Table("volumes", "normalised", "patches", "float16", "bfloat16", "seen otherwise")
    for folder in args.folders:
        for name in NORMALISATIONS:
            with tempfile.TemporaryDirectory() as cache:
                spec = DataSpec(
                    volumes=folder,
                    patch=PATCH,
                    holdout=0,
                    normalise={"name": name},
                    cache={"folder": cache},
                )
                volumes = RunVolumes(spec, silent=True)
                volumes.find()
                crops = volumes.training_crops(seed=0, extent=PATCH)
                cut = [crops[i]["volume"][None] for i in range(args.crops)]
            patches = torch.cat([split_cells(one, cell=CELL).flatten(1, 3) for one in cut])
            errors = [off(patches, patches.to(half).float()) for half in HALVES]
            texts = [
                " / ".join(f"{float(e):.1e}" for e in (one.median(), one.quantile(0.95), one.max()))
                for one in errors
            ]
            seen = (patches.half().bfloat16() != patches.bfloat16()).float().mean()
            table.add_row(folder, name, str(len(errors[0])), *texts, f"{float(seen):.1%}")
    wide_console().print(table)


if __name__ == "__main__":
    main()
