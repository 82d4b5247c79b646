from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl3d.data.sampler import ResumableSampler


def take(count: int, **options: int) -> list[tuple[int, int]]:
    return list(islice(ResumableSampler(**options), count))


@settings(max_examples=50, deadline=None)
@given(
    batch=st.integers(1, 5),
    world=st.integers(1, 4),
    start=st.integers(0, 99),
    steps=st.integers(1, 6),
)
def test_ranks_share_each_micro_batch(batch: int, world: int, start: int, steps: int) -> None:
    ranks = [
        take(batch * steps, batch_size=batch, rank=rank, world=world, start=start)
        for rank in range(world)
    ]
    for step in range(steps):
        together = [place for rank in ranks for place in rank[step * batch : (step + 1) * batch]]
        first = start + step * batch * world
        # Each with the first of the micro-batch of all ranks.
        assert together == [(index, first) for index in range(first, first + batch * world)]


@settings(max_examples=50, deadline=None)
@given(
    batch=st.integers(1, 5),
    world=st.integers(1, 4),
    done=st.integers(0, 20),
    rank=st.integers(0, 3),
)
def test_resuming_equals_never_stopping(batch: int, world: int, done: int, rank: int) -> None:
    rank %= world
    whole = take((done + 4) * batch, batch_size=batch, rank=rank, world=world)
    start = done * batch * world
    rest = take(4 * batch, batch_size=batch, rank=rank, world=world, start=start)
    assert rest == whole[done * batch :]


def test_arguments_out_of_range() -> None:
    good = {"batch_size": 1, "rank": 0, "world": 1, "start": 0}
    for name, value in (("batch_size", 0), ("rank", 1), ("rank", -1), ("world", 0), ("start", -1)):
        with pytest.raises(ValueError, match=f"{name} {value}"):
            ResumableSampler(**{**good, name: value})
