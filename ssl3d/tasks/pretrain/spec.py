"""The experiment spec: everything that a run is made of, typed and validated as a whole."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ssl3d.plugin.typed_spec import TypedSpec
from ssl3d.tasks.pretrain import spec_checks
from ssl3d.tasks.pretrain.spec_fields import ExperimentFields

if TYPE_CHECKING:
    from ssl3d.masked.model import PretrainModel


class ExperimentSpec(ExperimentFields, TypedSpec):
    """A pre-training experiment; see `TypedSpec` for what specs can do."""

    def problems(self) -> Iterable[tuple[str, str]]:
        """What does not fit together."""
        return spec_checks.problems(self)

    def cautions(self) -> Iterable[str]:
        """What can run but is likely not what is wanted."""
        return spec_checks.warnings_of(self)

    def build(self) -> PretrainModel:
        """The untrained model, with weights drawn from `seed`; see `PretrainModel`."""
        build: Callable[[ExperimentFields], PretrainModel]
        build = importlib.import_module("ssl3d.tasks.pretrain.build").build_model
        return build(self)
