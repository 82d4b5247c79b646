"""The token mixer for any wavelet, and with processed details: the transform in full."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from ssl3d.geometry import Triple
from ssl3d.sparse import FeatureMap, SparseVolume
from ssl3d_plugins.waveformer.attention import TokenAttention
from ssl3d_plugins.waveformer.boxes import boxes_of, like
from ssl3d_plugins.waveformer.details import DetailLayer
from ssl3d_plugins.waveformer.levels import block_of
from ssl3d_plugins.waveformer.names import is_haar
from ssl3d_plugins.waveformer.tokens import dense_tokens, tokens_of
from ssl3d_plugins.waveformer.wavelet.transform import decompose, reconstruct


class WaveletMixer(nn.Module):
    """`x + IDWT(attention(LLL), details(bands))` of norm(x).

    Attention reads and writes `LLL · 2^(-levels/2)`, which is the block mean for Haar; the low-pass
    filters of all wavelets of PyWavelets have the same gain. On a `SparseVolume` each cell is
    transformed by itself, which only Haar allows.

    Raises:
        ValueError: a longer filter on a `SparseVolume`.
    """

    def __init__(
        self,
        channels: int,
        *,
        levels: Triple,
        attention: TokenAttention,
        wavelet: str,
        details: DetailLayer | None,
    ) -> None:
        super().__init__()
        self.levels = levels
        self.wavelet = wavelet
        self.norm = nn.LayerNorm(channels)
        self.attention = attention
        self.details = details

    def forward(self, x: FeatureMap) -> FeatureMap:
        """Same shape as the input."""
        if isinstance(x, SparseVolume) and not is_haar(self.wavelet):
            raise ValueError(
                f"wavelet {self.wavelet!r} looks past a cell and would mix visible and hidden "
                "voxels; on a SparseVolume use haar, or give this backbone the dense volume"
            )
        boxes = boxes_of(x)
        normed: Tensor = self.norm(boxes)
        bands = decompose(normed.movedim(-1, 1), levels=self.levels, wavelet=self.wavelet)
        smooth = (bands.approximation * bands.scale).movedim(1, -1)
        if isinstance(x, SparseVolume):
            tokens = tokens_of(x, block=block_of(self.levels))
        else:  # longer filters leave more coefficients than blocks
            grid = (smooth.shape[1], smooth.shape[2], smooth.shape[3])
            tokens = dense_tokens(boxes, grid=grid)
        new = self.attention(smooth.flatten(0, 3), tokens).view(smooth.shape).movedim(-1, 1)
        bands = replace(bands, approximation=new / bands.scale)
        if self.details is not None:
            bands = self.details(bands, x)
        return like(x, boxes + reconstruct(bands).movedim(1, -1))
