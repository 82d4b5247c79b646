"""How much a micro-batch weighs on its way from a reading process."""

from __future__ import annotations

from ssl3d.geometry import product
from ssl3d.tasks.pretrain.spec import ExperimentSpec


def batch_bytes(spec: ExperimentSpec) -> int:
    """Bytes of the voxels of a micro-batch in single precision, and of what is valid of them.

    Levels that share voxels, or are enlarged on the device, weigh less than is counted here.
    """
    levels = spec.views.levels(spec.data.patch, cell=spec.cell_size, masker=spec.masker)
    voxels = sum(level.count * product(level.size) for level in levels)
    return spec.data.batch_size * voxels * (4 * spec.data.sample_channels + 1)
