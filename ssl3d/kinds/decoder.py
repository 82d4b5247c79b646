"""A decoder: what restores the volume."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from ssl3d.sparse import FeatureMap


class DecoderOutput(NamedTuple):
    """What a decoder makes of a batch.

    Attributes:
        features: (B, F, d, h, w), the finest dense map, hidden sites included.
        volume: (B, C, D, H, W), the restored volume, in units of the target; a downstream task has
            one channel here for each of its outputs.
        deep: the same at coarser scales, fine to coarse, where the decoder is supervised deeply.
    """

    features: Tensor
    volume: Tensor
    deep: tuple[Tensor, ...] = ()


class Decoder(nn.Module, ABC):
    """Restores a volume from the feature maps of what is visible.

    Attributes:
        heads: patterns of the names of parameters whose shapes follow from `out_channels`: another
            task has others.
        needs: of its config, which sets it.
    """

    heads: ClassVar[tuple[str, ...]] = ("head.*",)
    needs: frozenset[str] = frozenset()

    @abstractmethod
    def forward(self, stages: Sequence[FeatureMap]) -> DecoderOutput:
        """Feature maps of a backbone, fine to coarse, to dense features and the restored volume.

        Who needs `details` or the `volume` gets them as arguments of these names: `Details` of the
        backbone, and the volume that it was given. Both are of the kind of the feature maps: where
        cells are hidden, they are the visible cells and nothing else.
        """


def encoded(
    backbone: Callable[..., Any], volume: FeatureMap, *, decoder: Decoder | None
) -> tuple[tuple[FeatureMap, ...], dict[str, Any]]:
    """Feature maps of a volume, and what the decoder reads beside them, by name.

    Args:
        backbone: hands on details where the decoder needs them; validation sees to that. Or what
            calls it.
        volume: dense, or its visible cells.
        decoder: None where there is none.
    """
    needs = frozenset() if decoder is None else decoder.needs
    beside: dict[str, Any] = {"volume": volume} if "volume" in needs else {}
    if "details" not in needs:
        return backbone(volume), beside
    stages, details = backbone(volume, details=True)
    return stages, {**beside, "details": details}
