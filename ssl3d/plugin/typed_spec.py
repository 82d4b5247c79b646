"""A whole spec: checked as one, written and read as a file, changed by copies. Imports no torch."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from ssl3d.plugin import spec_file
from ssl3d.plugin.section import Section
from ssl3d.plugin.spec_error import SpecError, explain


class TypedSpec(Section):
    """Base of specs. Components are given by name, as a mapping, or as typed configs.

    Validation covers plugin options and how the parts fit together, and happens before any data is
    read and before torch is imported.

    Raises:
        SpecError: a ValueError with one line for each problem.
    """

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SpecError(explain(error, model=type(self), given=values)) from None
        found = list(self.problems())
        if found:
            raise SpecError(found)
        for message in self.cautions():
            warnings.warn(message, stacklevel=2)

    def problems(self) -> Iterable[tuple[str, str]]:
        """(path, message) of everything that cannot work together."""
        return ()

    def cautions(self) -> Iterable[str]:
        """What can run but is likely not what is wanted; asked where there are no problems."""
        return ()

    def replace(self, /, **changes: Any) -> Self:
        """A validated copy with other values: `spec.replace(sparse_backend="spconv")`."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self)(**{**values, **changes})

    def with_values(self, values: dict[str, Any]) -> Self:
        """A validated copy with values set by path: `{"optimizer.lr": 1e-3}`.

        A component's name replaces the component with all its options:
        `{"masker": "random"}`. A preset's name replaces the options that it settles:
        `{"backbone.preset": "paper"}`.
        """
        plain = self.to_dict()
        for path, value in values.items():
            if value is not None:
                spec_file.take_back_settled(plain, spec=self, path=path)
        return type(self)(**spec_file.set_values(plain, values))

    def to_dict(self) -> dict[str, Any]:
        """Plain values only, every default filled in."""
        return self.model_dump(mode="json")

    def to_json(self) -> str:
        """JSON that `from_json` reads back to an equal spec."""
        return self.model_dump_json(indent=2)

    def to_yaml(self) -> str:
        """YAML that `from_yaml` reads back to an equal spec."""
        return spec_file.to_yaml(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read `to_json`'s output; raises SpecError."""
        return cls(**spec_file.from_json(text))

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """Read YAML; raises SpecError."""
        return cls(**spec_file.from_yaml(text))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a `.py` file that defines `spec`, a `.yaml`/`.yml` or a `.json` file.

        Raises:
            SpecError: the file is absent, not readable as such, or its spec cannot run.
        """
        return spec_file.load(cls, Path(path))
