"""Options of `resunet` filled in from nnU-Net's plans. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ssl3d.plugin.shown import shown
from ssl3d_plugins.resunet.nnunet_plans import read_plans

DEFAULT = "3d_fullres"


def filled_in(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options with those of the plans in place of `plans` and `configuration`.

    So a spec that is written out has the network itself, and is read without the file.

    Raises:
        ValueError: the plans cannot be used, or an option contradicts them.
    """
    options = dict(given)
    plans, configuration = options.pop("plans", None), options.pop("configuration", None)
    if not isinstance(plans, str | os.PathLike) or not isinstance(configuration, str | None):
        if plans is None and configuration is not None:
            raise ValueError("configuration goes with plans: give the plans file, or leave it out")
        return dict(given)  # nothing to fill in, or what is given is of a wrong type
    planned = read_plans(plans, configuration=configuration or DEFAULT)
    for option, value in planned.options().items():
        mine = options.get(option)
        if mine is not None and _whole(option, mine) != _whole(option, value):
            raise ValueError(
                f"{option} is {shown(mine)}, and {planned.name} has {shown(value)}: leave out "
                f"{option}, or plans"
            )
        options[option] = value
    return options


def _whole(option: str, value: Any) -> Any:
    """Kernels and strides with one number for each axis, and lists instead of tuples."""
    if not isinstance(value, list | tuple):
        return value
    axes = 3 if option in ("kernels", "strides") else 1
    return [
        list(one) if isinstance(one, list | tuple) else [one] * axes if axes > 1 else one
        for one in value
    ]
