"""What the options of a sparse backend are, and what validation asks of them. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from ssl3d.geometry import Operation
from ssl3d.plugin.config import ComponentConfig

if TYPE_CHECKING:
    from ssl3d.sparse.volume import SparseBackend


class SparseBackendConfig(ComponentConfig):
    """Options of a sparse backend, and which operations its library has."""

    kind: ClassVar[str] = "sparse_backend"
    makes: ClassVar[str] = "ssl3d.sparse.volume:SparseBackend"
    answers: ClassVar[tuple[str, ...]] = ("problems",)

    def problems(self, op: Operation) -> Iterable[str]:
        """Why the library cannot do `op` in this project's sense; nothing where it can.

        By default it can do whatever has a meaning on hidden cells.
        """
        return op.problems()

    def supports(self, op: Operation) -> bool:
        """True when the library can do `op`."""
        return not any(self.problems(op))

    def build(self) -> SparseBackend:
        """Make the backend.

        Raises:
            ModuleNotFoundError: its library is absent; the message says what to install.
            ImportError: its library is there and cannot be used.
        """
        backend: SparseBackend = self._make()
        return backend
