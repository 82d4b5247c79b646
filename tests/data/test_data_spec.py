from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from ssl3d.data.intensity_spec import CTWindow, Percentile, ZScore
from ssl3d.data.spec import DataSpec

SPECS = [
    DataSpec(volumes="../some/folder"),
    DataSpec(volumes=["a.nii.gz", "b/*.nii"], spacing=(5, 0.7, 0.7), normalise="zscore"),
    DataSpec(
        channels={"t2": "*/t2.nii.gz", "t1": "*/t1.nii.gz"},
        patch=(16, 64, 64),
        normalise={"name": "ct_window", "lower": -160, "upper": 240},
        foreground={"threshold": -500.5, "share": 1e-4},
        flips=(False, False, True),
        group_by="(sub-[0-9]+)",
    ),
    DataSpec(volumes="x", normalise=Percentile(lower=1, upper=99, clip=False), group_file="g.json"),
]


@pytest.mark.parametrize("spec", SPECS)
def test_json_and_yaml_round_trip_exactly(spec: DataSpec) -> None:
    assert DataSpec.model_validate_json(spec.model_dump_json()) == spec
    text = yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False)
    again = DataSpec.model_validate(yaml.safe_load(text))
    assert again == spec
    assert list(again.channels or ()) == list(spec.channels or ())


def test_strings_stay_as_given_and_paths_become_strings() -> None:
    assert DataSpec(volumes="./a/../b").volumes == "./a/../b"
    assert DataSpec(volumes=Path("a") / "b").volumes == "a/b"


def test_every_option_is_described() -> None:
    def undescribed(model: type[BaseModel]) -> list[str]:
        fields = model.model_fields.items()
        return [n for n, field in fields if n != "name" and not field.description]

    assert undescribed(DataSpec) == []
    # The bounds of percentiles and windows are described where they are used.
    assert undescribed(CTWindow) == undescribed(Percentile) == undescribed(ZScore) == []


def test_channels_are_known_without_reading() -> None:
    assert [spec.in_channels for spec in SPECS] == [1, 1, 2, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "neither given"),
        ({"volumes": "a", "channels": {"t1": "*"}}, "both given"),
        ({"volumes": []}, "empty list"),
        ({"volumes": "a", "patch": (0, 8, 8)}, "patch.0"),
        ({"volumes": "a", "spacing": (0, 1, 1)}, "spacing.0"),
        ({"volumes": "a", "batch_size": 0}, "batch_size"),
        ({"volumes": "a", "holdout": 1.0}, "holdout"),
        ({"volumes": "a", "normalise": "z-score"}, "'ct_window', 'percentile', 'zscore'"),
        ({"volumes": "a", "normalise": {"name": "ct_window", "lower": 5, "upper": 2}}, "below"),
        ({"volumes": "a", "normalise": {"name": "zscore", "lower": 5}}, "lower"),
        ({"volumes": "a", "foreground": {"threshold": "mean"}}, "threshold"),
        ({"volumes": "a", "group_by": "("}, "not a regular expression"),
        ({"volumes": "a", "group_by": "sub"}, "has 0 groups"),
        ({"volumes": "a", "group_by": "(a)", "group_file": "b"}, "both given"),
        ({"channels": {}}, "at least one"),
        ({"channels": {"t1": "x.nii.gz"}}, "stars"),
        ({"channels": {"t1": "*_t1.nii", "t2": "*/*_t2.nii"}}, "stars"),
        ({"channels": {"t1": "**/t1.nii"}}, "single stars"),
        ({"channels": {"t1": "*_t1.nii", "t2": ["a.nii"]}}, "mixed"),
        ({"channels": {"t1": ["a.nii", "b.nii"], "t2": ["a.nii"]}}, "same number"),
        ({"volumes": "a", "pacth": (8, 8, 8)}, "pacth"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DataSpec(**options)


@pytest.mark.parametrize("module", ["ssl3d.data.spec", "ssl3d.data"])
def test_import_loads_no_torch(module: str) -> None:
    code = f"import sys, {module}; print([m for m in ('torch', 'monai') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr
