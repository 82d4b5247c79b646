"""One block of the decoder `wavelet`."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from ssl3d.geometry import Triple, product
from ssl3d_plugins.waveformer.initial import init_linear
from ssl3d_plugins.waveformer.wavelet import Bands, decompose, reconstruct
from ssl3d_plugins.waveformer.wavelet_decoder.attention import MapAttention


class WaveletAttentionDecoderBlock(nn.Module):
    """Self-attention and cross-attention on the low band, back with the encoder's details, MLP.

    With `low` for the low band as a block mean (see `WaveletMixer`), and `detail` for all others:

        a = low(x) + self_attention(norm(low(x)))
        b = a + cross_attention(norm(a), low(encoder_features))
        y = x + IDWT(b - low(x), detail(encoder_features))
        y + MLP(norm(y))

    The transform is linear, so y has the low band b, and the details of x and of the encoder
    together: where cells are hidden the encoder has none to give, and what x had stays.

    Args:
        dim: channels, C.
        heads: of both attentions; they divide C.
        mlp_ratio: hidden channels of the MLP for each channel.
        wavelet: a discrete wavelet of PyWavelets.
        levels: of each axis.
        tokens: the most sites of a low band.
    """

    def __init__(
        self,
        dim: int,
        *,
        heads: int,
        mlp_ratio: float = 4.0,
        wavelet: str = "haar",
        levels: Triple = (1, 1, 1),
        tokens: int = 4096,
    ) -> None:
        super().__init__()
        self.wavelet, self.levels, self.tokens = wavelet, levels, tokens
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))
        self.self_attention = MapAttention(dim, heads=heads)
        self.cross_attention = MapAttention(dim, heads=heads)
        hidden = max(1, round(dim * mlp_ratio))
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))
        self.mlp.apply(init_linear)

    def forward(
        self, x: Tensor, encoder_features: Tensor, *, details: tuple[Bands, ...] | None = None
    ) -> Tensor:
        """The map of the same shape, (B, C, D, H, W).

        Args:
            x: the decoder's map.
            encoder_features: the encoder's at the same stage, of the same shape.
            details: of each level, coarsest first, in place of those of `encoder_features`.

        Raises:
            ValueError: the low band has more sites than `tokens`.
        """
        own = decompose(x, levels=self.levels, wavelet=self.wavelet)
        seen = decompose(encoder_features, levels=self.levels, wavelet=self.wavelet)
        low, memory = ((bands.approximation * bands.scale).movedim(1, -1) for bands in (own, seen))
        self._check(low)
        normed = self.norms[0](low)
        new = low + self.self_attention(normed, memory=normed)
        new = new + self.cross_attention(self.norms[1](new), memory=memory)
        change = replace(
            seen,
            approximation=(new - low).movedim(-1, 1) / own.scale,
            details=seen.details if details is None else details,
        )
        y = (x + reconstruct(change)).movedim(1, -1)
        z: Tensor = y + self.mlp(self.norms[2](y))
        return z.movedim(-1, 1)

    def _check(self, low: Tensor) -> None:
        _, d, h, w, _ = low.shape
        if product((d, h, w)) > self.tokens:
            raise ValueError(
                f"the decoder wavelet would attend over {d} × {h} × {w} tokens; allowed: "
                f"{self.tokens} in all. Take a smaller patch, a backbone with a larger total "
                "stride or deeper levels, or a larger decoder.tokens"
            )
