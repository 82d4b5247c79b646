"""Every component that ships here is under the kit of its kind, and its config is complete."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from ssl3d.plugin.catalogue import components
from ssl3d.plugin.declared import Registered
from ssl3d.plugin.registry import installed

TESTS = Path(__file__).parent
KITS: dict[str, str] = {
    "BackboneConformance": "backbone",
    "SparseBackendConformance": "sparse_backend",
    "MaskerConformance": "masker",
    "ViewsConformance": "views",
    "DecoderConformance": "decoder",
    "LossConformance": "loss",
    "TaskConformance": "task",
}
OURS = [entry for entry in installed().entries() if entry.distribution == "ssl3d"]
SHIPPED: dict[str, set[str]] = {
    "backbone": {"waveformer", "resunet", "monai", "primus"},
    "sparse_backend": {"cells", "dense", "minkowski", "spconv"},
    "masker": {"random", "mim"},
    "views": {"single", "nested", "mask_in_mask", "pair"},
    "decoder": {"spark", "unet", "patch", "eva", "waveformer", "wavelet"},
    "loss": {"mse", "l1", "info_nce"},
    "task": {"segmentation", "classification", "regression"},
}


def under_a_kit() -> set[tuple[str, str]]:
    """(kind, name of the config class) of every class in the tests that subclasses a kit."""
    found = set()
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ClassDef):
                continue
            kinds = [KITS[b.id] for b in node.bases if isinstance(b, ast.Name) and b.id in KITS]
            names = [config for part in node.body for config in _config(part)]
            found |= {(kind, name) for kind in kinds for name in names}
    return found


def _config(statement: ast.stmt) -> list[str]:
    """The class that `config = Class(...)` or `config = Class.preset(...)` makes."""
    if not isinstance(statement, ast.Assign) or not isinstance(statement.value, ast.Call):
        return []
    if [target.id for target in statement.targets if isinstance(target, ast.Name)] != ["config"]:
        return []
    made = statement.value.func
    while isinstance(made, ast.Attribute):
        made = made.value
    return [made.id] if isinstance(made, ast.Name) else []


def identifier(entry: Registered) -> str:
    """Kind and name."""
    return f"{entry.config.kind}-{entry.config.component_name()}"


def test_every_component_that_ships_here_is_installed() -> None:
    assert not installed().failures
    for kind in SHIPPED:
        assert SHIPPED[kind] <= set(installed().names(kind))


@pytest.mark.parametrize("entry", OURS, ids=identifier)
def test_it_is_under_the_kit_of_its_kind(entry: Registered) -> None:
    assert (entry.config.kind, entry.config.__name__) in under_a_kit()


@pytest.mark.parametrize("entry", OURS, ids=identifier)
def test_it_and_its_options_are_described(entry: Registered) -> None:
    (component,) = components(entry.config.kind, name=entry.config.component_name())
    assert component.summary.endswith((".", ":")), "describe it in the docstring of its config"
    for option in component.options:
        assert option.description, f"{option.name} has no description"
        assert option.type != "any", f"{option.name} has no type in the JSON schema"
