"""The contract of a decoder as tests, for ours and for anyone's.

class TestMine(DecoderConformance):
    config = MyDecoder(width=16)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest
import torch

from ssl3d.geometry import Stage
from ssl3d.kinds.decoder_config import DecoderConfig
from ssl3d.testing.decoder_checks import CHECKS, DecoderUnderTest


class DecoderConformance:
    """Subclass it in a test module and set `config`; `stages` too, for other feature maps."""

    config: ClassVar[DecoderConfig]
    stages: ClassVar[tuple[Stage, ...]] = DecoderUnderTest.stages

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test(self, check: Callable[[DecoderUnderTest], None]) -> None:
        """Each check by its name."""
        check(DecoderUnderTest(self.config, stages=self.stages))

    @pytest.fixture(autouse=True)
    def _own_random_state(self) -> Iterator[None]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            yield
