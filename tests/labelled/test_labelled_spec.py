"""What a spec of labelled data refuses, and how volumes are prepared by default."""

from __future__ import annotations

import pytest

from ssl3d.data.labelled.augment_spec import AugmentSpec
from ssl3d.data.labelled.preparation import preparation
from ssl3d.data.labelled.spec import LabelledData
from ssl3d.data.labelled.truth import LabelMap, Targets


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "neither images nor manifest"),
        ({"manifest": "m.csv", "labels": "a"}, "labels and exclude are for images"),
        ({"images": ()}, "images is empty"),
        ({"images": "a/*", "labels": "b/*/*"}, "give the same number, above 0"),
        ({"images": "a", "labels": "b"}, "give the same number, above 0"),
        ({"images": ("a", "b"), "labels": ("a",)}, "give the same number, above 0"),
        ({"images": "a", "folds": 3, "fold": 3}, "the last is 2"),
        ({"images": "a", "group_by": "(x)", "group_file": "g"}, "give one of them"),
        ({"images": "a", "group_by": "x"}, "put parentheses"),
        ({"images": "a", "evaluation_crops": 0}, "greater than or equal to 1"),
        ({"images": "a", "columns": {"image": "label"}}, "give each a name of its own"),
    ],
)
def test_what_does_not_fit_together_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LabelledData(**options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LabelMap((0, 1), ("a",)), "2 label values and 1 names"),
        (lambda: LabelMap((0, 1), ("a", "b"), ignore=1), "each once"),
        (lambda: Targets(()), "at least one"),
        (lambda: Targets(("a",), kind="number", classes=("x",)), "leave out classes"),
        (lambda: Targets(("a",), classes=("1", "1.0")), "1, 1.0: two of them are the same number"),
        (lambda: Targets(("a",)).read("1.5", where="here"), "here: '1.5' is no class"),
        (lambda: Targets(("a",)).read("-1", where="here"), "no class"),
        (lambda: Targets(("a",), classes=("no", "yes")).read("2", where="here"), "one of no, yes"),
        (lambda: Targets(("a",), kind="number").read("inf", where="here"), "no number"),
    ],
)
def test_a_truth_that_is_none(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_volumes_are_prepared_as_the_encoders_were() -> None:
    encoder = {
        "spacing": [2, 1, 1],
        "normalise": {"name": "ct_window", "lower": -100, "upper": 300},
        "foreground": {"threshold": -500.0},
        "patch": [96, 96, 96],
    }
    spec, warnings = preparation(LabelledData(images="a"), patch=(8, 8, 8), encoder=encoder)
    assert not warnings
    assert spec.spacing == (2, 1, 1)
    assert spec.patch == (8, 8, 8)
    assert (spec.normalise.lower, spec.foreground.threshold) == (-100, -500)
    same = LabelledData(images="a", spacing=(2, 1, 1), foreground=-500.0)
    assert preparation(same, patch=(8, 8, 8), encoder=encoder) == (spec, [])
    other = LabelledData(images="a", spacing=1, normalise="zscore", foreground="otsu")
    spec, warnings = preparation(other, patch=(8, 8, 8), encoder=encoder)
    assert (spec.spacing, spec.normalise.name) == ((1, 1, 1), "zscore")
    assert [line.partition(":")[0] for line in warnings] == [
        "data.spacing is 1 × 1 × 1 mm, but the encoder's volumes had 2 × 1 × 1 mm",
        "data.normalise is zscore, but the encoder's volumes had ct_window (lower -100.0, upper "
        "300.0)",
        "data.foreground is threshold otsu, but the encoder's volumes had threshold -500.0",
    ]
    assert not preparation(other, patch=(8, 8, 8))[1], (
        "from scratch there is nothing to differ from"
    )


def test_flips_and_labels_of_two_sides() -> None:
    AugmentSpec().check_sides(["left atrium", "ventricle"])
    AugmentSpec(flips=(True, True, False)).check_sides(["left_lung", "right_lung"])
    for names in (["left_lung", "right_lung"], ["Lung Right", "lung left"]):
        with pytest.raises(ValueError, match=r"set augment.flips to \[false, false, false\]"):
            AugmentSpec().check_sides(names)


def test_the_spec_imports_nothing_heavy(run_python) -> None:
    done = run_python(
        "import sys\n"
        "from ssl3d.data.labelled import augment_spec, preparation, spec, truth\n"
        "spec.LabelledData(images='a').model_dump()\n"
        "heavy = sorted(set(sys.modules) & {'torch', 'numpy', 'monai'})\n"
        "raise SystemExit(f'imported {heavy}' if heavy else 0)"
    )
    assert done.returncode == 0, done.stderr
