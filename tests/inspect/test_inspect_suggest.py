"""What is suggested: by nnU-Net's own numbers, and taken by every backbone that has strides."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Command
from hypothesis import given
from hypothesis import strategies as st
from made import nifti, noise, series

from ssl3d import ExperimentSpec
from ssl3d.data.files import find_sources
from ssl3d.data.search import matches
from ssl3d.data.spec import DataSpec
from ssl3d.kinds.network_plan import NetworkPlan
from ssl3d.tasks.inspect.exclude import patterns_of
from ssl3d.tasks.inspect.facts import Facts
from ssl3d.tasks.inspect.found import Found
from ssl3d.tasks.inspect.sizes import (
    VOXELS,
    network_plan,
    patch_edges,
    target_spacing,
)
from ssl3d.tasks.inspect.suggest import suggest
from ssl3d.tasks.inspect.suggestion import Suggestion
from ssl3d.testing.backbone_checks import a_plan_gives_the_planned_strides
from ssl3d.testing.backbone_under_test import BackboneUnderTest
from ssl3d_plugins.resunet import ResUNet

# Strides and kernels after the first that `get_pool_and_conv_props` of nnunetv2 2.8.1 gives with a
# least edge of 4, and at most 4 of them.
PLANNED = [
    ((1, 1, 1), (96, 96, 96), [[2, 2, 2]] * 4, [[3, 3, 3]] * 4),
    (
        (5, 1, 1),
        (24, 160, 160),
        [[1, 2, 2], [1, 2, 2], [2, 2, 2], [2, 2, 2]],
        [[1, 3, 3], [1, 3, 3], [3, 3, 3], [3, 3, 3]],
    ),
    ((1.2, 0.7, 0.7), (70, 100, 100), [[2, 2, 2]] * 4, [[3, 3, 3]] * 4),
    ((1, 1, 1), (35, 52, 35), [[2, 2, 2]] * 3, [[3, 3, 3]] * 3),
    (
        (3, 1, 2),
        (40, 120, 60),
        [[1, 2, 1], [2, 2, 2], [2, 2, 2], [2, 2, 2]],
        [[1, 3, 1], [3, 3, 3], [3, 3, 3], [3, 3, 3]],
    ),
    ((10, 0.5, 0.5), (12, 256, 256), [[1, 2, 2]] * 4, [[1, 3, 3]] * 4),
]


@pytest.mark.parametrize(("spacing", "edges", "strides", "kernels"), PLANNED)
def test_strides_and_kernels_are_those_of_nnunet(spacing, edges, strides, kernels) -> None:
    plan = network_plan(spacing, edges=edges)
    assert [list(stride) for stride in plan.strides] == [[1, 1, 1], *strides]
    assert [list(kernel) for kernel in plan.kernels] == [*kernels, [3, 3, 3]]


def test_spacing_is_the_median_and_finer_across_thick_slices() -> None:
    """As `determine_fullres_target_spacing` of nnunetv2 2.8.1, but for the 1e-5 that it adds."""
    shapes = [(20, 200, 200)] * 5
    even = [(1.0, 0.5, 0.6), (1.4, 0.7, 0.8), (1.2, 0.6, 0.7), (1.2, 0.6, 0.7), (1.2, 0.6, 0.7)]
    assert target_spacing(even, shapes=shapes) == ((1.2, 0.6, 0.7), None)
    thick = [(10.0, 1.5, 1.5)] * 3 + [(5.0, 1.5, 1.5), (6.0, 1.5, 1.5)]
    spacing, axis = target_spacing(thick, shapes=shapes)
    assert (spacing, axis) == ((float(np.percentile([10, 10, 10, 5, 6], 10)), 1.5, 1.5), "z")
    many = [(300, 200, 200)] * 5  # as many slices as voxels: the median
    assert target_spacing(thick, shapes=many) == ((10.0, 1.5, 1.5), "z")
    along_x = [(spacing[1], spacing[2], spacing[0]) for spacing in thick]
    turned = [(200, 200, 20)] * 5
    assert target_spacing(along_x, shapes=turned) == ((1.5, 1.5, 5.4), "x")
    finer = [(1.0, 1.5, 1.5)] * 2 + [(10.0, 1.5, 1.5)] * 3  # never finer than the others
    assert target_spacing(finer, shapes=shapes)[0] == (1.5, 1.5, 1.5)


def test_the_patch_is_a_cube_as_far_as_the_volume_holds_one() -> None:
    assert patch_edges((1, 1, 1), shape=(400, 400, 400)) == [96, 96, 96]
    z, y, x = patch_edges((5, 1, 1), shape=(400, 400, 400))
    assert (z * 5, y) == pytest.approx((x, x), abs=5)
    assert 0.9 * VOXELS < z * y * x <= VOXELS
    z, y, x = patch_edges((5, 1, 1), shape=(10, 400, 400))
    assert (z, y) == (10, x)
    assert 0.9 * VOXELS < z * y * x <= VOXELS
    assert patch_edges((1, 1, 1), shape=(35, 52, 35)) == [35, 52, 35]
    assert max(patch_edges((1, 1, 1), shape=(2, 2, 10**7))) == 2048


def image(name: str = "a", **facts: object) -> Facts:
    usual: dict[str, object] = {
        "path": name,
        "shape": (60, 60, 60),
        "spacing": (1.0, 1.0, 1.0),
        "percentiles": (0.0, 1.0, 5.0, 9.0, 50.0, 900.0, 999.0),
        "digest": name,
        "orientation": "RAS",
    }
    return Facts(**{**usual, **facts})  # type: ignore[arg-type]


def suggested(*files: Facts, **given: object) -> Suggestion:
    found = Found(files, (), {one.path: Path(one.path) for one in files})
    spec = DataSpec(volumes="scans", **given)  # type: ignore[arg-type]
    return suggest(found, given=spec)


STEPS = st.floats(0.3, 8).map(lambda step: round(step, 2))


@given(
    spacing=st.tuples(STEPS, STEPS, STEPS),
    shape=st.tuples(*[st.integers(2, 600)] * 3),
)
def test_what_is_suggested_is_taken_by_each_backbone_with_strides(spacing, shape) -> None:
    made = suggested(image(shape=shape, spacing=spacing), image("b", shape=shape, spacing=spacing))
    DataSpec(**made.section)
    if made.network is None:
        assert made.cell is None
        assert made.backbones == {}
        return
    assert {name for name, options in made.backbones.items() if isinstance(options, dict)} == {
        "waveformer",
        "resunet",
    }, made.backbones
    for options in made.backbones.values():
        assert isinstance(options, dict)
        spec = made.spec(options)
        assert spec.cell == spec.backbone.total_stride == made.cell
    read = ExperimentSpec.from_yaml(made.yaml())
    assert read == made.spec(made.backbones["waveformer"])  # type: ignore[arg-type]


def test_volumes_that_are_too_small_get_no_network() -> None:
    made = suggested(image(shape=(6, 7, 5)))
    assert made.network is None
    assert "too small for a network" in made.yaml()


@pytest.mark.parametrize("backbone", ["waveformer", "resunet"])
def test_thick_slices_keep_their_voxels(backbone: str) -> None:
    made = suggested(*(image(n, shape=(24, 300, 300), spacing=(5.0, 1.0, 1.0)) for n in "ab"))
    options = made.backbones[backbone]
    assert isinstance(options, dict)
    strides = [stage.stride for stage in made.spec(options).backbone.stages()]
    first = {"waveformer": [(1, 2, 2)], "resunet": [(1, 1, 1), (1, 2, 2)]}[backbone]
    assert strides == [*first, (1, 4, 4), (2, 8, 8), (4, 16, 16)]
    assert made.cell == (4, 16, 16)
    assert "spacing" not in made.section  # all alike: nothing is resampled
    assert "halved once its steps are less than twice the finest" in flat(made)
    assert "sites would be left" not in flat(made)
    mixed = suggested(
        image("a", shape=(24, 300, 300), spacing=(5.0, 1.0, 1.0)),
        image("b", shape=(24, 300, 300), spacing=(7.0, 1.0, 1.0)),
    )
    assert mixed.section["spacing"] == pytest.approx([5.2, 1.0, 1.0])
    assert "slices are thick along z, which is kept" in mixed.yaml()


def test_strides_that_end_for_want_of_sites_say_so() -> None:
    made = suggested(image(shape=(44, 71, 96)))
    assert "Where less than 4 sites would be left of the patch it is not halved" in flat(made)
    assert "twice the finest" not in flat(made)


def flat(made: Suggestion) -> str:
    return " ".join(made.yaml().replace("\n# ", " ").split())


def test_slices_that_are_thick_along_several_axes_are_said() -> None:
    made = suggested(image("a", spacing=(6.0, 1, 1)), image("b", spacing=(1, 1, 6.0)))
    assert "thick along several axes (1 along x, 1 along z)" in made.yaml().replace("\n# ", " ")


def test_normalisation_by_what_values_are() -> None:
    in_hu = (-1024.0, -1000.0, -900.0, 20.0, 60.0, 1500.0, 3000.0)
    window = {"name": "ct_window", "lower": -1000, "upper": 1000}
    assert suggested(image(modality="CT")).section["normalise"] == window
    assert suggested(image(percentiles=in_hu)).section["normalise"] == window
    assert suggested(image(modality="MR", percentiles=in_hu)).section["normalise"] == "percentile"
    both = suggested(image("a", modality="CT"), image("b", percentiles=in_hu))
    assert both.section["normalise"] == window
    assert "headers say CT or values look like HU" in both.yaml()
    one_like = suggested(image("a", percentiles=in_hu), image("b"), image("c"))
    assert one_like.section["normalise"] == "percentile"
    assert "CT" not in one_like.yaml()
    mixed = suggested(image("a", modality="CT"), image("b", modality="MR"))
    assert mixed.section["normalise"] == "percentile"
    assert mixed.section["normalise_by_modality"] == {"CT": window}
    assert "1 of 2 images are said to be CT" in mixed.yaml().replace("\n  # ", " ")


def test_only_what_a_run_would_learn_from_counts() -> None:
    made = suggested(
        image("a"),
        image("copy", digest="a", spacing=(9.0, 9.0, 9.0)),
        image("a_seg", labels="few", spacing=(9.0, 9.0, 9.0)),
        image("bad", problem="broken", spacing=(9.0, 9.0, 9.0)),
        exclude=("old/*",),
        group_by="(a)",
    )
    assert "spacing" not in made.section
    assert made.section["exclude"] == ["old/*", "*_seg", "copy"]
    assert made.section["group_by"] == "(a)"


NAMES = st.lists(
    st.tuples(
        st.sampled_from(["x", "labels", "im[1]", "a b"]),
        st.sampled_from(["s1", "s2", "s*", "caf\udce9"]),
        st.sampled_from(["", "_seg", "_t1", ".label", "-1"]),
        st.sampled_from([".nii.gz", ".nrrd"]),
    ).map(lambda parts: Path(parts[0]) / "".join(parts[1:])),
    min_size=1,
    max_size=20,
    unique=True,
)


@given(names=NAMES, data=st.data())
def test_patterns_leave_out_what_they_should_and_nothing_else(names, data) -> None:
    unwanted = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    wanted = [name for name in names if name not in unwanted]
    patterns = patterns_of(unwanted, wanted=wanted)
    here = Path.cwd()
    gone = [n for n in names if any(matches(n, pattern, folder=here) for pattern in patterns)]
    assert sorted(gone) == sorted(unwanted)
    assert DataSpec(volumes="x", exclude=patterns).exclude == tuple(patterns)


def test_few_patterns() -> None:
    people = [f"sub-{i}" for i in range(9)]
    images = [Path("d") / one / f"{one}_t1.nii.gz" for one in people]
    labels = [path.with_name(path.name.replace("t1", "seg")) for path in images]
    assert patterns_of(labels, wanted=images) == ["*_seg.nii.gz"]
    apart = [Path("d/labels") / path.name for path in images]
    assert patterns_of(apart, wanted=images) == ["labels/*"]


def test_a_dry_run_takes_what_was_pasted(ssl3d: Command) -> None:
    for number in range(3):
        voxels = noise((24, 24, 12), seed=number)
        nifti(Path(f"scans/s{number}_t1.nii.gz"), voxels, spacing=(1.0, 1.0, 2.5 + number / 9))
        nifti(Path(f"scans/s{number}_seg.nii.gz"), voxels % 3, spacing=(1.0, 1.0, 2.5))
    nifti(Path("scans/again.nii"), noise((24, 24, 12)), spacing=(1.0, 1.0, 2.5))
    done = ssl3d("inspect", "scans", "--workers", "0")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("# strides"))
    Path("spec.yaml").write_text("\n".join(lines[start:]) + "\n")
    spec = ExperimentSpec.load("spec.yaml")
    kept = {source.files[0].name for source in find_sources(spec.data)}
    assert len(kept) == 3
    assert not any("seg" in name for name in kept)
    dry = ssl3d("pretrain", "spec.yaml", "--dry-run")
    assert dry.code == 0, dry.err
    assert "3 found, 3 usable" in dry.out


def test_ct_by_its_headers(ssl3d: Command) -> None:
    series(Path("ct/a"), noise((16, 16, 8)))
    done = ssl3d("inspect", "ct", "--workers", "0")
    assert "headers say CT. From air" in done.out
    assert "normalise: {name: ct_window, lower: -1000, upper: 1000}" in done.out


def test_files_are_counted_as_they_are() -> None:
    files = [image(name, digest=digest) for name, digest in itertools.product("ab", "xyz")]
    found = Found(tuple(files), (), {})
    assert found.counts()["images"] == 3
    assert found.counts()["copies of another"] == 3


def test_the_kit_finds_strides_that_are_not_those_planned() -> None:
    class Isotropic(ResUNet):
        @classmethod
        def planned(cls, plan: NetworkPlan) -> dict[str, Any]:
            return {"widths": (4,) * len(plan.strides)}

    with pytest.raises(AssertionError, match="planned"):
        a_plan_gives_the_planned_strides(BackboneUnderTest(Isotropic(widths=(4,))))
    a_plan_gives_the_planned_strides(BackboneUnderTest(ResUNet(widths=(4,))))
