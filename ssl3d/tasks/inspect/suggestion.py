"""A suggested spec: values with the reason for each, written as YAML that can be pasted."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ssl3d.geometry import Triple
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.kinds.network_plan import NetworkPlan
from ssl3d.plugin.core_yaml import write_line
from ssl3d.plugin.registry import installed
from ssl3d.plugin.spec_error import SpecError
from ssl3d.tasks.pretrain.spec import ExperimentSpec

FIRST = "waveformer"
"""What a spec has where it names no backbone."""


@dataclass(frozen=True)
class Choice:
    """A value of an option, or none, and why."""

    option: str
    value: Any
    reason: str


@dataclass(frozen=True)
class Suggestion:
    """What an inspection suggests.

    Attributes:
        data: choices for the part `data`; one without a value is a reason alone.
        network: strides and kernels; None where volumes are too small for any.
        why: the reason for them; empty for none.
        backbone: that comes first, where it is installed and can have the strides.
        remarks: what is to be said besides.
    """

    data: tuple[Choice, ...]
    network: NetworkPlan | None
    why: str
    backbone: str = FIRST
    remarks: tuple[str, ...] = ()

    @property
    def section(self) -> dict[str, Any]:
        """The values of the part `data`."""
        return {one.option: one.value for one in self.data if one.value is not None}

    @property
    def cell(self) -> Triple | None:
        """The total stride of the network."""
        return None if self.network is None else self.network.total_stride

    @cached_property
    def backbones(self) -> dict[str, dict[str, Any] | str]:
        """Options of each installed backbone that can have the strides, or why it cannot."""
        found: dict[str, dict[str, Any] | str] = {}
        names = installed().names("backbone") if self.network is not None else []
        for name in sorted(names, key=lambda name: (name != self.backbone, name)):
            config = installed().config("backbone", name=name)
            assert issubclass(config, BackboneConfig)
            assert self.network is not None
            options = config.planned(self.network)
            if options is not None:
                plain = {"name": name, **_plain(options)}
                found[name] = self.problem(plain) or plain
        return found

    def problem(self, backbone: Mapping[str, Any]) -> str:
        """Why a spec with this backbone is refused; empty where it is not."""
        try:
            self.spec(backbone)
        except SpecError as error:
            return " ".join(str(error).split())
        return ""

    def spec(self, backbone: Mapping[str, Any] | None = None) -> ExperimentSpec:
        """The spec, with a backbone or with the default one.

        Raises:
            SpecError: the parts do not fit together.
        """
        parts: dict[str, Any] = {} if backbone is None else {"backbone": dict(backbone)}
        if backbone is not None:
            parts["cell"] = self.cell
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said when it is used
            return ExperimentSpec(data=self.section, **parts)

    def yaml(self) -> str:
        """A spec with comments; further backbones are commented out."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        for remark in self.remarks:
            yield from _comment(remark)
        able = {name: one for name, one in self.backbones.items() if isinstance(one, dict)}
        yield from _comment(self.why)
        if able:
            yield f"cell: {write_line(list(self.cell or ()))}"
        for number, options in enumerate(able.values()):
            yield f"{'# or: ' if number else ''}backbone: {write_line(options)}"
        for name, one in self.backbones.items():
            if isinstance(one, str):
                yield from _comment(f"{name} does not fit: {one}")
        yield "data:"
        for choice in self.data:
            yield from _comment(choice.reason, indent="  ")
            if choice.value is not None:
                yield f"  {choice.option}: {write_line(_plain(choice.value))}"


def _comment(text: str, *, indent: str = "") -> Iterator[str]:
    yield from (f"{indent}# {line}" for line in textwrap.wrap(text, 96 - len(indent)))


def _plain(value: Any) -> Any:
    """Lists for tuples."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, tuple | list) else value
