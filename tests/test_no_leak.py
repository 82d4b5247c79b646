"""Hidden voxels change no bit of what is visible or predicted, whatever the components.

Every installed backbone, sparse backend and masker is tried with every other.
"""

from __future__ import annotations

import copy
import importlib.util
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from ssl3d import ExperimentSpec
from ssl3d.kinds.output import PretrainOutput
from ssl3d.masked.model import PretrainModel
from ssl3d.plugin.registry import installed
from ssl3d.plugin.spec_error import SpecError
from ssl3d.sparse import HiddenLevels, SparseVolume

Options = dict[str, Any]

# Small networks, among them every kind of layer that looks past a site or takes statistics.
SMALL: dict[str, dict[str, Options]] = {
    "waveformer": {
        "default": {"widths": (12, 12), "depths": (1, 1), "heads": (2, 2)},
        "thick slices, convolutions": {
            "widths": (8, 8),
            "depths": (1, 1),
            "heads": (1, 1),
            "patch": (1, 2, 2),
            "ffn": "conv",
            "details": "depthwise",
            "positions": "relative_bias",
        },
    },
    "resunet": {
        "instance norm": {"widths": (4, 6, 8), "blocks": (1, 1, 1)},
        "batch norm": {"widths": (4, 6, 8), "blocks": (1, 1, 1), "norm": "batch"},
    },
    "monai": {
        "segresnet": {
            "network": {
                "name": "segresnet",
                "init_filters": 4,
                "num_groups": 2,
                "blocks_down": (1, 1, 1),
            }
        }
    },
}
MASKERS: dict[str, dict[str, Options]] = {
    "mim": {"single": {}, "nested": {"passes": "nested"}},
}
LIBRARIES = {"minkowski": "MinkowskiEngine", "spconv": "spconv"}
GRID = (3, 2, 4)
BATCH = 2


def variants(kind: str, table: dict[str, dict[str, Options]]) -> list[Any]:
    """Every installed component of a kind, in each of its small forms."""
    return [
        pytest.param({"name": name, **options}, id=f"{name}-{form}")
        for name in installed().names(kind)
        for form, options in table.get(name, {"default": {}}).items()
    ]


def backends() -> list[Any]:
    """Every installed backend; those whose library is absent are skipped."""
    found = []
    for name in installed().names("sparse_backend"):
        library = LIBRARIES.get(name)
        absent = library is not None and importlib.util.find_spec(library) is None
        skip = pytest.mark.skipif(absent, reason=f"{library} is not installed")
        found.append(pytest.param(name, marks=skip))
    return found


def build(**parts: Any) -> PretrainModel:
    """A model of a spec, with a decoder that goes up to full resolution."""
    spec = ExperimentSpec(data={"channels": {"a": "a*", "b": "b*"}, "patch": 96}, **parts)
    cell = spec.cell_size
    patch = tuple(edge * cells for edge, cells in zip(cell, GRID, strict=True))
    spec = spec.with_values({"data.patch": list(patch)}).replace(
        losses=["mse", "l1"] + (["info_nce"] if len(spec.backbone.stages()) > 1 else []),
        decoder={"head_stride": 1, "width": 8},
    )
    return spec.build()


def refusal(**parts: Any) -> tuple[tuple[str, str], ...]:
    """What validation has against a spec."""
    try:
        ExperimentSpec(data={"volumes": "a", "patch": 96}, **parts)
    except SpecError as error:
        return error.problems
    return ()


def inputs(model: PretrainModel) -> tuple[Tensor, Tensor, HiddenLevels]:
    """Volume, valid voxels (one cell has none, another some), and what the masker hides."""
    random = torch.Generator().manual_seed(0)
    size = tuple(edge * cells for edge, cells in zip(model.cell, GRID, strict=True))
    volume = torch.randn(BATCH, 2, *size, generator=random)
    valid = torch.ones(BATCH, *size, dtype=torch.bool)
    valid[0, -model.cell[0] :, -model.cell[1] :, -model.cell[2] :] = False
    valid[1, :1] = False
    levels = model.draw(GRID, batch_size=BATCH, generator=random, hideable=model.hideable(valid))
    return volume, valid, levels


def passes(output: PretrainOutput) -> list[tuple[Tensor, ...]]:
    """For each encoder pass: prediction, visible features, coordinates."""
    found = []
    for one in (output, *output.nested):
        features = [s.features if isinstance(s, SparseVolume) else s for s in one.stages]
        found.append((one.prediction, *features, one.cells.cell_coordinates))
    return found


def replaced(volume: Tensor, where: Tensor, *, by: str) -> Tensor:
    """`volume` with other values at `where` (B, D, H, W)."""
    noise = 100 * torch.randn(volume.shape, generator=torch.Generator().manual_seed(1))
    if by == "NaN and Inf":
        noise = torch.where(noise > 0, torch.nan, torch.inf)
    return torch.where(where[:, None], noise, volume)


def check(model: PretrainModel, *, training: bool) -> None:
    """Compare every encoder pass under changes of what it does not see."""
    volume, valid, levels = inputs(model)

    def run(changed: Tensor) -> list[tuple[Tensor, ...]]:
        fresh = copy.deepcopy(model).train(training)  # batch norm keeps what it has seen
        with torch.no_grad():
            generator = torch.Generator().manual_seed(2)
            output = fresh(changed, valid=valid, hidden=levels, generator=generator)
        return passes(output)

    before = run(volume)
    assert len(before) == len(levels.encoder_passes())
    for number, hidden in enumerate(levels.encoder_passes()):
        unseen = hidden.voxels(model.cell)[0] | ~valid
        assert unseen.any()
        assert not unseen.all()
        for by in ("noise", "NaN and Inf"):
            after = run(replaced(volume, unseen, by=by))
            for i, (one, other) in enumerate(zip(before[number], after[number], strict=True)):
                assert torch.isfinite(one).all()
                assert torch.equal(one, other), f"pass {number}, {by}: part {i} differs"
        seen = run(replaced(volume, ~unseen, by="noise"))
        assert not torch.equal(before[number][0], seen[number][0]), "it sees nothing at all"


@pytest.mark.parametrize("masker", variants("masker", MASKERS))
@pytest.mark.parametrize("backend", backends())
@pytest.mark.parametrize("backbone", variants("backbone", SMALL))
def test_hidden_voxels_reach_nothing(backbone: Options, backend: str, masker: Options) -> None:
    refused = refusal(backbone=backbone, sparse_backend=backend)
    if refused:
        # The library lacks an operation: then validation says so and names those that can.
        assert {path for path, _ in refused} == {"sparse_backend"}
        assert all("Backends that can: cells" in message for _, message in refused)
        return
    model = build(backbone=backbone, sparse_backend=backend, masker=masker)
    for training in (False, True):
        check(model, training=training)


@pytest.mark.parametrize("backbone", variants("backbone", SMALL))
def test_hidden_voxels_reach_nothing_of_the_dense_baseline(backbone: Options) -> None:
    for training in (False, True):
        check(build(backbone=backbone, encoder_input="zeroed"), training=training)


@pytest.mark.parametrize("backend", backends())
@pytest.mark.parametrize("backbone", variants("backbone", SMALL))
def test_hidden_voxels_get_no_gradient_from_the_prediction(backbone: Options, backend: str) -> None:
    if refusal(backbone=backbone, sparse_backend=backend):
        return  # checked above
    model = build(backbone=backbone, sparse_backend=backend)
    volume, valid, levels = inputs(model)
    volume.requires_grad_()
    model(
        volume, valid=valid, hidden=levels, generator=torch.Generator()
    ).prediction.sum().backward()
    seen = (valid & ~levels.voxels(model.cell)[0])[:, None].expand_as(volume)
    assert torch.isfinite(volume.grad).all()
    assert not volume.grad[~seen].any()
    assert volume.grad[seen].any()


@pytest.mark.parametrize("backend", backends())
@pytest.mark.parametrize("backbone", variants("backbone", SMALL))
def test_with_nothing_hidden_sparse_equals_dense(backbone: Options, backend: str) -> None:
    """The whole model: with everything visible, `visible` and `zeroed` are one computation."""
    if refusal(backbone=backbone, sparse_backend=backend):
        return  # checked above
    sparse = build(backbone=backbone, sparse_backend=backend)
    dense = build(backbone=backbone, sparse_backend=backend, encoder_input="zeroed")
    # A dense pass has no tokens; everything else is the same.
    weights = {k: v for k, v in sparse.state_dict().items() if not k.endswith(".token")}
    dense.load_state_dict(weights)
    volume, _, levels = inputs(sparse)
    nothing = torch.zeros_like(levels.levels[0])
    for training in (False, True):
        outputs = [
            copy.deepcopy(model).train(training)(
                volume, hidden=nothing, generator=torch.Generator().manual_seed(0)
            )
            for model in (sparse, dense)
        ]
        features = [
            [s.to_dense() if isinstance(s, SparseVolume) else s for s in output.stages]
            for output in outputs
        ]
        for ours, theirs in itertools.chain(
            zip(*features, strict=True), [(outputs[0].prediction, outputs[1].prediction)]
        ):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_every_backbone_that_ships_here_has_a_small_form() -> None:
    ours = [e for e in installed().entries("backbone") if e.distribution == "ssl3d"]
    assert {entry.config.component_name() for entry in ours} <= SMALL.keys()
