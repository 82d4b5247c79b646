"""What must fit together in a spec, each problem with its full path."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import pytest

from ssl3d import ExperimentSpec
from ssl3d.geometry import Operation, Stage, Triple
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.kinds.decoder_config import Beside, DecoderConfig
from ssl3d.plugin.config import Problem
from ssl3d.plugin.registry import installed
from ssl3d.plugin.spec_error import SpecError
from ssl3d.sparse.backend_config import SparseBackendConfig


class Net(BackboneConfig):
    """A backbone for these tests."""

    name: Literal["net"] = "net"
    op: Operation = Operation("conv3d", (3, 3, 3), (1, 1, 1), (1, 1, 1), channels=(8, 8))
    strides: tuple[int, ...] = (2, 4)

    def stages(self) -> tuple[Stage, ...]:
        return tuple(Stage((s, s, s), 8) for s in self.strides)

    def operations(self) -> tuple[Operation, ...]:
        return (self.op, self.op)

    def problems(self, *, cell: Triple, sparse: bool) -> Iterable[Problem]:
        if sparse and cell == (16, 16, 16):
            yield Problem("strides", "not with this cell")

    def build(self, *, in_channels: int) -> Any:
        raise NotImplementedError


class Poor(SparseBackendConfig):
    """A backend that can do nothing."""

    name: Literal["poor"] = "poor"

    def problems(self, op: Operation) -> Iterable[str]:
        return (f"it has no {op.kind}",)

    def build(self) -> Any:
        raise NotImplementedError


def problems(*, patch: Any = (32, 32, 32), **values: Any) -> list[tuple[str, str]]:
    """(path, message) of everything that is wrong with a spec."""
    try:
        ExperimentSpec(data={"volumes": "scans/", "patch": patch}, **values)
    except SpecError as error:
        return list(error.problems)
    return []


def test_a_spec_that_fits_has_no_problem() -> None:
    assert problems(backbone=Net()) == []


def test_the_cell_must_be_a_multiple_of_the_total_stride() -> None:
    ((path, message),) = problems(backbone=Net(), cell=6)
    assert path == "cell"
    assert "given 6 × 6 × 6 voxels" in message
    assert "total stride 4 × 4 × 4" in message
    assert problems(backbone=Net(), cell=8) == []
    assert problems(backbone=Net(), cell=(4, 8, 16)) == []
    assert problems(backbone=Net(), cell=0) != []


def test_the_patch_must_be_a_multiple_of_the_cell() -> None:
    ((path, message),) = problems(backbone=Net(), cell=(4, 8, 8), patch=(30, 32, 36))
    assert path == "data.patch"
    assert "given 30 × 32 × 36 voxels" in message
    assert "such as 32 × 32 × 40" in message


def test_a_masker_says_which_grids_it_cannot_work_on() -> None:
    ((path, message),) = problems(backbone=Net(), patch=4)
    assert path == "data.patch"
    assert "the smallest patch has two, one to hide and one to show, 4 × 4 × 8" in message
    ((path, _),) = problems(backbone=Net(), patch=8, masker={"name": "random", "block": 4})
    assert path == "masker.block"


def test_a_backbone_says_which_cells_it_cannot_work_with() -> None:
    assert problems(backbone=Net(), cell=16) == [("backbone.strides", "not with this cell")]
    assert problems(backbone=Net(), cell=16, encoder_input="zeroed") == []


def test_wavelets_that_do_not_fit_visible_cells() -> None:
    deep = {"name": "waveformer", "widths": (32, 64), "levels": ((2, 2, 2), (0, 0, 0))}
    assert {path for path, _ in problems(backbone=deep)} == {"backbone.levels.0"}
    assert problems(backbone=deep, cell=8) == []
    long = {"name": "waveformer", "widths": (32, 64), "wavelet": "db2"}
    ((path, message),) = problems(backbone=long)
    assert path == "backbone.wavelet"
    assert "haar" in message
    assert problems(backbone=long, encoder_input="zeroed") == []


def test_a_loss_that_compares_stages_needs_two() -> None:
    ((path, message),) = problems(backbone=Net(strides=(4,)), losses=["mse", "info_nce"])
    assert path == "losses.1"
    assert "needs two stages to compare; backbone 'net' has 1" in message


def test_labels_are_unique_and_some_loss_is_given() -> None:
    ((path, message),) = problems(backbone=Net(), losses=["mse", {"name": "l1", "label": "mse"}])
    assert path == "losses"
    assert "2 losses have the label 'mse'" in message
    assert problems(backbone=Net(), losses=["mse", {"name": "mse", "label": "again"}]) == []
    assert problems(backbone=Net(), losses=[]) == [("losses", "empty: give at least one loss")]
    for label in ("loss", "psnr", "visible_share", "share/x", "l1/trivial"):
        ((path, message),) = problems(
            backbone=Net(), losses=["l1", {"name": "mse", "label": label}]
        )
        assert path == "losses"
        assert f"the label {label!r} would be mixed up with other numbers of the run" in message
    ((_, message),) = problems(backbone=Net(), losses=[{"name": "mse", "weight": 0}])
    assert message.startswith("all have the weight 0, so nothing would be learned")


def test_an_operation_that_the_backend_lacks_names_backends_that_have_it() -> None:
    ((path, message),) = problems(backbone=Net(), sparse_backend=Poor())
    assert path == "sparse_backend"
    assert "'poor' cannot do what backbone 'net' asks for (conv3d with kernel (3, 3, 3)" in message
    assert "it has no conv3d. Backends that can: cells, dense" in message
    assert problems(backbone=Net(), sparse_backend=Poor(), encoder_input="zeroed") == []


def test_an_operation_without_a_meaning_is_refused() -> None:
    wide = Operation("conv3d", (3, 3, 3), (3, 3, 3), (1, 1, 1), channels=(8, 8))
    ((path, message),) = problems(backbone=Net(op=wide))
    assert path == "backbone"
    assert "kernel 3, stride 3, padding 1" in message


FEATURES: dict[str, Any] = {
    "backbone": {"name": "waveformer", "widths": (8, 16), "heads": (1, 2)},  # stride 4
    "feature_encoder": {"name": "resunet", "widths": (8, 8), "blocks": (1, 1)},  # stride 2
}


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"feature_encoder": None, "target": "features"}, "target", "none is given: name one"),
        ({"target": "features", "losses": ["info_nce"]}, "target", "no loss restores anything"),
        ({"cell": 12}, "cell", "backbone and feature_encoder together, 8 × 8 × 8"),
        ({"patch": 36}, "data.patch", "multiple of the cell 8 × 8 × 8"),
        ({"patch": 8}, "data.patch", "the smallest patch has two"),
        ({"patch": 8}, "data.patch", "8 × 8 × 16 voxels"),
        ({"masker": {"name": "random", "block": 4}}, "masker.block", "4 × 4 × 8 cells"),
        (
            {"feature_encoder": {"name": "waveformer", "widths": (8,), "wavelet": "db2"}},
            "feature_encoder.wavelet",
            "no stage has a wavelet level",
        ),
        (
            {
                "feature_encoder": {
                    "name": "waveformer",
                    "widths": (8, 8),
                    "patch": 1,
                    "heads": (1, 1),
                    "wavelet": "db2",
                }
            },
            "feature_encoder.wavelet",
            "look past a cell",
        ),
        ({"feature_encoder": "resunett"}, "feature_encoder", "Did you mean 'resunet'"),
        (
            {"feature_encoder": {"name": "resunet", "blocks": (1, 0), "widths": (8, 8)}},
            "feature_encoder.blocks.1",
            "greater than 0",
        ),
        ({"patch": (8, 8, 16)}, "data.patch", "sees 1 visible site of a sample"),
    ],
)
def test_hidden_features_that_do_not_fit(changes: dict[str, Any], path: str, words: str) -> None:
    found = problems(**{**FEATURES, **changes})
    assert [words in message for where, message in found if where == path] == [True], found


class ReadsTheVolume(DecoderConfig):
    """A decoder for these tests."""

    name: Literal["reads_the_volume"] = "reads_the_volume"

    def needs(self) -> frozenset[Beside]:
        return frozenset({"volume"})


@pytest.mark.filterwarnings("ignore:data.patch")
def test_a_decoder_that_reads_the_volume_has_none_where_features_are_hidden() -> None:
    ((path, message),) = problems(**FEATURES, decoder=ReadsTheVolume())
    assert path == "decoder"
    assert "that is the backbone's map" in message
    assert problems(**FEATURES, decoder=ReadsTheVolume(), target="features") == []
    assert problems(decoder=ReadsTheVolume()) == []


@pytest.mark.filterwarnings("ignore:data.patch")
def test_hidden_features_that_fit() -> None:
    """The backbone is dense: its wavelet may look past cells, and its norms see everything."""
    assert problems(**FEATURES) == []
    wave = {**FEATURES["backbone"], "wavelet": "db2", "levels": ((4, 4, 4), 0)}
    assert problems(**FEATURES | {"backbone": wave}) == []
    assert problems(**FEATURES, target="features", encoder_input="zeroed", cell=16) == []


def test_everything_wrong_is_told_at_once() -> None:
    found = problems(backbone=Net(strides=(4,)), cell=6, losses=["info_nce"], sparse_backend=Poor())
    assert [path for path, _ in found] == ["losses.0", "cell", "sparse_backend"]


@pytest.mark.parametrize("name", installed().names("backbone"))
@pytest.mark.parametrize("cell", [1, (3, 3, 3), (5, 7, 16)])
def test_no_backbone_stumbles_over_a_cell_that_does_not_fit(name: str, cell: Any) -> None:
    assert next(path for path, _ in problems(backbone=name, cell=cell)) == "cell"


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"optimizer": {"momentum": 0.5}}, "optimizer.momentum is SGD's"),
        ({"optimizer": {"name": "sgd", "betas": (0.5, 0.6)}}, "optimizer.betas are AdamW's"),
        ({"optimizer": {"schedule": "poly", "min_lr": 1e-5}}, "optimizer.min_lr is a cosine's end"),
        ({"target": "voxels", "normalisation": {"unbiased": True}}, "normalisation is of patch_"),
        ({"losses": ["info_nce"], "normalisation": {"unbiased": True}}, "no loss restores"),
        ({"augment": {"share": 1}}, "data.augment changes no crop: none of the changes is on"),
        ({"augment": {"share": 0, "rotate": 9}}, "data.augment changes no crop: the share is 0"),
    ],
)
def test_an_option_that_changes_nothing_is_said(parts: dict[str, Any], said: str) -> None:
    data = {"volumes": "scans/", "patch": 32}
    if "augment" in parts:
        data["augment"] = parts.pop("augment")
    with pytest.warns(UserWarning, match=said):
        ExperimentSpec(data=data, **parts)


def test_options_that_change_something_are_not_said(recwarn: pytest.WarningsRecorder) -> None:
    data = {"volumes": "scans/", "patch": 32, "augment": {"rotate": 9}}
    for optimizer in ({"name": "sgd", "momentum": 0.5}, {"betas": (0.5, 0.6), "min_lr": 1e-5}):
        ExperimentSpec(data=data, optimizer=optimizer, normalisation={"unbiased": True})
    assert not [one for one in recwarn if "leave it out" in str(one.message)]
