"""The decoder `wavelet`: its block against a naive version, what it refuses, and its sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn

from ssl3d import ExperimentSpec
from ssl3d.geometry import Stage, Triple
from ssl3d.plugin.spec_error import SpecError
from ssl3d_plugins.waveformer import WaveFormer, Wavelet
from ssl3d_plugins.waveformer.wavelet_decoder.attention import MapAttention
from ssl3d_plugins.waveformer.wavelet_decoder.block import WaveletAttentionDecoderBlock

pytestmark = pytest.mark.filterwarnings("ignore:data.patch")

DIM, HEADS = 12, 2


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def block(levels: Triple, wavelet: str, **options: Any) -> WaveletAttentionDecoderBlock:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = WaveletAttentionDecoderBlock(
            DIM, heads=HEADS, mlp_ratio=1.5, wavelet=wavelet, levels=levels, **options
        )
        for parameter in made.parameters():
            nn.init.normal_(parameter, std=0.3)
    return made.double()


def matrix(wavelet: str, length: int) -> tuple[Tensor, Tensor]:
    """(2m, length) and its inverse's (length, 2m): low and high band of a line, by PyWavelets."""
    forward = [
        torch.from_numpy(np.concatenate(pywt.dwt(unit, wavelet, mode="zero")))
        for unit in torch.eye(length, dtype=torch.float64).numpy()
    ]
    m = len(forward[0]) // 2
    back = []
    for unit in torch.eye(2 * m, dtype=torch.float64).numpy():
        line = pywt.idwt(unit[:m], unit[m:], wavelet, mode="zero")[:length]
        back.append(torch.from_numpy(line))
    return torch.stack(forward, 1), torch.stack(back, 1)


def along(x: Tensor, by: Tensor, *, axis: int) -> Tensor:
    return torch.tensordot(x, by, dims=([axis], [1])).movedim(-1, axis)


def analyse(x: Tensor, levels: Triple, wavelet: str) -> tuple[Tensor, list[Any]]:
    """The low band, and for each level what `synthesise` needs with the low band set to zero."""
    kept = []
    for depth in range(1, max(levels) + 1):
        axes = [axis + 2 for axis in range(3) if levels[axis] >= depth]
        shape = x.shape
        for axis in axes:
            x = along(x, matrix(wavelet, shape[axis])[0], axis=axis)
        low = tuple(slice(x.shape[a] // 2) if a in axes else slice(None) for a in range(x.dim()))
        rest = x.clone()
        rest[low] = 0
        kept.append((axes, shape, low, rest))
        x = x[low]
    return x, kept


def synthesise(low: Tensor, kept: list[Any], wavelet: str) -> Tensor:
    for axes, shape, where, rest in reversed(kept):
        whole = rest.clone()
        whole[where] = low
        for axis in axes:
            whole = along(whole, matrix(wavelet, shape[axis])[1], axis=axis)
        low = whole
    return low


def turned(v: Tensor, place: Tensor) -> Tensor:
    """Rotary positions of one head's vector: pairs as complex numbers, an axis after the other."""
    pairs = len(v) // 6
    numbers = torch.complex(v[: 3 * pairs], v[3 * pairs : 6 * pairs])
    steps = torch.arange(pairs, dtype=v.dtype)
    angles = torch.cat([float(along) * 100.0 ** (-steps / pairs) for along in place])
    numbers = numbers * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([numbers.real, numbers.imag, v[6 * pairs :]])


def attended(layer: MapAttention, x: Tensor, memory: Tensor) -> Tensor:
    """(d, h, w, C): head by head and query by query."""
    places = torch.cartesian_prod(*(torch.arange(edge) for edge in x.shape[:3])).view(-1, 3)
    q = layer.query(x.flatten(0, 2))
    k, v = layer.key_value(memory.flatten(0, 2)).chunk(2, -1)
    width, heads = DIM // HEADS, []
    for head in range(HEADS):
        part = slice(head * width, head * width + width)
        queries, keys = (
            [turned(row, place) for row, place in zip(rows[:, part], places, strict=True)]
            for rows in (q, k)
        )
        stacked = torch.stack(keys)
        weights = [(stacked @ query / width**0.5).softmax(0) for query in queries]
        heads.append(torch.stack([weight @ v[:, part] for weight in weights]))
    return layer.out(torch.cat(heads, 1)).view_as(x)


def naive(layer: WaveletAttentionDecoderBlock, x: Tensor, encoder: Tensor) -> Tensor:
    """The docstring's four lines, for each sample by itself."""
    gain = 2 ** (-sum(layer.levels) / 2)
    found = []
    for one, other in zip(x[:, None], encoder[:, None], strict=True):
        low = analyse(one, layer.levels, layer.wavelet)[0][0].movedim(0, -1) * gain
        seen, kept = analyse(other, layer.levels, layer.wavelet)
        normed = layer.norms[0](low)
        new = low + attended(layer.self_attention, normed, normed)
        memory = seen[0].movedim(0, -1) * gain
        new = new + attended(layer.cross_attention, layer.norms[1](new), memory)
        change = ((new - low) / gain).movedim(-1, 0)[None]
        y = (one + synthesise(change, kept, layer.wavelet)).movedim(1, -1)
        found.append((y + layer.mlp(layer.norms[2](y))).movedim(-1, 1))
    return torch.cat(found)


@pytest.mark.parametrize(
    ("levels", "wavelet", "size"),
    [
        ((1, 1, 1), "haar", (4, 2, 2)),
        ((2, 1, 0), "haar", (4, 2, 1)),
        ((0, 0, 0), "haar", (2, 1, 2)),
        ((1, 1, 1), "db2", (3, 1, 2)),
        ((0, 1, 2), "coif1", (1, 1, 3)),
        ((1, 0, 1), "bior2.2", (1, 2, 3)),
    ],
)
def test_the_block_is_its_formula(levels: Triple, wavelet: str, size: Triple) -> None:
    """Values and all gradients."""
    layer = block(levels, wavelet)
    x = noise(2, DIM, *size).requires_grad_()
    encoder = noise(2, DIM, *size, seed=1).requires_grad_()
    got, expected = layer(x, encoder), naive(layer, x, encoder)
    torch.testing.assert_close(got, expected)
    weights = noise(2, DIM, *size, seed=2)
    wanted = [x, encoder, *layer.parameters()]
    one, other = (torch.autograd.grad((y * weights).sum(), wanted) for y in (got, expected))
    torch.testing.assert_close(one, other)


def test_gradients_by_finite_differences() -> None:
    layer = block((1, 0, 1), "haar")
    inputs = tuple(noise(1, DIM, 2, 1, 2, seed=i).requires_grad_() for i in range(2))
    assert torch.autograd.gradcheck(layer, inputs, fast_mode=True)


def test_too_many_tokens_are_refused() -> None:
    layer = block((1, 1, 1), "haar", tokens=7)
    with pytest.raises(ValueError, match=r"over 2 × 2 × 2 tokens; allowed: 7 in all"):
        layer(noise(1, DIM, 4, 4, 4), noise(1, DIM, 4, 4, 4))
    layer(noise(1, DIM, 4, 4, 2), noise(1, DIM, 4, 4, 2))


def test_one_token_for_each_total_stride() -> None:
    stages = (Stage((1, 2, 2), 8), Stage((2, 4, 4), 8), Stage((2, 8, 8), 8))
    assert Wavelet().levels(stages) == ((0, 0, 0), (0, 1, 1), (1, 2, 2))
    assert Wavelet(head_stride=4).levels(stages) == ((0, 0, 0), (0, 1, 1))
    assert Wavelet(width=20).widths(stages) == (20, 10, 8)
    handed_on = WaveFormer(levels=((1, 0, 2), 2, 0, 0)).stages()
    assert Wavelet(details="handed_on").levels(handed_on)[::-1] == (
        (1, 0, 2),
        (2, 2, 2),
        (0, 0, 0),
        (0, 0, 0),
    )


@settings(max_examples=10, deadline=None)
@given(
    grid=st.tuples(*[st.integers(1, 3)] * 3).filter(lambda grid: max(grid) > 1),
    thick=st.booleans(),
    wavelet=st.sampled_from(["haar", "db2", "sym4"]),
    backbone=st.sampled_from(["waveformer", "resunet"]),
)
def test_any_size_and_thick_slices(grid: Triple, thick: bool, wavelet: str, backbone: str) -> None:
    first = (1, 2, 2) if thick else (2, 2, 2)
    options: dict[str, Any] = {"name": backbone, "widths": (8, 12)}
    if backbone == "waveformer":
        options |= {"depths": (1, 1), "heads": (1, 2), "patch": first}
    else:
        options |= {"blocks": (1, 1), "norm": "batch", "strides": (first, (2, 2, 2))}
    size = tuple(g * f * 2 for g, f in zip(grid, first, strict=True))
    spec = ExperimentSpec(
        backbone=options,
        decoder={"name": "wavelet", "wavelet": wavelet},
        data={"volumes": "a", "patch": size},
    )
    output = spec.build()(torch.rand(2, 1, *size), generator=torch.Generator().manual_seed(0))
    output.loss.backward()
    assert output.prediction is not None
    assert output.prediction.shape == (2, 1, *size)
    assert torch.isfinite(output.loss)


def refused(**parts: Any) -> list[tuple[str, str]]:
    with pytest.raises(SpecError) as caught:
        ExperimentSpec(data={"volumes": "a", "patch": 64}, **parts)
    return list(caught.value.problems)


def refused_by_nothing(**parts: Any) -> bool:
    spec = ExperimentSpec(data={"volumes": "a", "patch": 8}, **parts)
    output = spec.build()(torch.rand(2, 1, 8, 8, 8), generator=torch.Generator().manual_seed(0))
    return bool(torch.isfinite(output.loss))


def test_what_it_refuses() -> None:
    ((path, message),) = refused(
        backbone="resunet", decoder={"name": "wavelet", "details": "handed_on"}
    )
    assert path == "decoder.name"
    assert "waveformer" in message
    narrow = {"name": "resunet", "widths": (4, 8), "blocks": (1, 1)}
    ((path, message),) = refused(backbone=narrow, decoder="wavelet")
    assert path == "decoder.width"
    assert message.startswith("8, 4 channels at its scales, coarse to fine: attention has rotary")
    assert refused_by_nothing(backbone=narrow, decoder={"name": "wavelet", "width": 8})
    for options, words in (
        ({"wavelet": "db2", "details": "handed_on"}, "handed_on details are Haar's"),
        ({"wavelet": "dmey"}, "inverse transform is off"),
        ({"wavelet": "db"}, "unknown wavelet"),
    ):
        with pytest.raises(ValidationError, match=words):
            Wavelet(**options)
