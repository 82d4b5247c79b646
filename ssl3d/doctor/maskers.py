"""Every installed masker hides something and shows something, on small and larger grids."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ssl3d.doctor.check import Check, NotThere, Wrong
from ssl3d.doctor.components import advice_for, default_config
from ssl3d.geometry import Triple, product
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.plugin.registry import Registry

PART = "maskers"
EDGES = (2, 4, 8)
SAMPLES = 4


def masker_checks(registry: Registry) -> Iterator[Check]:
    """Each masker with its default options on grids of 2³, 4³ and 8³ cells."""
    for entry in registry.entries("masker"):
        name = entry.config.component_name()
        for edge in EDGES:
            run = partial(draw, registry, name, grid=(edge, edge, edge))
            yield Check(PART, f"{name} on {edge}³", run, advice_for(entry))


def draw(registry: Registry, name: str, *, grid: Triple) -> str:
    """Two draws from one state: levels of cells, nested, not all and not none, and equal."""
    import torch

    config = default_config(registry, kind="masker", name=name)
    assert isinstance(config, MaskerConfig)
    found = [problem.message for problem in config.problems(grid=grid)]
    if found:
        raise NotThere(f"does not work with its default options: {'; '.join(found)}")
    masker = config.build()
    first, second = (
        masker(grid, batch_size=SAMPLES, generator=torch.Generator().manual_seed(0)).levels
        for _ in range(2)
    )
    if not all(map(torch.equal, first, second)):
        raise Wrong("two draws from one state of the generator differ")
    if len(first) != config.levels():
        raise Wrong(f"{len(first)} levels, announced {config.levels()}")
    outer = torch.ones(SAMPLES, *grid, dtype=torch.bool)
    for number, level in enumerate(first):
        if level.shape != outer.shape or level.dtype != torch.bool:
            raise Wrong(f"level {number} is {level.dtype} of shape {tuple(level.shape)}")
        if bool((level & ~outer).any()):
            raise Wrong(f"level {number} hides cells that level {number - 1} shows")
        outer = level
    counts = [level.flatten(1).sum(1).tolist() for level in first]
    if not all(0 < count < product(grid) for count in counts[0]):
        raise Wrong(f"hides {counts[0]} of {product(grid)} cells: at least one and not all")
    shown = "; ".join(", ".join(map(str, sorted(set(level)))) for level in counts)
    return f"hides {shown} of {product(grid)} cells"
