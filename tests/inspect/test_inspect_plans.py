"""nnU-Net's plans as options, each value by hand, axes included."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Command
from made import nifti, noise

from ssl3d import ExperimentSpec
from ssl3d.data.nnunet_plans import read_configuration
from ssl3d.data.spec import DataSpec
from ssl3d.tasks.inspect.facts import Facts
from ssl3d.tasks.inspect.found import Found
from ssl3d.tasks.inspect.planned import suggest_planned
from ssl3d.tasks.inspect.suggestion import Suggestion
from ssl3d_plugins.resunet import ResUNet

# What nnunetv2 2.8.1 planned (nnUNetPlannerResEncM, less what is not read here) for six CT volumes
# that are stored slice by slice from left to right: voxels of 0.8 × 0.8 × 6 mm, axes P, I, R.
PLANS: dict[str, Any] = {
    "dataset_name": "Dataset901_Thick",
    "plans_name": "nnUNetResEncUNetMPlans",
    "original_median_spacing_after_transp": [6.0, 0.800000011920929, 0.800000011920929],
    "original_median_shape_after_transp": [18, 200, 180],
    "image_reader_writer": "SimpleITKIO",
    "transpose_forward": [0, 1, 2],
    "transpose_backward": [0, 1, 2],
    "configurations": {
        "2d": {"patch_size": [224, 192], "spacing": [0.8, 0.8], "batch_size": 77},
        "3d_fullres": {
            "data_identifier": "nnUNetPlans_3d_fullres",
            "preprocessor_name": "DefaultPreprocessor",
            "batch_size": 4,
            "patch_size": [20, 224, 192],
            "median_image_size_in_voxels": [18.0, 200.0, 180.0],
            "spacing": [6.0, 0.800000011920929, 0.800000011920929],
            "normalization_schemes": ["CTNormalization"],
            "use_mask_for_norm": [False],
            "architecture": {
                "network_class_name": "dynamic_network_architectures.architectures.unet."
                "ResidualEncoderUNet",
                "arch_kwargs": {
                    "n_stages": 6,
                    "features_per_stage": [32, 64, 128, 256, 320, 320],
                    "conv_op": "torch.nn.modules.conv.Conv3d",
                    "kernel_sizes": [[1, 3, 3], [1, 3, 3], *[[3, 3, 3]] * 4],
                    "strides": [
                        [1, 1, 1],
                        [1, 2, 2],
                        [1, 2, 2],
                        [2, 2, 2],
                        [2, 2, 2],
                        [1, 2, 2],
                    ],
                    "n_blocks_per_stage": [1, 3, 4, 6, 6, 6],
                    "n_conv_per_stage_decoder": [1, 1, 1, 1, 1],
                    "conv_bias": True,
                    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                    "norm_op_kwargs": {"eps": 1e-05, "affine": True},
                    "dropout_op": None,
                    "dropout_op_kwargs": None,
                    "nonlin": "torch.nn.LeakyReLU",
                    "nonlin_kwargs": {"inplace": True},
                },
                "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
            },
            "batch_dice": False,
        },
        "3d_low": {"inherits_from": "3d_fullres", "spacing": [6.0, 1.6, 1.6]},
    },
    "experiment_planner_used": "nnUNetPlannerResEncM",
    "label_manager": "LabelManager",
    "foreground_intensity_properties_per_channel": {
        "0": {"mean": 350.0, "percentile_00_5": 301.0, "percentile_99_5": 399.0, "std": 28.6}
    },
}
Change = Callable[[dict[str, Any]], None]


def suggested(
    change: Change | None = None,
    *,
    axes: tuple[str, ...] = ("PIR", "PIR"),
    configuration: str = "3d_fullres",
) -> Suggestion:
    content = copy.deepcopy(PLANS)
    if change is not None:
        change(content)
    Path("plans.json").write_text(json.dumps(content))
    files = tuple(
        Facts(
            str(number),
            shape=(200, 180, 18),
            spacing=(0.8, 0.8, 6.0),
            orientation=one,
            digest=str(number),
            modality="MR",
        )
        for number, one in enumerate(axes)
    )
    found = Found(files, (), {one.path: Path(one.path) for one in files})
    plans = read_configuration("plans.json", name=configuration)
    return suggest_planned(found, plans=plans, given=DataSpec(volumes="in"))


def fullres(content: dict[str, Any]) -> dict[str, Any]:
    return content["configurations"]["3d_fullres"]  # type: ignore[no-any-return]


def said(made: Suggestion) -> str:
    return " ".join(made.yaml().replace("\n# ", " ").replace("\n  # ", " ").split())


def test_planned_axes_become_those_of_the_patient() -> None:
    """Axes as SimpleITK gives them are x, z, y of the patient: thick slices are along x."""
    made = suggested()
    assert made.section["spacing"] == [0.8, 0.8, 6.0]
    assert made.section["patch"] == [224, 192, 20]
    assert made.section["batch_size"] == 4
    assert made.section["normalise"] == {"name": "ct_window", "lower": 301.0, "upper": 399.0}
    assert made.cell == (32, 32, 4)
    options = made.backbones["resunet"]
    assert options == {
        "name": "resunet",
        "widths": [32, 64, 128, 256, 320, 320],
        "blocks": [1, 3, 4, 6, 6, 6],
        "kernels": [[3, 3, 1], [3, 3, 1], *[[3, 3, 3]] * 4],
        "strides": [[1, 1, 1], [2, 2, 1], [2, 2, 1], [2, 2, 2], [2, 2, 2], [2, 2, 1]],
    }
    assert list(made.backbones) == ["resunet", "waveformer"]
    assert "as the plans say" in said(made)
    assert "values are divided by the data set's deviation there" in said(made)
    spec = ExperimentSpec.from_yaml(made.yaml())
    assert spec.backbone.name == "resunet"
    assert spec.cell == (32, 32, 4)


def test_transposed_axes() -> None:
    """Of an axial image with axes y, z, x planned: the second planned axis is z."""

    def change(content: dict[str, Any]) -> None:
        content["transpose_forward"] = [1, 0, 2]

    made = suggested(change, axes=("LPS",))
    assert made.section["spacing"] == [0.8, 6.0, 0.8]
    assert made.section["patch"] == [224, 20, 192]
    # The same by numpy: nnU-Net transposes the image, so going back is the inverse permutation.
    back = np.argsort([1, 0, 2])
    assert [PLANS["configurations"]["3d_fullres"]["patch_size"][i] for i in back] == [224, 20, 192]

    def reoriented(content: dict[str, Any]) -> None:
        content["image_reader_writer"] = "NibabelIOWithReorient"

    assert suggested(reoriented).section["patch"] == [20, 224, 192]


def test_three_axes_in_a_circle() -> None:
    def change(content: dict[str, Any]) -> None:
        content["transpose_forward"] = [2, 0, 1]
        fullres(content)["patch_size"] = [16, 32, 64]
        fullres(content)["spacing"] = [1.0, 2.0, 3.0]
        fullres(content)["architecture"]["arch_kwargs"].update(
            strides=[[1, 1, 1], [1, 2, 2]],
            kernel_sizes=[[1, 3, 3], [3, 3, 3]],
            features_per_stage=[8, 16],
            n_blocks_per_stage=[1, 1],
            n_stages=2,
        )

    made = suggested(change, axes=("RAS",))  # planned axes are x, z, y
    assert made.section["patch"] == [32, 64, 16]
    assert made.section["spacing"] == [2.0, 3.0, 1.0]
    assert made.cell == (2, 2, 1)


def test_images_that_are_stored_otherwise_are_said() -> None:
    made = suggested(axes=("PIR", "PIR", "LPS"))
    assert made.section["patch"] == [224, 192, 20]
    assert "axes of 1 images, which are stored in another order" in said(made)


def test_the_network_is_the_one_that_the_backbone_reads_from_the_plans() -> None:
    made = suggested(axes=("RAS",))
    options = made.backbones["resunet"]
    assert isinstance(options, dict)
    Path("plans.json").write_text(json.dumps(PLANS))
    theirs = ResUNet(plans="plans.json")
    mine = made.spec(options).backbone
    assert isinstance(mine, ResUNet)
    assert mine.stage_options == theirs.stage_options
    assert (mine.norm, mine.bias) == (theirs.norm, theirs.bias)


def test_plain_convolutions_cannot_be_carried_over() -> None:
    def change(content: dict[str, Any]) -> None:
        planned = fullres(content)["architecture"]
        planned["network_class_name"] = planned["network_class_name"].replace(
            "ResidualEncoderUNet", "PlainConvUNet"
        )
        del planned["arch_kwargs"]["n_blocks_per_stage"]
        planned["arch_kwargs"]["n_conv_per_stage"] = [2] * 6

    made = suggested(change)
    assert "Not carried over from plans.json, 3d_fullres: the network PlainConvUNet" in said(made)
    options = made.backbones["resunet"]
    assert isinstance(options, dict)
    assert "blocks" not in options
    assert options["strides"][1] == [2, 2, 1]


@pytest.mark.parametrize(
    ("scheme", "normalise", "lost"),
    [
        ("ZScoreNormalization", "zscore", "mean and deviation are of the whole image there"),
        (
            "RescaleTo01Normalization",
            {"name": "percentile", "lower": 0, "upper": 100},
            None,
        ),
        ("NoNormalization", "percentile", "normalisation (NoNormalization)"),
    ],
)
def test_normalisation(scheme: str, normalise: Any, lost: str | None) -> None:
    def change(content: dict[str, Any]) -> None:
        fullres(content)["normalization_schemes"] = [scheme]

    made = suggested(change)
    assert made.section["normalise"] == normalise
    assert (lost or "Not carried over") in said(made) or lost is None
    assert ("normalisation" in " ".join(made.remarks)) == (scheme == "NoNormalization")


def test_what_else_is_lost_is_said() -> None:
    def change(content: dict[str, Any]) -> None:
        fullres(content)["normalization_schemes"] = ["ZScoreNormalization", "CTNormalization"]
        fullres(content)["previous_stage"] = "3d_lowres"
        arguments = fullres(content)["architecture"]["arch_kwargs"]
        arguments["nonlin"] = "torch.nn.ReLU"
        arguments["dropout_op"] = "torch.nn.Dropout3d"

    text = said(suggested(change))
    for lost in (
        "normalisation (CTNormalization, ZScoreNormalization)",
        "sees the segmentation of 3d_lowres",
        "nonlin torch.nn.ReLU: resunet has torch.nn.LeakyReLU",
        "dropout_op torch.nn.Dropout3d: resunet has none",
    ):
        assert lost in text

    def masked(content: dict[str, Any]) -> None:
        fullres(content)["normalization_schemes"] = ["ZScoreNormalization"]
        fullres(content)["use_mask_for_norm"] = [True]

    assert "are of the voxels that are not zero there" in said(suggested(masked))


def test_plans_of_an_older_nnunet_have_no_network_here() -> None:
    def change(content: dict[str, Any]) -> None:
        del fullres(content)["architecture"]

    made = suggested(change)
    assert (made.network, made.backbones) == (None, {})
    assert "older nnU-Net" in said(made)
    DataSpec(**made.section)


def test_what_does_not_fit_together_is_said() -> None:
    def change(content: dict[str, Any]) -> None:
        fullres(content)["patch_size"] = [20, 224, 200]

    made = suggested(change)
    assert isinstance(made.backbones["resunet"], str)
    assert "resunet does not fit" in said(made)
    assert "must be a multiple of the cell" in said(made)


def test_a_configuration_that_inherits_and_one_of_slices() -> None:
    assert suggested(configuration="3d_low").section["spacing"] == [1.6, 1.6, 6.0]
    with pytest.raises(ValueError, match="three numbers are needed: choose a configuration of vol"):
        suggested(configuration="2d")
    with pytest.raises(ValueError, match="has no configuration '3d_high'"):
        suggested(configuration="3d_high")


def test_the_command(ssl3d: Command) -> None:
    nifti(Path("in/a.nii"), noise((18, 20, 18)), spacing=(0.8, 0.8, 6.0))
    Path("plans.json").write_text(json.dumps(PLANS))
    done = ssl3d("inspect", "in", "--plans", "plans.json", "--configuration", "3d_low")
    assert done.code == 0, done.err
    assert "spacing: [6.0, 1.6, 1.6]" in done.out
    assert "backbone: {name: resunet, widths: [32, 64, 128, 256, 320, 320]" in done.out
    Path("spec.yaml").write_text("{volumes: in, batch_size: 7, holdout: 0.5}")
    done = ssl3d("inspect", "spec.yaml", "--plans", "plans.json", "--out", "a.html")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    text = "\n".join(lines[next(i for i, line in enumerate(lines) if line[:1] == "#") : -1])
    data = ExperimentSpec.from_yaml(text).data
    assert (data.batch_size, data.holdout) == (4, 0.5)
    done = ssl3d("inspect", "in", "--configuration", "3d_low")
    assert (done.code, "goes with --plans" in done.err) == (2, True)
    done = ssl3d("inspect", "in", "--plans", "nowhere.json")
    assert (done.code, "cannot be read" in done.err) == (2, True)
