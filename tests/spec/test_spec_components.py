"""Components of a spec: a name, a mapping and a typed config say the same."""

from __future__ import annotations

from typing import Any

import pytest

from ssl3d import ExperimentSpec
from ssl3d.data.spec import DataSpec
from ssl3d.plugin.spec_error import SpecError
from ssl3d_plugins.losses import MSE, InfoNCE
from ssl3d_plugins.maskers import MiM
from ssl3d_plugins.sparse_cells import Cells
from ssl3d_plugins.sparse_dense import Dense
from ssl3d_plugins.waveformer import WaveFormer

DATA = {"volumes": "scans/"}


def problems(**values: Any) -> dict[str, str]:
    """Path to message of everything that is wrong with a spec."""
    with pytest.raises(SpecError) as error:
        ExperimentSpec(**{"data": DATA, **values})
    for path, message in error.value.problems:
        assert f"{path}: {message}" in str(error.value)
    return dict(error.value.problems)


def test_names_mappings_and_typed_configs_give_the_same_spec() -> None:
    by_name = ExperimentSpec(
        backbone="waveformer",
        sparse_backend="cells",
        masker="mim",
        losses=["mse", "info_nce"],
        data=DATA,
    )
    by_mapping = ExperimentSpec(
        backbone={"name": "waveformer"},
        sparse_backend={"name": "cells"},
        masker={"name": "mim", "local_ratio": 0.5},
        losses=({"name": "mse", "weight": 1.0}, {"name": "info_nce"}),
        data={"volumes": "scans/"},
    )
    typed = ExperimentSpec(
        backbone=WaveFormer(),
        sparse_backend=Cells(),
        masker=MiM(),
        losses=[MSE(), InfoNCE()],
        data=DataSpec(volumes="scans/"),
    )
    assert by_name == by_mapping == typed
    assert isinstance(by_name.masker, MiM)
    assert hash(by_name.masker) == hash(typed.masker)


def test_one_loss_stands_for_a_list_of_one() -> None:
    assert (
        ExperimentSpec(losses="mse", data=DATA)
        == ExperimentSpec(losses=MSE(), data=DATA)
        == ExperimentSpec(losses=["mse"], data=DATA)
    )


def test_replace_is_a_validated_copy() -> None:
    spec = ExperimentSpec(masker=MiM(global_ratio=0.7), data=DATA)
    other = spec.replace(sparse_backend="dense")
    assert other.sparse_backend == Dense()
    assert other.masker == spec.masker
    assert spec.sparse_backend == Cells()
    assert spec.replace() == spec
    with pytest.raises(SpecError, match=r"masker\.ratio: "):
        spec.replace(masker={"name": "random", "ratio": 1.5})
    with pytest.raises(SpecError, match=r"sparse_backnd: unknown option\. Did you mean 'sparse_b"):
        spec.replace(sparse_backnd="dense")


def test_a_spec_does_not_change() -> None:
    spec = ExperimentSpec(data=DATA)
    with pytest.raises(ValueError, match="frozen"):
        spec.seed = 3
    with pytest.raises(ValueError, match="frozen"):
        spec.masker.ratio = 0.5


@pytest.mark.parametrize(
    ("kind", "name", "meant"),
    [
        ("backbone", "wavformer", "waveformer"),
        ("sparse_backend", "cell", "cells"),
        ("masker", "mm", "mim"),
        ("views", "nest", "nested"),
    ],
)
def test_an_unknown_component_gives_a_near_miss_and_what_is_installed(
    kind: str, name: str, meant: str
) -> None:
    message = problems(**{kind: name})[kind]
    assert message.startswith(f"unknown {kind} {name!r}. Did you mean {meant!r}? Installed: ")
    assert problems(losses=["mse", {"name": "infonce"}]).keys() == {"losses.1"}


def test_options_are_checked_with_their_full_path() -> None:
    found = problems(
        masker={"name": "random", "ratoi": 0.5},
        backbone={"name": "waveformer", "widths": [32, "wide"], "details": "identty"},
        losses=["mse", {"name": "info_nce", "temperature": 0, "weight": -1}],
    )
    assert found["masker.ratoi"].startswith("unknown option. Did you mean 'ratio'? Allowed: ")
    assert found["backbone.widths.1"] == "given 'wide'; must be a valid integer"
    assert found["backbone.details"].startswith("given 'identty'; must be 'identity', ")
    assert found["backbone.details"].endswith("Did you mean 'identity'?")
    assert found["losses.1.weight"] == "given -1; must be greater than or equal to 0"
    assert found["losses.1.temperature"] == "given 0; must be greater than 0"
    assert len(found) == 5


@pytest.mark.parametrize("given", [3, {"ratio": 0.5}, {"name": 3}, MSE()])
def test_what_is_no_component_is_told_what_it_may_be(given: Any) -> None:
    message = problems(masker=given)["masker"]
    assert "must be a masker name (mim, random), a mapping with 'name' and options" in message


@pytest.mark.parametrize("passes", ["single", "nested"])
def test_an_older_specs_passes_are_told_to_be_views(passes: str) -> None:
    rest = {"name": "mim", "local_ratio": 0.3}
    found = problems(masker={**rest, "passes": passes})
    assert found.keys() == {"masker"}
    assert f"Give views='{passes}' beside the masker {rest}" in found["masker"]
    assert ExperimentSpec(data=DATA, masker=rest, views=passes).views.name == passes


def test_nested_views_of_a_masker_of_one_level_are_refused() -> None:
    found = problems(views="nested", masker="random")
    assert found.keys() == {"views.name"}
    assert "'random' hides one: take a masker of several levels" in found["views.name"]


def test_options_without_text_names_are_refused() -> None:
    assert problems(masker={"name": "random", 3: 1}) == {
        "masker.3": "given 3; keys should be strings"
    }


@pytest.mark.parametrize(
    ("values", "path", "message"),
    [
        ({"data": {"volumes": 5}}, "data.volumes", "given 5; must be a valid string or a list"),
        ({"data": {"volumes": [5]}}, "data.volumes.0", "given 5; must be a valid string"),
        ({"data": {}}, "data", "neither given"),
        ({"data": {**DATA, "patch": (8, 8)}}, "data.patch.2", "missing: the list is too short"),
        ({"data": {**DATA, "normalise": "zscor"}}, "data.normalise", "Did you mean 'zscore'?"),
        (
            {"data": {**DATA, "normalise": {"name": "ct_window", "lowr": 1}}},
            "data.normalise.lowr",
            "Did you mean 'lower'? Allowed: lower, name, upper",
        ),
        (
            {"data": {**DATA, "normalise": {"name": "ct_window", "lower": 3, "upper": 1}}},
            "data.normalise",
            "lower must be below upper",
        ),
        ({"trainer": {"compile": "x"}}, "trainer.compile", "given 'x'; must be true or false"),
        ({"trainer": {"cuda_graph": "x"}}, "trainer.cuda_graph", "must be true or false or 'auto'"),
        ({"trainer": {"devices": "x"}}, "trainer.devices", "must be a valid integer or 'auto'"),
        (
            {"trainer": {"precision": "bf61"}},
            "trainer.precision",
            "must be 'auto', '32', 'bf16' or '16'. Did you mean 'bf16'?",
        ),
        ({"optimizer": {"lr": 0}}, "optimizer.lr", "given 0; must be greater than 0"),
        ({"optimizer": {"lr": "fast"}}, "optimizer.lr", "given 'fast'; must be a valid number"),
        ({"optimizer": {"lr": float("inf")}}, "optimizer.lr", "must be a finite number"),
        ({"cell": (8, 8, 8.5)}, "cell.2", "must be a valid integer"),
        ({"seed": -1}, "seed", "given -1; must be greater than or equal to 0"),
        ({"bakbone": "resunet"}, "bakbone", "unknown option. Did you mean 'backbone'?"),
    ],
)
def test_other_options_are_checked_with_their_full_path(
    values: dict[str, Any], path: str, message: str
) -> None:
    found = problems(**values)
    assert found.keys() == {path}
    assert message in found[path]


def test_a_spec_without_data_says_so() -> None:
    with pytest.raises(SpecError, match=r"^data: missing$"):
        ExperimentSpec()
