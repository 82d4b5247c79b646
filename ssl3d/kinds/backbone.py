"""A backbone: what is pre-trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ssl3d.geometry import Stage, Triple
from ssl3d.sparse import FeatureMap, check_volume
from ssl3d.weights import TransferReport, transfer

Details = tuple[tuple[FeatureMap, ...], ...]
"""Wavelet details of each stage: for each level, fine to coarse, its sub-bands as one feature map.

Channels are those of the first sub-band, then of the next, in the order of their names: `aad` (a
detail along x), `ada`, `add`, ...; an axis that is not transformed at this level is always `a`.
"""


class Backbone(nn.Module, ABC):
    """An encoder that takes a dense volume or the visible part of one.

    Before each call the volume is compared with what the encoder can take, and what does not fit
    is a ValueError that says so.

    Attributes:
        stages: stride and channels of each feature map, fine to coarse.
        in_channels: of the volume; None, where a module does not say it: not compared.
    """

    stages: tuple[Stage, ...]
    in_channels: int | None = None

    def __init__(self) -> None:
        super().__init__()
        self.register_forward_pre_hook(_check_input, with_kwargs=True)

    @property
    def divisor(self) -> Triple:
        """What the edges of a volume, and of a cell, must be multiples of, in voxels."""
        return self.stages[-1].stride

    @abstractmethod
    def forward(self, volume: FeatureMap) -> tuple[FeatureMap, ...]:
        """One feature map per stage, fine to coarse, of the kind that was given.

        Where `stages` have `details`, it also takes `details=True`, and then returns a pair: the
        feature maps as ever, and the `Details` of each stage.
        """

    def load_weights(self, weights: Mapping[str, Tensor]) -> TransferReport:
        """Fill every parameter and buffer from named tensors: a warm start.

        A backbone may also know the names of another project, and override this.

        Raises:
            ValueError: a tensor does not fit, is missing or left over; names them all.
        """
        return transfer(weights, self)


def _check_input(backbone: Backbone, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    """What is wrong with a backbone's argument, before it is called."""
    for volume in args[:1] or tuple(named.values())[:1]:
        check_volume(volume, channels=backbone.in_channels, multiple=backbone.divisor)
        if isinstance(volume, Tensor):
            _check_precision(backbone, volume)


def _check_precision(backbone: Backbone, volume: Tensor) -> None:
    own = next((p.dtype for p in backbone.parameters() if p.is_floating_point()), volume.dtype)
    # In mixed precision torch casts by itself.
    if volume.dtype != own and not torch.is_autocast_enabled(volume.device.type):
        raise ValueError(
            f"volume is of {volume.dtype}; this encoder computes in {own}: volume.to({own})"
        )
