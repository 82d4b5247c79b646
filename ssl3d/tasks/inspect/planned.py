"""What nnU-Net's plans say of spacing, patch, normalisation and network, as options here.

Source: nnU-Net 2.8.1, `plans_handler.py` and the preprocessors: a planned axis i is axis
`transpose_forward[i]` of the image as its reader gives it, which is z, y, x as stored, or of RAS
where the reader reorients.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import product as combinations
from typing import Any, TypeVar

from ssl3d.data.nnunet_plans import Plans
from ssl3d.data.spec import DataSpec
from ssl3d.geometry import Triple
from ssl3d.kinds.network_plan import NetworkPlan
from ssl3d.tasks.inspect.found import Found
from ssl3d.tasks.inspect.intensities import normalise
from ssl3d.tasks.inspect.suggest import sources, workers
from ssl3d.tasks.inspect.suggestion import Choice, Suggestion

BACKBONE = "resunet"
"""The backbone that is nnU-Net's network."""

SAID = "as the plans say"
REORIENTS = "NibabelIOWithReorient"
AXIS = {"S": 0, "I": 0, "A": 1, "P": 1, "R": 2, "L": 2}
"""z, y or x by the letter of an orientation."""

T = TypeVar("T")


def suggest_planned(found: Found, *, plans: Plans, given: DataSpec) -> Suggestion:
    """The choices of the plans, and the data's own where plans say nothing that there is here.

    Raises:
        ValueError: the plans lack what every plan has, or are for slices.
    """
    planned = plans.configuration
    lacking: list[str] = []
    order = _order(found, plans=plans, lacking=lacking)
    spacing = _numbers(plans, "spacing", order=order)
    patch = _numbers(plans, "patch_size", order=order)
    choices = [
        *sources(found, given=given),
        Choice("spacing", [round(float(step), 6) for step in spacing], SAID),
        Choice("patch", [int(edge) for edge in patch], SAID),
    ]
    if isinstance(planned.get("batch_size"), int):
        choices.append(Choice("batch_size", planned["batch_size"], SAID))
    choices += [_normalise(found, plans=plans, lacking=lacking), workers()]
    network = _network(plans, order=order, lacking=lacking)
    if planned.get("previous_stage"):
        lacking.append(
            f"the network sees the segmentation of {planned['previous_stage']} as well, and here "
            "the image alone"
        )
    remarks = tuple(f"Not carried over from {plans.name}: {one}" for one in lacking)
    why = f"strides and kernels {SAID}; the cell is the product of the strides" if network else ""
    last = {one.option: one for one in choices}  # the plans' batch before a given one
    return Suggestion(tuple(last.values()), network, why, backbone=BACKBONE, remarks=remarks)


def _numbers(plans: Plans, name: str, *, order: Sequence[int]) -> list[float]:
    values = plans.configuration.get(name)
    if not isinstance(values, list) or len(values) != 3:
        raise ValueError(
            f"plans: {plans.name}: {name} is {values!r}, three numbers are needed: choose a "
            "configuration of volumes by --configuration, such as 3d_fullres"
        )
    return _in_order(values, order=order)


def _in_order(values: Sequence[T], *, order: Sequence[int]) -> list[T]:
    """Values of planned axes as values of z, y, x."""
    return [values[axis] for axis in order]


def _order(found: Found, *, plans: Plans, lacking: list[str]) -> list[int]:
    """Which planned axis is z, which y, which x."""
    stored = [0, 1, 2]  # z, y or x of the patient, for each axis as nnU-Net reads it
    if plans.content.get("image_reader_writer") != REORIENTS:
        turns = Counter(
            tuple(AXIS[letter] for letter in reversed(one.orientation)) for one in found.images
        )
        (stored_as, _), *others = turns.most_common()
        stored = list(stored_as)
        if others:
            lacking.append(
                f"axes of {sum(count for _, count in others)} images, which are stored in another "
                "order than those of most; nnU-Net takes axes as they are stored, and here all "
                "are turned to RAS"
            )
    planned = [stored[axis] for axis in plans.transpose]
    return [planned.index(axis) for axis in range(3)]


def _normalise(found: Found, *, plans: Plans, lacking: list[str]) -> Choice:
    schemes = plans.configuration.get("normalization_schemes")
    kinds = sorted({str(one) for one in schemes}) if isinstance(schemes, list) else []
    if len(kinds) == 1:
        name = kinds[0]
        if name == "ZScoreNormalization":
            where = "the voxels that are not zero" if _masked(plans) else "the whole image"
            lacking.append(f"mean and deviation are of {where} there, and of the foreground here")
            return Choice("normalise", "zscore", SAID)
        if name == "RescaleTo01Normalization":
            value = {"name": "percentile", "lower": 0, "upper": 100}
            return Choice("normalise", value, f"{SAID}: from the least value to the largest")
        if name == "CTNormalization":
            window = _window(plans)
            if window is not None:
                lacking.append(
                    "values are divided by the data set's deviation there, and the window becomes "
                    "0 to 1 here"
                )
                return Choice("normalise", window, f"{SAID}: its percentiles of the foreground")
    own = normalise(found.images)
    what = ", ".join(kinds) or "not given"
    lacking.append(f"normalisation ({what}): data.normalise is suggested from the images instead")
    return own


def _masked(plans: Plans) -> bool:
    used = plans.configuration.get("use_mask_for_norm")
    return isinstance(used, list) and any(used)


def _window(plans: Plans) -> dict[str, Any] | None:
    """From the 0.5 to the 99.5 percentile of the foreground, over all channels."""
    channels = plans.content.get("foreground_intensity_properties_per_channel")
    each = list(channels.values()) if isinstance(channels, Mapping) else []
    names = ("percentile_00_5", "percentile_99_5")
    if not each or any(
        not isinstance(one.get(name), int | float) for one, name in combinations(each, names)
    ):
        return None
    return {
        "name": "ct_window",
        "lower": float(min(one[names[0]] for one in each)),
        "upper": float(max(one[names[1]] for one in each)),
    }


def _network(plans: Plans, *, order: Sequence[int], lacking: list[str]) -> NetworkPlan | None:
    """The network in words of ours; None where the plans do not describe one."""
    architecture = plans.configuration.get("architecture")
    arguments = architecture.get("arch_kwargs") if isinstance(architecture, Mapping) else None
    if not isinstance(architecture, Mapping) or not isinstance(arguments, Mapping):
        lacking.append("the network, which an older nnU-Net wrote in another form")
        return None
    try:
        strides = _triples(arguments["strides"], order=order)
        kernels = _triples(arguments["kernel_sizes"], order=order)
        widths = tuple(int(width) for width in arguments["features_per_stage"])
    except (KeyError, TypeError, ValueError) as error:
        lacking.append(f"the network: its strides, kernels or features are not readable ({error})")
        return None
    name = str(architecture.get("network_class_name")).rpartition(".")[2]
    blocks = arguments.get("n_blocks_per_stage")
    if not isinstance(blocks, list):
        lacking.append(
            f"the network {name}: {BACKBONE} has residual blocks, here as many as published; "
            "strides, kernels and widths are those of the plans, weights are not exchanged"
        )
        blocks = None
    norm = str(arguments.get("norm_op"))
    known = {"InstanceNorm3d": "instance", "BatchNorm3d": "batch"}.get(norm.rpartition(".")[2])
    if known is None:
        lacking.append(f"norm_op {norm}")
    fixed = {"dropout_op": None, "nonlin": "torch.nn.LeakyReLU"}
    lacking += [
        f"{option} {arguments[option]}: {BACKBONE} has {value or 'none'}"
        for option, value in fixed.items()
        if arguments.get(option, value) != value
    ]
    bias = arguments.get("conv_bias")
    return NetworkPlan(
        strides,
        kernels,
        widths=widths,
        blocks=None if blocks is None else tuple(blocks),
        norm=known if known != "instance" else None,
        bias=bias if bias is False else None,
    )


def _triples(values: Iterable[Any], *, order: Sequence[int]) -> tuple[Triple, ...]:
    found = []
    for value in values:
        z, y, x = _in_order(value if isinstance(value, list) else [value] * 3, order=order)
        found.append((int(z), int(y), int(x)))
    return tuple(found)
