"""The sparse backend `gather` and its options. No torch here: specs are validated with it."""

from typing import TYPE_CHECKING, Literal

from ssl3d import hookimpl
from ssl3d.geometry import Operation, undefined
from ssl3d.sparse.backend_config import SparseBackendConfig

if TYPE_CHECKING:
    from gather_backend.backend import GatherBackend


class Gather(SparseBackendConfig):
    """Gathers the sites that meet at each place of a kernel, and multiplies them by its tap."""

    name: Literal["gather"] = "gather"

    def unsupported(self, op: Operation) -> str | None:
        """Only what has no meaning on hidden cells."""
        return undefined(op)

    def build(self) -> "GatherBackend":
        """Make the backend."""
        from gather_backend.backend import GatherBackend

        return GatherBackend(self)


@hookimpl
def ssl3d_components() -> tuple[type[Gather]]:
    """The components of this plugin."""
    return (Gather,)
