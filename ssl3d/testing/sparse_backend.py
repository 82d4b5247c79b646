"""A kit that any sparse backend's tests subclass.

class TestMine(SparseBackendConformance):
    config = Mine()
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest
import torch

from ssl3d.sparse.backend_config import SparseBackendConfig
from ssl3d.testing.kit import Kit
from ssl3d.testing.sparse_backend_checks import CHECKS
from ssl3d.testing.sparse_under_test import SparseBackendUnderTest


class SparseBackendConformance(Kit, checks=CHECKS):
    """What every sparse backend must do.

    Attributes:
        config: the backend under test.
        dtype: what it computes in; float32 for a library that has no float64, the default.
        tolerance: largest difference from the definition; see `SparseBackendUnderTest`.
        device: where it computes, a CPU by default.
        expected_failures: what is known not to work and why, by test name, kind of operation or
            case (as it stands in the test's id). Such a test must fail: passing is an error.
    """

    under_test = SparseBackendUnderTest
    config: ClassVar[SparseBackendConfig]
    dtype: ClassVar[torch.dtype]
    tolerance: ClassVar[float]
    device: ClassVar[str]
    expected_failures: ClassVar[Mapping[str, str]] = {}

    @pytest.fixture(autouse=True)
    def _expected_failure(self, request: pytest.FixtureRequest) -> None:
        node = request.node
        arguments = node.callspec.params["case"] if hasattr(node, "callspec") else {}
        tried = arguments.get("case")
        names = {node.originalname} | ({str(tried), tried.op.kind} if tried else set())
        for name in names & set(self.expected_failures):
            reason = self.expected_failures[name]
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
