"""The source of a plugin with a sparse backend `fake` that does something wrong."""

from __future__ import annotations

import textwrap

SOURCE = """
import os, signal, sys, time
from typing import Literal

from ssl3d.sparse.backend_config import SparseBackendConfig
from ssl3d.plugin.hooks import hookimpl

class Fake(SparseBackendConfig):
    name: Literal["fake"] = "fake"

    def problems(self, op):
        slow = op.channels in ((4, 4), (256, 256)) and op.kernel == (3, 3, 3)
        slow = slow and op.stride == (1, 1, 1)
        return ["not for a test in a hurry"] if slow else op.problems()

    def build(self):
{build}
        from ssl3d_plugins.sparse_dense.backend import DenseBackend

        class Backend(DenseBackend):
            def conv3d(self, x, weight, bias=None, **options):
{conv3d}
                return super().conv3d(x, weight, bias, **options)

        return Backend(self)

@hookimpl
def ssl3d_components():
    return [Fake]
"""


def plugin_source(*, build: str = "pass", conv3d: str = "pass") -> str:
    """The plugin with statements at the start of `build` and of `conv3d`."""
    return SOURCE.format(
        build=textwrap.indent(build, " " * 8), conv3d=textwrap.indent(conv3d, " " * 16)
    )
