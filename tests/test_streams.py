"""Random numbers: a pure function of what they are for, and none for two uses."""

from __future__ import annotations

import itertools

import torch

from ssl3d.streams import Seeds, Stream, derived_seed, generator, global_seed


def uses() -> dict[tuple, torch.Generator]:
    """Generators of every stream for small numbers, of samples and of batches."""
    found = {}
    for seed, stream in itertools.product(range(3), Stream):
        for length in range(3):
            for numbers in itertools.product(range(5), repeat=length):
                found[seed, stream, "plain", *numbers] = generator(seed, stream, *numbers)
        for a, b in itertools.product(range(5), repeat=2):
            seeds = Seeds(seed, sample=a, first=a, stream=stream)
            found[seed, stream, "sample", a, b] = seeds.of_sample(b)
            found[seed, stream, "batch", a, b] = seeds.of_batch(b)
    return found


def test_no_two_uses_share_numbers() -> None:
    found = uses()
    drawn = {name: tuple(torch.rand(4, generator=g).tolist()) for name, g in found.items()}
    assert len(drawn) == 3 * len(Stream) * (1 + 5 + 25 + 2 * 25)
    assert len({g.initial_seed() for g in found.values()}) == len(drawn)
    assert len(set(drawn.values())) == len(drawn)


def test_streams_have_numbers_of_their_own() -> None:
    assert len({int(stream) for stream in Stream}) == len(Stream.__members__)


def test_numbers_depend_on_what_is_named_alone() -> None:
    """What is of a sample does not know its batch, and the other way round."""

    def drawn(random: torch.Generator) -> list[float]:
        return torch.rand(3, generator=random).tolist()

    one, other = Seeds(5, sample=7, first=4), Seeds(5, sample=7, first=6)
    assert drawn(one.of_sample(2)) == drawn(other.of_sample(2))
    assert drawn(one.of_batch(2)) != drawn(other.of_batch(2))
    beside = Seeds(5, sample=6, first=4)
    assert drawn(one.of_batch(2)) == drawn(beside.of_batch(2))
    assert drawn(one.of_sample(2)) != drawn(beside.of_sample(2))
    # Each call begins anew.
    assert drawn(one.of_sample()) == drawn(one.of_sample())


def test_seeds_stay_what_they_were() -> None:
    """Runs that were begun go on with the numbers they had."""
    assert derived_seed(0) == 2334269327
    assert derived_seed(0, Stream.VIEWS, 1, 2) == 1413357710
    assert derived_seed(2**40, 3) < 2**32


def test_the_global_state_is_given_back() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with global_seed(0, Stream.LAYERS, 4, device=torch.device("cpu")):
        inside = torch.rand(2)
    assert torch.equal(torch.rand(2), expected)
    torch.manual_seed(derived_seed(0, Stream.LAYERS, 4))
    assert torch.equal(torch.rand(2), inside)
