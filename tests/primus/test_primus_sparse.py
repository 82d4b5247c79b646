"""Primus on what is visible: exact for any counts, any sizes, any thickness of slices."""

from __future__ import annotations

import copy

import naive_primus
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl3d import ExperimentSpec
from ssl3d.sparse import CellGrid, SparseVolume
from ssl3d.sparse.hidden import cells_to_voxels
from ssl3d.testing.backbone_under_test import randomise, sparse_backend
from ssl3d_plugins.primus import Eva, Primus
from ssl3d_plugins.primus.drop_path import DropPath
from ssl3d_plugins.primus.tokens import Tokens


def built(config: Primus) -> torch.nn.Module:
    """In double precision, with other weights than initial ones."""
    backbone = config.build(in_channels=2).double().eval()
    randomise(backbone)
    return backbone


def sparse(volume: torch.Tensor, visible: torch.Tensor, *, cell: tuple[int, ...]) -> SparseVolume:
    cells = CellGrid(visible, cell=cell)
    return SparseVolume.from_dense(volume, cells=cells, backend=sparse_backend("cells"))


@pytest.mark.parametrize("share", [0.5, 2.0])
@torch.no_grad()
def test_against_a_naive_one(share: float) -> None:
    config = Primus(width=12, depth=2, heads=2, patch=(1, 2, 2), volume=(2, 6, 4))
    backbone, random = built(config), torch.Generator().manual_seed(0)
    volume = torch.randn(3, 2, 2, 6, 4, generator=random, dtype=torch.float64)
    visible = torch.rand(3, 2, 3, 2, generator=random) < share
    assert len({int(v.sum()) for v in visible}) == (3 if share < 1 else 1)
    (made,) = backbone(sparse(volume, visible, cell=(1, 2, 2)))
    naive = [
        naive_primus.features(backbone, one, visible=shown)
        for one, shown in zip(volume, visible, strict=True)
    ]
    torch.testing.assert_close(made.to_dense(), torch.stack(naive))
    if share > 1:
        torch.testing.assert_close(backbone(volume)[0], torch.stack(naive))


@settings(max_examples=25, deadline=None)
@given(
    grid=st.tuples(*[st.integers(1, 3)] * 3),
    patch=st.tuples(*[st.integers(1, 4)] * 3),
    multiple=st.integers(1, 2),
    table=st.tuples(*[st.integers(1, 4)] * 3),
    seed=st.integers(0, 100),
)
@torch.no_grad()
def test_each_sample_is_as_if_alone(grid, patch, multiple, table, seed) -> None:
    """Whatever the others show, bit for bit what nobody else is there for; some show nothing."""
    random = torch.Generator().manual_seed(seed)
    size = tuple(t * p for t, p in zip(table, patch, strict=True))
    backbone = built(Primus(width=12, depth=1, heads=2, patch=patch, volume=size))
    cell = tuple(p * multiple for p in patch)
    shape = [g * c for g, c in zip(grid, cell, strict=True)]
    volume = torch.randn(3, 2, *shape, generator=random, dtype=torch.float64)
    visible = torch.rand(3, *grid, generator=random) < 0.5
    (together,) = backbone(sparse(volume, visible, cell=cell))
    start = 0
    for one, shown in zip(volume, visible, strict=True):
        (alone,) = backbone(sparse(one[None], shown[None], cell=cell))
        mine = together.features[start : start + len(alone.features)]
        torch.testing.assert_close(mine, alone.features, rtol=1e-12, atol=1e-12)
        start += len(alone.features)
    everything = torch.ones_like(visible)
    (whole,) = backbone(sparse(volume, everything, cell=cell))
    torch.testing.assert_close(whole.to_dense(), backbone(volume)[0])


def test_where_nothing_is_visible_every_parameter_has_a_gradient_of_zeros() -> None:
    """A rank that shows nothing takes part in training."""
    backbone = built(Primus(width=12, depth=1, heads=2, patch=2, volume=4)).train()
    volume = torch.randn(2, 2, 4, 4, 4, dtype=torch.float64)
    (made,) = backbone(sparse(volume, torch.zeros(2, 2, 2, 2, dtype=torch.bool), cell=(2, 2, 2)))
    made.features.sum().backward()
    for name, parameter in backbone.named_parameters():
        assert parameter.grad is not None, name
        assert not parameter.grad.any(), name


def test_drop_path_leaves_out_whole_samples_and_keeps_the_mean() -> None:
    layer, x = DropPath(0.25).train(), torch.ones(4000, 1, 1, 1, 1)
    tokens = Tokens.of(x.expand(-1, 1, 1, 1, 2))
    rows = torch.ones(8000, 3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = layer(rows, tokens).view(4000, 6)
    assert bool((made == made[:, :1]).all())
    assert made.unique().tolist() == pytest.approx([0, 4 / 3])
    assert float(made.mean()) == pytest.approx(1, abs=0.03)
    assert layer.eval()(rows, tokens) is rows


def test_drop_path_grows_over_the_blocks() -> None:
    made = Primus(width=12, depth=3, heads=2, drop_path=0.2).build(in_channels=1)
    assert [block.drop_path.rate for block in made.eva.blocks] == pytest.approx([0, 0.1, 0.2])
    decoder = Eva(depth=2, drop_path=0.2, volume=16).build(
        stages=made.stages, out_channels=1, sparse=True
    )
    assert [block.drop_path.rate for block in decoder.eva.blocks] == pytest.approx([0, 0.2])


@torch.no_grad()
def test_the_table_is_interpolated_for_another_size() -> None:
    """As the same network with a table that was resized beforehand."""
    backbone = built(Primus(width=12, depth=1, heads=2, patch=2, volume=(4, 8, 6)))
    other = Primus(width=12, depth=1, heads=2, patch=2, volume=(6, 4, 8)).build(in_channels=2)
    weights = copy.copy(backbone.state_dict())
    table = weights["eva.pos_embed"].view(1, 2, 4, 3, 12).movedim(-1, 1)
    resized = torch.nn.functional.interpolate(table, size=(3, 2, 4), mode="trilinear")
    weights["eva.pos_embed"] = resized.flatten(2).movedim(1, -1)
    other.double().load_state_dict(weights)
    volume = torch.randn(1, 2, 6, 4, 8, dtype=torch.float64)
    torch.testing.assert_close(backbone(volume)[0], other.eval()(volume)[0])
    notes = list(backbone.config.warnings(patch=(6, 4, 8)))
    assert "for volumes of 4 × 8 × 6" in notes[0]
    assert "interpolated for crops of 6 × 4 × 8" in notes[0]
    assert not list(backbone.config.warnings(patch=(4, 8, 6)))


@pytest.mark.slow
def test_compiled() -> None:
    """Traced as for any compiler, for samples of unequal counts."""
    backbone = built(Primus(width=12, depth=2, heads=2, patch=2, volume=4))
    volume = torch.randn(2, 2, 4, 4, 4, dtype=torch.float64)
    visible = torch.zeros(2, 2, 2, 2, dtype=torch.bool)
    visible[0, 0], visible[1, 0, 0] = True, True
    given = sparse(volume, visible, cell=(2, 2, 2))
    torch._dynamo.reset()
    compiled = copy.deepcopy(backbone)
    compiled.compile(backend="aot_eager")
    torch.testing.assert_close(compiled(given)[0].features, backbone(given)[0].features)


@pytest.mark.parametrize("training", [True, False])
def test_no_hidden_voxel_reaches_what_eva_restores(training: bool) -> None:
    """Bit for bit, for unequal counts; what a sample shows does reach it."""
    primus = {"name": "primus", "width": 12, "depth": 2, "heads": 2, "patch": 4, "volume": 12}
    spec = ExperimentSpec(
        backbone=primus,
        decoder={"name": "eva", "volume": 12},
        data={"volumes": "nowhere", "patch": 12},
        losses=["mse"],
    )
    model = spec.build().train(training)
    random = torch.Generator().manual_seed(0)
    volume = torch.randn(2, 1, 12, 12, 12, generator=random)
    hidden = torch.rand(2, 3, 3, 3, generator=random) < 0.6
    assert hidden[0].sum() != hidden[1].sum()
    voxels = cells_to_voxels(hidden, cell=(4, 4, 4))[:, None]

    def restored(given: torch.Tensor) -> torch.Tensor:
        return model(given, hidden=hidden, generator=torch.Generator()).prediction

    first = restored(volume)
    for other in (torch.randn(volume.shape), torch.full(volume.shape, torch.nan)):
        assert torch.equal(restored(torch.where(voxels, other, volume)), first)
    assert not torch.equal(restored(torch.where(voxels, volume, -volume)), first)
