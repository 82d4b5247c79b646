"""`info_nce` against a loop over queries, and which sites may be contrasted."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_outputs import make_output, random_levels, sparse_stages
from pydantic import ValidationError

from ssl3d.geometry import Stage
from ssl3d_plugins.losses import InfoNCE, info_nce_loss
from ssl3d_plugins.losses.sites import sample_sites

STAGES = (Stage((1, 2, 2), 3), Stage((2, 4, 2), 4), Stage((4, 4, 4), 5))
CELL = (4, 4, 4)
EVERY_SITE = 40


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def build(stages=STAGES, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return (
            InfoNCE(**{"width": 6, "samples": EVERY_SITE} | options).build(stages=stages).double()
        )


def with_stages(output, stages):
    return make_output(
        output.levels.levels,
        cell=output.cells.cell,
        channels=output.volume.shape[1],
        volume=output.volume,
        valid=output.valid,
        stages=stages,
    )


def example(
    *, seed=0, batch=2, grid=(1, 2, 2), channels=1, air=0.3, share_valid=0.9, stages=STAGES
):
    """A batch with sites of air and invalid voxels, and random features."""
    (level,) = random_levels(grid, batch=batch, seed=seed)
    shape = (batch, channels, *(g * c for g, c in zip(grid, CELL, strict=True)))
    volume = torch.rand(shape, generator=generator(seed), dtype=torch.float64)
    coarse = torch.rand((batch, 1, *(s // 4 for s in shape[2:])), generator=generator(seed)) < air
    flat = coarse.repeat_interleave(4, 2).repeat_interleave(4, 3).repeat_interleave(4, 4)
    valid = torch.rand((batch, *shape[2:]), generator=generator(seed)) < share_valid
    volume = torch.where(flat, 0.5, volume)
    output = make_output([level], cell=CELL, channels=channels, volume=volume, valid=valid)
    return with_stages(output, sparse_stages(output, stages, seed=seed))


def dense(stage_map):
    """(B, C, D, H, W) with NaN where hidden: a test that looks there sees it."""
    features = stage_map.features.detach()
    nan = torch.full((features.shape[-1],), float("nan"), dtype=features.dtype)
    return stage_map.cells.scatter(features, fill=nan)


def usable_sites(output, stride):
    """The visible sites with contrast, (sample, z, y, x), by a loop over voxels."""
    sz, sy, sx = stride
    cd, ch, cw = output.cells.cell
    batch, _, depth, height, width = output.volume.shape
    found = []
    for b in range(batch):
        for z in range(0, depth, sz):
            for y in range(0, height, sy):
                for x in range(0, width, sx):
                    if not output.cells.visible[b, z // cd, y // ch, x // cw]:
                        continue
                    box = (slice(z, z + sz), slice(y, y + sy), slice(x, x + sx))
                    inside = output.valid[(b, *box)]
                    variances = [
                        float(channel[box][inside].var(correction=0)) if inside.any() else 0.0
                        for channel in output.volume[b]
                    ]
                    if max(variances) > 1e-6:
                        found.append((b, z // sz, y // sy, x // sx))
    return found


def naive(loss, output):
    """Every usable site is sampled; loops over pairs, samples, queries and keys."""
    per_pair, top1_per_pair = [], []
    for i in range(len(loss.stages) - 1):
        fine, coarse = loss.stages[i], loss.stages[i + 1]
        fine_map, coarse_map = dense(output.stages[i]), dense(output.stages[i + 1])
        r = tuple(c // f for f, c in zip(fine.stride, coarse.stride, strict=True))
        query, key = {}, {}
        for b, z, y, x in usable_sites(output, coarse.stride):
            box = fine_map[
                b,
                :,
                z * r[0] : z * r[0] + r[0],
                y * r[1] : y * r[1] + r[1],
                x * r[2] : x * r[2] + r[2],
            ]
            q = loss.query_heads[i](box.mean((1, 2, 3))).detach()
            k = loss.key_heads[i](coarse_map[b, :, z, y, x]).detach()
            query[b, z, y, x], key[b, z, y, x] = q / q.norm(), k / k.norm()
        batch = range(len(output.volume))
        siblings = {b: [site for site in query if site[0] == b] for b in batch}
        siblings = {b: sites for b, sites in siblings.items() if len(sites) >= 2}
        everyone = [site for sites in siblings.values() for site in sites]
        sample_losses, sample_top1 = [], []
        for sites in siblings.values():
            pool = everyone if loss.config.negatives == "batch" else sites
            losses, hits = [], []
            for site in sites:
                sims = {o: float(query[site] @ key[o]) / loss.config.temperature for o in pool}
                negatives = [sims[o] for o in pool if o != site]
                total = math.exp(sims[site]) + sum(map(math.exp, negatives))
                losses.append(math.log(total) - sims[site])
                hits.append(sims[site] > max(negatives))
            sample_losses.append(sum(losses) / len(losses))
            sample_top1.append(sum(hits) / len(hits))
        n = max(len(sample_losses), 1)
        per_pair.append(sum(sample_losses) / n)
        top1_per_pair.append(sum(sample_top1) / n)
    return sum(per_pair) / len(per_pair), sum(top1_per_pair) / len(top1_per_pair)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(["volume", "batch"]),
    st.integers(1, 3),
    st.integers(1, 2),
    st.sampled_from([0.1, 0.7]),
    st.booleans(),
)
def test_equals_a_loop_over_queries(seed, negatives, batch, channels, temperature, as_tensors):
    output = example(seed=seed, batch=batch, channels=channels)
    loss = build(negatives=negatives, temperature=temperature)
    expected, top1 = naive(loss, output)
    if as_tensors:  # the encoder ran on zeroed volumes and gives dense maps
        output = with_stages(output, [dense(stage) for stage in output.stages])
    result = loss(output.step, generator=generator(seed))
    assert result["loss"].item() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert result["top1"].item() == pytest.approx(top1)
    assert not result["top1"].requires_grad


def count_pairs(output, samples):
    """How many sites each pair of stages samples, for a batch of one."""
    return [min(samples, len(usable_sites(output, stage.stride))) for stage in STAGES[1:]]


def identity(loss):
    """Heads that pass their input on; queries and keys are then what a test puts in."""
    loss.query_heads = torch.nn.ModuleList(torch.nn.Identity() for _ in loss.query_heads)
    loss.key_heads = torch.nn.ModuleList(torch.nn.Identity() for _ in loss.key_heads)
    return loss


def one_hot_output(*, grid=(1, 1, 3), negatives_point_to=None):
    """Stages whose sites all have directions of their own: cosine 1 to the positive, else 0."""
    hidden = torch.zeros(1, *grid, dtype=torch.bool)
    output = make_output([hidden], cell=(1, 1, 2))
    n = output.cells.n
    stages = (Stage((1, 1, 1), n), Stage((1, 1, 2), n))
    fine, coarse = sparse_stages(output, stages)
    directions = torch.eye(n, dtype=torch.float64)
    keys = directions if negatives_point_to is None else directions[negatives_point_to]
    maps = (
        fine.with_features(directions.repeat_interleave(2, 0)),
        coarse.with_features(keys),
    )
    return with_stages(output, maps), stages


@pytest.mark.parametrize("negatives", ["volume", "batch"])
def test_the_positive_is_counted_once_and_is_no_negative(negatives):
    """Cosines 1 and 0: -log of e^10 / (e^10 + 2), and e^10 / (2 e^10 + 2) if it were both."""
    output, stages = one_hot_output()
    loss = identity(build(stages, negatives=negatives))
    result = loss(output.step, generator=generator())
    assert result["loss"].item() == pytest.approx(math.log1p(2 * math.exp(-10)), rel=1e-9)
    assert result["top1"].item() == 1


def test_keys_at_other_sites_are_misses():
    output, stages = one_hot_output(negatives_point_to=[1, 2, 0])
    result = identity(build(stages))(output.step, generator=generator())
    assert result["loss"].item() == pytest.approx(10 + math.log1p(2 * math.exp(-10)), rel=1e-9)
    assert result["top1"].item() == 0


@pytest.mark.parametrize("negatives", ["volume", "batch"])
def test_features_that_are_all_alike_are_at_chance(negatives):
    output = example(batch=1, grid=(2, 2, 2), air=0, share_valid=1)
    alike = [stage.map(torch.ones_like) for stage in output.stages]
    samples = 5
    result = build(negatives=negatives, samples=samples)(
        with_stages(output, alike).step, generator=generator()
    )
    counts = count_pairs(output, samples)
    assert min(counts) >= 2
    chance = sum(map(math.log, counts)) / len(counts)
    assert result["loss"].item() == pytest.approx(chance)
    assert result["top1"].item() == 0


@pytest.mark.parametrize("negatives", ["volume", "batch"])
def test_air_invalid_and_hidden_sites_do_not_count(negatives):
    output = example(seed=5, batch=3, grid=(2, 2, 2))
    loss = build(negatives=negatives)
    loss(output.step, generator=generator())["loss"].backward()
    for i, stage in enumerate(STAGES[1:], start=1):
        stage_map = output.stages[i]
        grad = stage_map.cells.scatter(stage_map.features.grad)
        touched = {tuple(site) for site in grad.abs().sum(1).nonzero().tolist()}
        usable = usable_sites(output, stage.stride)
        several = {s for s in usable if sum(o[0] == s[0] for o in usable) >= 2}
        if i == len(STAGES) - 1:  # a key only
            assert touched == several
        else:  # also a query of the next pair
            assert several <= touched


def test_contrast_in_one_channel_is_enough():
    volume = torch.full((1, 2, 4, 4, 8), 0.5, dtype=torch.float64)
    volume[:, 1] = torch.rand((4, 4, 8), generator=generator(), dtype=torch.float64)
    hidden = torch.zeros(1, 1, 1, 2, dtype=torch.bool)
    output = make_output([hidden], cell=CELL, channels=2, volume=volume)
    output = with_stages(output, sparse_stages(output, STAGES))
    expected, _ = naive(build(), output)
    assert expected > 0
    assert build()(output.step, generator=generator())["loss"].item() == pytest.approx(expected)


@pytest.mark.parametrize("negatives", ["volume", "batch"])
@pytest.mark.parametrize("empty", ["air", "invalid", "hidden", "one site"])
def test_nothing_to_contrast_gives_zero_with_gradient(negatives, empty):
    hidden = torch.full((2, 1, 1, 2), empty == "hidden")
    volume = torch.full((2, 1, 4, 4, 8), 0.5, dtype=torch.float64)
    if empty == "one site":
        volume[0, 0, 0, 0, 0] = 1.0
    valid = torch.full((2, 4, 4, 8), empty != "invalid")
    output = make_output([hidden], cell=CELL, volume=volume, valid=valid)
    output = with_stages(output, sparse_stages(output, STAGES))
    loss = build(negatives=negatives)
    result = loss(output.step, generator=generator())
    result["loss"].backward()
    assert result["loss"].item() == 0
    assert result["top1"].item() == 0
    # Every parameter has a gradient: distributed training waits for all of them.
    assert all(parameter.grad is not None for parameter in loss.parameters())
    assert all((parameter.grad == 0).all() for parameter in loss.parameters())


def test_a_sample_without_usable_sites_changes_nothing():
    output = example(seed=1, batch=1, air=0)
    padded = make_output(
        [torch.cat([output.levels.levels[0]] * 2)],
        cell=CELL,
        volume=torch.cat([output.volume, torch.zeros_like(output.volume)]),
        valid=torch.cat([output.valid, output.valid]),
    )
    maps = [torch.cat([stage.features] * 2) for stage in output.stages]
    twice = [s.with_features(f) for s, f in zip(sparse_stages(padded, STAGES), maps, strict=True)]
    for negatives in ("volume", "batch"):
        loss = build(negatives=negatives)
        alone = loss(output.step, generator=generator())
        both = loss(with_stages(padded, twice).step, generator=generator())
        torch.testing.assert_close(alone["loss"], both["loss"])
        torch.testing.assert_close(alone["top1"], both["top1"])


def test_sampling_follows_the_generator_and_nothing_else():
    output = example(seed=2, grid=(2, 2, 2), air=0)
    loss = build(samples=4)
    before = torch.get_rng_state()
    first, again, other = (loss(output.step, generator=generator(s))["loss"] for s in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("negatives", ["volume", "batch"])
def test_it_always_has_its_number_of_samples(negatives):
    """Rows with fewer sites are filled up with what counts for nothing: shapes are static."""
    output = example(seed=3, batch=2, grid=(2, 2, 2))
    counts = [
        [sum(site[0] == b for site in usable_sites(output, stage.stride)) for b in range(2)]
        for stage in STAGES[1:]
    ]
    exact = max(map(max, counts))
    assert min(map(min, counts)) < exact, "rows are unequal"
    plain = build(negatives=negatives, samples=exact)(output.step, generator=generator())
    filled = build(negatives=negatives, samples=7 * exact)(output.step, generator=generator())
    assert filled["loss"].item() == pytest.approx(plain["loss"].item(), rel=1e-12)
    assert filled["top1"].item() == pytest.approx(plain["top1"].item(), rel=1e-12)


def test_no_more_are_compared_than_a_row_could_have(monkeypatch):
    """A coarse stage has few sites: filling up with hundreds costs time and changes nothing."""
    output, found = example(seed=3, batch=2, grid=(2, 2, 2)), []
    original = info_nce_loss.contrast
    monkeypatch.setattr(
        info_nce_loss,
        "contrast",
        lambda query, **options: (found.append(query.shape[1]), original(query, **options))[1],
    )
    build(samples=4096)(output.step, generator=generator())
    sizes = output.step.batch.views[0].volume.shape[2:]
    assert found == [
        math.prod(edge // step for edge, step in zip(sizes, stage.stride, strict=True))
        for stage in STAGES[1:]
    ]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 9), min_size=1, max_size=4))
def test_sampled_sites_are_different_and_usable(seed, counts):
    usable = torch.rand(sum(counts), generator=generator(seed)) < 0.6
    places, used = sample_sites(usable, counts=counts, samples=5, generator=generator(seed))
    assert places.shape == used.shape == (len(counts), 5)
    first = 0
    for count, row, own in zip(counts, places, used, strict=True):
        there = {first + i for i in usable[first : first + count].nonzero().flatten().tolist()}
        drawn = row[own].tolist()
        wanted = min(5, len(there)) if len(there) >= 2 else 0
        assert len(set(drawn)) == len(drawn) == wanted
        assert set(drawn) <= there
        assert (row[~own] == 0).all()
        first += count


def test_each_site_is_drawn_as_often():
    """Of 20 sites 5 are drawn 4000 times, from one generator."""
    source, usable = generator(), torch.ones(20, dtype=torch.bool)
    drawn = torch.zeros(20)
    for _ in range(4000):
        places, _ = sample_sites(usable, counts=[20], samples=5, generator=source)
        drawn[places] += 1
    # The standard deviation of each is √(4000 · 1/4 · 3/4) = 27.
    assert (drawn - 1000).abs().max() < 4 * 27.4


def test_gradients_flow_through_queries_and_keys():
    output = example(seed=1, batch=1, grid=(1, 2, 2), air=0)
    assert output.cells.n == 2
    features = [stage.features for stage in output.stages]
    loss = build()

    def value(*maps):
        stages = [s.with_features(f) for s, f in zip(output.stages, maps, strict=True)]
        return loss(with_stages(output, stages).step, generator=generator())["loss"]

    value(*features).backward()
    assert all((f.grad != 0).any() for f in features)
    assert torch.autograd.gradcheck(value, features)


def test_it_can_be_learnt():
    """The heads alone match a coarser stage that is a linear map of the finer one."""
    output = example(seed=0, grid=(2, 2, 2), air=0, batch=1, stages=STAGES[:2])
    fine = output.stages[0]
    boxes = fine.features.detach().reshape(fine.cells.n, 2, 2, 1, 2, 1, 2, 3)
    pooled = boxes.reshape(fine.cells.n, 2, 2, 1, 2, 2, 1, 3).mean((2, 4, 6))
    coarse = output.stages[1].with_features(torch.cat([pooled, pooled[..., :1]], -1))
    output = with_stages(output, (fine.map(torch.detach), coarse))
    loss = build(STAGES[:2], width=16)
    optimizer = torch.optim.Adam(loss.parameters(), lr=1e-2)
    history = []
    for _ in range(80):
        optimizer.zero_grad()
        result = loss(output.step, generator=generator())
        result["loss"].backward()
        optimizer.step()
        history.append((result["loss"].item(), result["top1"].item()))
    assert history[-1][0] < 0.5 * history[0][0]
    assert history[-1][1] > 0.9


def test_autocast_keeps_similarities_in_single_precision():
    output = example(seed=1, air=0)
    single = with_stages(output, [s.map(lambda f: f.detach().float()) for s in output.stages])
    loss = build().float()
    plain = loss(single.step, generator=generator())["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        mixed = loss(single.step, generator=generator())["loss"]
    assert mixed.dtype == torch.float32
    assert mixed.item() == pytest.approx(plain.item(), rel=0.05)


class TestErrors:
    def test_a_generator_is_needed(self):
        with pytest.raises(TypeError, match="generator"):
            build()(example().step)

    def test_one_stage_is_too_few(self):
        with pytest.raises(ValueError, match="the backbone has 1"):
            build(STAGES[:1])

    def test_strides_must_be_multiples(self):
        with pytest.raises(ValueError, match="must be a multiple"):
            build((Stage((2, 2, 2), 4), Stage((3, 4, 4), 4)))

    @pytest.mark.parametrize(
        ("option", "value"),
        [("temperature", 0), ("width", 0), ("samples", 1), ("between", "levels"), ("weight", -1)],
    )
    def test_options_out_of_range(self, option, value):
        with pytest.raises(ValidationError, match=option):
            InfoNCE(**{option: value})
