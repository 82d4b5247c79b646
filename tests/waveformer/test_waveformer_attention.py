"""Attention over the tokens of each sample, against a naive loop."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ssl3d_plugins.waveformer.attention import TokenAttention
from ssl3d_plugins.waveformer.positions import BASE, RelativeBias, rotate, turns
from ssl3d_plugins.waveformer.tokens import Tokens

HEADS, WIDTH = 2, 16


def tokens_like(counts: tuple[int, ...], *, reach: int = 12) -> Tokens:
    generator = torch.Generator().manual_seed(sum(counts))
    places = torch.randint(0, reach, (sum(counts), 3), generator=generator)
    return Tokens.by_sample(counts, places)


def layer(positions: str) -> TokenAttention:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        attention = TokenAttention(HEADS * WIDTH, heads=HEADS, positions=positions)  # type: ignore[arg-type]
        for parameter in attention.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return attention.double()


def rows_for(tokens: Tokens) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (len(tokens.coordinates), HEADS * WIDTH)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def turned(vector: Tensor, place: Tensor) -> Tensor:
    """Rotary positions of one head of 16 channels, pair by pair: 2 pairs for each axis."""
    vector = vector.clone()
    for axis in range(3):
        for step in range(2):
            i = 2 * axis + step
            angle = int(place[axis]) * BASE ** (-step / 2)
            a, b = float(vector[i]), float(vector[i + 6])
            vector[i] = a * math.cos(angle) - b * math.sin(angle)
            vector[i + 6] = b * math.cos(angle) + a * math.sin(angle)
    return vector


def naive(
    attention: TokenAttention,
    rows: Tensor,
    coordinates: Tensor,
    *,
    counts: tuple[int, ...],
    positions: str,
) -> Tensor:
    """One query and one key at a time."""
    results, start = [], 0
    for count in counts:
        own, places = rows[start : start + count], coordinates[start : start + count]
        start += count
        q, k, v = attention.qkv(own).chunk(3, 1)
        for i in range(count):
            heads = []
            for head in range(HEADS):
                part = slice(head * WIDTH, (head + 1) * WIDTH)
                logits = []
                for j in range(count):
                    query, key, bias = q[i, part], k[j, part], torch.zeros(())
                    if positions == "rope":
                        query, key = turned(query, places[i]), turned(key, places[j])
                    if attention.bias is not None:
                        z, y, x = ((places[i] - places[j]).clamp(-7, 7) + 7).tolist()
                        bias = attention.bias.bias[225 * z + 15 * y + x, head]
                    logits.append((query * key).sum() / WIDTH**0.5 + bias)
                heads.append(torch.stack(logits).softmax(0) @ v[:, part])
            results.append(attention.out(torch.cat(heads)))
    return torch.stack(results)


@pytest.mark.parametrize("positions", ["rope", "relative_bias", "none"])
@pytest.mark.parametrize("counts", [(3, 3), (4, 1, 0, 2)])
def test_it_equals_a_naive_loop(positions: str, counts: tuple[int, ...]) -> None:
    tokens, attention = tokens_like(counts), layer(positions)
    rows = rows_for(tokens)
    with torch.no_grad():
        expected = naive(attention, rows, tokens.coordinates, counts=counts, positions=positions)
        torch.testing.assert_close(attention(rows, tokens), expected)


@pytest.mark.parametrize("positions", ["rope", "relative_bias", "none"])
@pytest.mark.parametrize("counts", [(0, 3), (0,), (1,), (0, 0)])
def test_samples_without_tokens_make_no_nan(positions: str, counts: tuple[int, ...]) -> None:
    tokens, attention = tokens_like(counts), layer(positions)
    rows = rows_for(tokens).requires_grad_()
    result = attention(rows, tokens)
    assert result.shape == rows.shape
    result.square().sum().backward()
    for name, parameter in attention.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert torch.isfinite(rows.grad).all()  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(counts=st.lists(st.integers(0, 4), min_size=1, max_size=4))
def test_padding_keeps_each_token_in_its_sample(counts: list[int]) -> None:
    tokens = tokens_like(tuple(counts))
    samples = torch.repeat_interleave(torch.arange(1, len(counts) + 1), torch.tensor(counts))
    padded = tokens.pad(samples)
    assert torch.equal(tokens.unpad(padded), samples)
    assert padded.shape == (len(counts), max(1, *counts))
    for sample, row in enumerate(padded, start=1):
        assert row.tolist() == [sample] * counts[sample - 1] + [0] * int((row == 0).sum())
    seen = tokens.valid.sum(1).tolist()
    assert seen == [max(1, count) for count in counts]


def test_rotary_logits_depend_on_offsets_only() -> None:
    places = torch.randint(0, 9, (6, 3), generator=torch.Generator().manual_seed(0))
    q, k = torch.randn(2, 6, 22, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def logits(coordinates: Tensor) -> Tensor:
        by = turns(coordinates, channels=22, dtype=q.dtype)
        return rotate(q, by=by) @ rotate(k, by=by).t()

    here, moved = logits(places), logits(places + torch.tensor([5, 0, 11]))
    torch.testing.assert_close(here, moved)
    assert not torch.allclose(here, logits(places.flip(1)))


def test_rotary_positions_leave_the_first_place_and_spare_channels() -> None:
    x = torch.randn(4, 2, 16, generator=torch.Generator().manual_seed(0))
    x = x.transpose(0, 1)  # heads first, as turns broadcast
    still, other = (
        turns(torch.full((4, 3), place, dtype=torch.int32), channels=16, dtype=x.dtype)
        for place in (0, 3)
    )
    assert torch.equal(rotate(x, by=still), x)
    moved = rotate(x, by=other)
    assert torch.equal(moved[..., 12:], x[..., 12:])
    assert not torch.isclose(moved[..., :12], x[..., :12]).any()
    torch.testing.assert_close(moved.norm(dim=-1), x.norm(dim=-1))


def test_rotary_positions_are_products_of_complex_numbers() -> None:
    """Value and gradient against numbers a + ib that are multiplied by exp(i · angle)."""
    places = torch.randint(0, 9, (6, 3), generator=torch.Generator().manual_seed(1))
    x = torch.randn(6, 16, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    x.requires_grad_()
    lengths = torch.tensor([1.0, BASE**-0.5], dtype=torch.float64)
    angle = torch.einsum("ta,p->tap", places.double(), lengths).flatten(1)
    pairs = torch.complex(x[:, :6], x[:, 6:12]) * torch.polar(torch.ones_like(angle), angle)
    expected = torch.cat([pairs.real, pairs.imag, x[:, 12:]], 1)
    found = rotate(x, by=turns(places, channels=16, dtype=x.dtype))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)
    weights = torch.randn(6, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    gradients = [torch.autograd.grad((y * weights).sum(), x)[0] for y in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-14)


def test_the_bias_tells_every_offset_apart() -> None:
    grid = torch.cartesian_prod(*[torch.arange(8)] * 3)
    bias = RelativeBias(1)
    bias.bias.data = torch.arange(15.0**3).view(-1, 1)
    assert bias(Tokens(1, 512, grid)).unique().numel() == 15**3


def test_bfloat16() -> None:
    tokens = tokens_like((3, 1))
    for positions in ("rope", "relative_bias", "none"):
        attention = layer(positions)
        exact = attention(rows_for(tokens), tokens)
        half = attention.bfloat16()(rows_for(tokens).bfloat16(), tokens)
        assert half.dtype == torch.bfloat16
        torch.testing.assert_close(half.double(), exact, atol=0.3, rtol=0.1)
