"""A spec is validated before torch is loaded."""

from __future__ import annotations

import pytest

import ssl3d

HEAVY = ("torch", "monai", "lightning", "numpy", "MinkowskiEngine", "spconv")

VALIDATE = """
import sys
from ssl3d import ExperimentSpec, components
from ssl3d.plugin.registry import installed

for kind in installed().kinds():
    for name in installed().names(kind):
        field, value = ("losses", [name]) if kind == "loss" else (kind, name)
        values = {"data": {"volumes": "nowhere", "patch": 96}, field: value}
        try:
            spec = ExperimentSpec(**values)
        except ValueError as error:
            print(error)
        else:
            ExperimentSpec.from_yaml(spec.to_yaml())
for wrong in ({"backbone": "wavformer"}, {"cell": 5}, {"data": {"patch": 5, "volumes": "a"}}):
    try:
        ExperimentSpec(**{"data": {"volumes": "nowhere"}, **wrong})
    except ValueError as error:
        print(error)
    else:
        raise SystemExit(f"{wrong} was accepted")
components()
ExperimentSpec.model_json_schema()
heavy = sorted(set(sys.modules) & set(HEAVY))
raise SystemExit(f"imported {heavy}" if heavy else 0)
"""


def test_validation_imports_nothing_heavy(run_python) -> None:
    done = run_python(f"HEAVY = {HEAVY}\n{VALIDATE}")
    assert done.returncode == 0, done.stderr
    assert "Did you mean 'waveformer'" in done.stdout


def test_the_package_imports_nothing_heavy_and_no_plugin(run_python) -> None:
    done = run_python(
        "import sys, ssl3d, ssl3d.tasks.pretrain.spec, ssl3d.plugin.catalogue\n"
        f"found = sorted(set(sys.modules) & {{'ssl3d_plugins', *{HEAVY}}})\n"
        "raise SystemExit(f'imported {found}' if found else 0)"
    )
    assert done.returncode == 0, done.stderr


def test_the_package_gives_what_it_names() -> None:
    for name in ssl3d.__all__:
        assert callable(getattr(ssl3d, name)) or name == "__version__"
        assert name in dir(ssl3d)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        ssl3d.nothing  # noqa: B018
