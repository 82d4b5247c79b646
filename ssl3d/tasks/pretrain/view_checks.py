"""What must fit the views of a spec, level by level: masker, norms, cells. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from ssl3d.geometry import Triple, divides, magnified, quotient, show, times
from ssl3d.kinds.level import Level
from ssl3d.tasks.pretrain.spec_fields import ExperimentFields
from ssl3d.tasks.pretrain.visible_sites import INSTANCE, FewSites, batch_norm, few_sites


def hidden_problems(spec: ExperimentFields) -> Iterator[tuple[str, str]]:
    """What the masker cannot do on the views, and what the views cannot do with this spec."""
    patch, cell = spec.data.patch, spec.cell_size
    found = list(spec.views.problems(patch=patch, cell=cell, masker=spec.masker))
    uneven = [] if found else [v.size for v in _levels(spec) if not divides(cell, v.size)]
    # Where there are no levels to look at, there is the patch.
    for grid in [quotient(patch, cell)] if found or uneven else drawn_grids(spec):
        for option, message in spec.masker.problems(grid=grid):
            yield f"masker.{option}", message
    yield from ((f"views.{option}", message) for option, message in found)
    yield from (("views", f"views of {show(size)} voxels are no whole cells") for size in uneven)


def drawn_grids(spec: ExperimentFields) -> tuple[Triple, ...]:
    """Cells of the views of which the masker draws what is hidden."""
    drawn = (level.size for level in _levels(spec) if level.shown is None)
    return tuple(quotient(size, spec.cell_size) for size in dict.fromkeys(drawn))


def sites_of_norms(spec: ExperimentFields) -> Iterator[FewSites]:
    """Norms over too few visible sites of any level; a dense pass sees all of them."""
    if spec.encoder_input == "visible":
        found = (few for level in _levels(spec) for few in _of_level(level, spec=spec))
        yield from dict.fromkeys(found)


def _of_level(level: Level, *, spec: ExperimentFields) -> Iterator[FewSites]:
    cell, grid = spec.cell_size, quotient(level.size, spec.cell_size)

    def visible_cells(grid: Triple) -> int:
        """Those of a larger patch too, where the views can be made of it and are of its size."""
        if level.shown is not None:
            return level.shown
        other = times(grid, cell)
        if other != level.size and (
            level.size != spec.data.patch
            or any(spec.views.problems(patch=other, cell=cell, masker=spec.masker))
        ):
            return 0
        return spec.masker.fewest_visible(grid) or 0

    if not visible_cells(grid):
        return
    devices = spec.trainer.devices  # "auto" may be one
    ranks = spec.trainer.nodes * (devices if isinstance(devices, int) and devices > 0 else 1)
    instance = magnified(spec.encoder.instance_norm_stages(), spec.site)
    batch = magnified(spec.encoder.batch_norm_stages(), spec.site)
    if spec.restores:
        decoder, stages, site = spec.decoder, spec.decoder_stages, spec.restored_site
        instance += magnified(decoder.instance_norm_stages(stages=stages), site)
        batch += magnified(decoder.batch_norm_stages(stages=stages), site)
    together = batch_norm(spec.data.batch_size * ranks * level.count)
    for norm, stages in ((INSTANCE, instance), (together, batch)):
        few = few_sites(stages, norm=norm, cell=cell, grid=grid, visible_cells=visible_cells)
        if few is not None:
            yield few


def _levels(spec: ExperimentFields) -> tuple[Level, ...]:
    """The levels of views of a spec whose views have no problems."""
    return spec.views.levels(spec.data.patch, cell=spec.cell_size, masker=spec.masker)
