"""The sparse backend `gather` and its options. No torch here: specs are validated with it."""

from typing import Literal

from ssl3d import hookimpl
from ssl3d.sparse.backend_config import SparseBackendConfig


class Gather(SparseBackendConfig):
    """Gathers the sites that meet at each place of a kernel, and multiplies them by its tap."""

    builds = "gather_backend.backend:GatherBackend"
    name: Literal["gather"] = "gather"


@hookimpl
def ssl3d_components() -> tuple[type[Gather]]:
    """The components of this plugin."""
    return (Gather,)
