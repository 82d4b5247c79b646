"""Hidden voxels change no bit of what is visible or predicted, whatever the components.

All installed backbones, sparse backends, maskers and views are tried with one another.
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
from ssl3d.kinds.batch import Batch
from ssl3d.kinds.output import ViewOutput
from ssl3d.masked.inputs import given_batch
from ssl3d.masked.model import PretrainModel
from ssl3d.plugin.registry import installed
from ssl3d.plugin.spec_error import SpecError
from ssl3d.run.precision import autocast
from ssl3d.sparse import SparseVolume

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
    "primus": {
        "default": {"width": 12, "depth": 2, "heads": 2, "patch": 4, "volume": 16},
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
VIEWS: dict[str, dict[str, Options]] = {
    "mask_in_mask": {"parts of the grid below": {"shrink": (3, 2, 2), "crops": 2, "cells": 2}}
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


SPARK: Options = {"head_stride": 1, "width": 8}


def build(*, decoder: Options = SPARK, **parts: Any) -> PretrainModel:
    """A model of a spec, with a decoder that goes up to full resolution."""
    data: Options = {"channels": {"a": "a*", "b": "b*"}}
    if parts.get("views", {}).get("name") == "pair":
        data = {"volumes": "a", "visit_by": "(a)"}
    spec = ExperimentSpec(data={**data, "patch": 96}, **parts)
    cell = spec.cell_size
    patch = tuple(edge * cells for edge, cells in zip(cell, GRID, strict=True))
    spec = spec.with_values({"data.patch": list(patch)}).replace(
        losses=["mse", "l1"] + (["info_nce"] if len(spec.backbone.stages()) > 1 else []),
        decoder=decoder,
    )
    return spec.build()


def refusal(**parts: Any) -> tuple[tuple[str, str], ...]:
    """What validation has against a spec."""
    try:
        ExperimentSpec(data={"volumes": "a", "patch": 96}, **parts)
    except SpecError as error:
        return error.problems
    return ()


def inputs(model: PretrainModel) -> tuple[Tensor, Tensor]:
    """Volume, and valid voxels: one cell has none, others some."""
    random = torch.Generator().manual_seed(0)
    size = model.views.extent
    volume = torch.randn(BATCH, 2, *size, generator=random)
    valid = torch.ones(BATCH, *size, dtype=torch.bool)
    valid[0, -model.cell[0] :, -model.cell[1] :, -model.cell[2] :] = False
    valid[1, :1] = False
    return volume, valid


def seen_by(views: ViewOutput) -> tuple[Tensor, ...]:
    """What a pass of the encoder gives: prediction, visible features, coordinates."""
    features = [s.features if isinstance(s, SparseVolume) else s for s in views.stages]
    return (views.prediction, *features, views.batch.cells.cell_coordinates)


def replaced(volume: Tensor, where: Tensor, *, by: str) -> Tensor:
    """`volume` with other values at `where` (B, D, H, W)."""
    noise = 100 * torch.randn(volume.shape, generator=torch.Generator().manual_seed(1))
    noise = noise.to(volume.device)
    if by == "NaN and Inf":
        noise = torch.where(noise > 0, torch.nan, torch.inf)
    return torch.where(where[:, None], noise, volume)


def with_volume(batch: Batch, volume: Tensor, *, in_place_of: Tensor) -> Batch:
    """The same batch with other voxels in all views that show these."""
    other = copy.copy(batch)
    other.views = tuple(copy.copy(view) for view in batch.views)
    for view in other.views:
        view.volume = volume if view.volume is in_place_of else view.volume
    return other


def check(
    model: PretrainModel, *, training: bool, device: str = "cpu", precision: str = "32"
) -> None:
    """Compare every pass of the encoder under changes of what it does not see."""
    volume, valid = inputs(model)
    model = model.to(device)

    def batch_of(volume: Tensor) -> Batch:
        """As the encoder gets it: what is enlarged on the device is."""
        batch = given_batch(
            volume,
            valid=valid,
            hidden=None,
            views=model.views,
            masker=model.masker,
            generator=torch.Generator().manual_seed(3),
        )
        batch = batch.to(device)
        batch.views = tuple(view.enlarged() for view in batch.views)
        return batch

    def run(batch: Batch) -> list[tuple[Tensor, ...]]:
        fresh = copy.deepcopy(model).train(training)  # batch norm keeps what it has seen
        with torch.no_grad(), autocast(precision, device=torch.device(device)):
            output = fresh.step(batch, generator=torch.Generator().manual_seed(2))
        return [seen_by(views) for views in output.step.views]

    def compare(one: tuple[Tensor, ...], other: tuple[Tensor, ...], *, what: str) -> None:
        for i, (part, again) in enumerate(zip(one, other, strict=True)):
            assert torch.isfinite(part).all()
            assert torch.equal(part, again), f"{what}: part {i} differs"

    batch = batch_of(volume)
    before = run(batch)
    assert len(before) == len(model.views.levels)
    for by in ("noise", "NaN and Inf"):
        after = run(batch_of(replaced(volume, ~valid, by=by)))
        for one, other in zip(before, after, strict=True):
            compare(one, other, what=f"{by} where nothing is valid")
        for number, views in enumerate(batch.views):
            hidden = views.hidden.voxels(model.cell)[0]
            assert hidden.any()
            assert not hidden.all()
            changed = replaced(views.volume, hidden, by=by)
            after = run(with_volume(batch, changed, in_place_of=views.volume))
            compare(before[number], after[number], what=f"{by} in what view {number} hides")
        if model.out_channels > model.in_channels:
            partner = views.volume.clone()
            partner[:, model.in_channels :] = torch.nan
            after = run(with_volume(batch, partner, in_place_of=views.volume))
            compare(before[number], after[number], what="a partner of NaN")
    for number, views in enumerate(batch.views):
        shown = ~views.hidden.voxels(model.cell)[0]
        changed = replaced(views.volume, shown, by="noise")
        after = run(with_volume(batch, changed, in_place_of=views.volume))
        assert not torch.equal(before[number][0], after[number][0]), "it sees nothing at all"


@pytest.mark.parametrize("views", variants("views", VIEWS))
@pytest.mark.parametrize("masker", installed().names("masker"))
@pytest.mark.parametrize("backend", backends())
@pytest.mark.parametrize("backbone", variants("backbone", SMALL))
def test_hidden_voxels_reach_nothing(
    backbone: Options, backend: str, masker: str, views: Options
) -> None:
    if (masker, views["name"]) == ("random", "nested"):
        ((path, message),) = refusal(masker=masker, views=views)
        assert (path, "hides one" in message) == ("views.name", True)
        return
    refused = refusal(backbone=backbone, sparse_backend=backend)
    if refused:
        # The library lacks an operation: then validation says so and names those that can.
        assert {path for path, _ in refused} == {"sparse_backend"}
        assert all("Backends that can: cells" in message for _, message in refused)
        return
    model = build(backbone=backbone, sparse_backend=backend, masker=masker, views=views)
    for training in (False, True):
        check(model, training=training)


@pytest.mark.parametrize(("masker", "views"), [("random", "single"), ("mim", "nested")])
@pytest.mark.parametrize("backend", backends())
def test_hidden_voxels_reach_nothing_of_a_decoder_that_reads_details_and_the_volume(
    backend: str, masker: str, views: str
) -> None:
    backbone = {**SMALL["waveformer"]["default"], "name": "waveformer", "output_norm": True}
    model = build(
        backbone=backbone,
        sparse_backend=backend,
        masker=masker,
        views={"name": views},
        decoder={"name": "waveformer", "refine_details": True},
    )
    for training in (False, True):
        check(model, training=training)


@pytest.mark.parametrize(
    "decoder",
    [
        {"name": "wavelet"},
        {"name": "wavelet", "wavelet": "db2", "width": 16},
        {"name": "wavelet", "details": "handed_on"},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
@pytest.mark.parametrize("form", SMALL["waveformer"])
def test_hidden_voxels_reach_nothing_of_decoders_that_look_far(decoder: Options, form: str) -> None:
    """Into whole maps by attention and by long filters, and to details of the encoder."""
    backbone = {"name": "waveformer", **SMALL["waveformer"][form]}
    for training in (False, True):
        check(build(backbone=backbone, decoder=decoder), training=training)


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
    volume, valid = inputs(model)
    volume.requires_grad_()
    output = model(volume, valid=valid, generator=torch.Generator())
    output.prediction.sum().backward()
    seen = (valid & ~output.hidden[0])[:, None].expand_as(volume)
    assert volume.grad is not None
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
    volume, _ = inputs(sparse)
    nothing = torch.zeros(BATCH, *GRID, dtype=torch.bool)
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
