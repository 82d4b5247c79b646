"""`mse` and `l1` against a loop over voxels, and what they must not look at."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_outputs import make_output, random_levels, several

from ssl3d.masked.target import restored_volume
from ssl3d_plugins.losses import L1, MSE

ERRORS = {"mse": lambda d: d * d, "l1": abs}
CONFIGS = {"mse": MSE(), "l1": L1()}
names = pytest.mark.parametrize("name", ["mse", "l1"])
grids = st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3))
cells = st.tuples(st.sampled_from([1, 2]), st.sampled_from([2, 4]), st.sampled_from([2, 3]))


def build(name):
    return CONFIGS[name].build(stages=())


def losses_of(name, output):
    return build(name)(output.step, generator=torch.Generator())


def mean(values):
    return sum(values) / len(values) if values else 0.0


def patch_error(error, prediction, volume, valid, normalised):
    """Mean error of one patch, or None where nothing counts; a plain loop over voxels."""
    errors = []
    for channel in range(volume.shape[0]):
        inside = [tuple(i) for i in np.argwhere(valid)]
        if not inside:
            continue
        values = [float(volume[channel][i]) for i in inside]
        middle = mean(values)
        variance = mean([(v - middle) ** 2 for v in values])
        if normalised and variance <= 1e-6:
            continue
        for i, value in zip(inside, values, strict=True):
            wanted = (value - middle) / math.sqrt(variance + 1e-6) if normalised else value
            errors.append(error(float(prediction[channel][i]) - wanted))
    return mean(errors) if errors else None


def naive(output, error, prediction=None):
    """Mean of each level over voxels, patches, samples, and the weighted mean of the levels."""
    prediction = output.prediction if prediction is None else prediction
    volume, valid = output.volume.numpy(), output.valid.numpy()
    cd, ch, cw = output.cells.cell
    levels = []
    for level in output.levels.levels:
        samples = []
        for b, sample in enumerate(level):
            patches = []
            for z, y, x in sample.nonzero().tolist():
                box = np.s_[z * cd : z * cd + cd, y * ch : y * ch + ch, x * cw : x * cw + cw]
                patches.append(
                    patch_error(
                        error,
                        prediction.detach().numpy()[b][(slice(None), *box)],
                        volume[b][(slice(None), *box)],
                        valid[b][box],
                        output.target == "patch_normalised",
                    )
                )
            counted = [p for p in patches if p is not None]
            if counted:
                samples.append(mean(counted))
        levels.append(mean(samples))
    weights = output.levels.weights
    total = sum(w * m for w, m in zip(weights, levels, strict=True)) / sum(weights)
    return total, levels


@st.composite
def outputs(draw):
    """Volumes with air, invalid voxels, empty levels and up to two channels."""
    grid, cell, seed = draw(grids), draw(cells), draw(st.integers(0, 10**6))
    channels, batch = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    levels = random_levels(grid, batch=batch, seed=seed, nested=draw(st.booleans()))
    shape = (batch, channels, *(g * c for g, c in zip(grid, cell, strict=True)))
    generator = torch.Generator().manual_seed(seed)
    volume = torch.rand(shape, generator=generator, dtype=torch.float64)
    volume[:, 0, ..., : cell[2]] = 0.25  # air in the first channel
    valid = torch.rand((batch, *shape[2:]), generator=generator) < draw(st.sampled_from([0.3, 1]))
    return make_output(
        levels,
        cell=cell,
        channels=channels,
        volume=volume,
        valid=valid,
        seed=seed,
        target=draw(st.sampled_from(["patch_normalised", "voxels"])),
        weights=(1.0, 0.25)[: len(levels)],
    )


@names
@settings(max_examples=40, deadline=None)
@given(output=outputs())
def test_equals_a_loop_over_voxels(name, output):
    losses = losses_of(name, output)
    total, levels = naive(output, ERRORS[name])
    assert losses["loss"].item() == pytest.approx(total, rel=1e-9, abs=1e-12)
    if len(levels) == 1:
        assert set(losses) == {"loss"}
    else:
        for i, level in enumerate(levels):
            assert losses[f"level{i}"].item() == pytest.approx(level, rel=1e-9, abs=1e-12)


@names
@settings(max_examples=25, deadline=None)
@given(output=outputs())
def test_the_trivial_loss_is_measured_on_the_same_patches(name, output):
    prediction = torch.zeros_like(output.prediction)
    if output.target == "voxels":
        shown = ~output.hidden[0] & output.valid
        for b, seen in enumerate(shown):
            for c in range(output.volume.shape[1]):
                values = output.volume[b, c][seen]
                prediction[b, c] = values.mean() if len(values) else 0.0
    expected, _ = naive(output, ERRORS[name], prediction)
    trivial = build(name).trivial(output.step)
    assert trivial["loss"].item() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert not trivial["loss"].requires_grad


@names
@settings(max_examples=20, deadline=None)
@given(first=outputs(), weights=st.tuples(st.floats(0.1, 3), st.floats(0.1, 3)))
def test_levels_of_views_are_averaged_by_their_weights(name, first, weights):
    """Each number of each, as `view0` and `.../view0`; and of the trivial prediction."""
    batch, (_, *grid) = len(first.volume), first.levels.levels[0].shape
    levels = random_levels(grid, batch=batch, seed=1)
    second = make_output(levels, cell=first.cells.cell, target=first.target)
    step, random = several([first, second], weights=weights), torch.Generator()
    expected = [naive(one, ERRORS[name]) for one in (first, second)]
    total = sum(w * e for w, (e, _) in zip(weights, expected, strict=True)) / sum(weights)
    found = build(name)(step, generator=random)
    assert found["loss"].item() == pytest.approx(total, rel=1e-9, abs=1e-12)
    names = {"loss", "view0", "view1"}
    for i, (own, parts) in enumerate(expected):
        assert found[f"view{i}"].item() == pytest.approx(own, rel=1e-9, abs=1e-12)
        if len(parts) > 1:
            names |= {f"level{j}/view{i}" for j in range(len(parts))}
            for j, part in enumerate(parts):
                assert found[f"level{j}/view{i}"].item() == pytest.approx(part, abs=1e-12)
    assert set(found) == names
    alone = [build(name).trivial(one.step)["loss"] for one in (first, second)]
    trivial = build(name).trivial(step)["loss"].item()
    mean = sum(w * float(a) for w, a in zip(weights, alone, strict=True)) / sum(weights)
    assert trivial == pytest.approx(mean, rel=1e-9, abs=1e-12)
    # A sample counts where any of its views does.
    either = [build(name).measurable(one.step) for one in (first, second)]
    assert torch.equal(build(name).measurable(step), either[0] | either[1])


def two_cells(prediction, **options):
    """Cells of two voxels: (0, 1) hidden, (0, 0) shown."""
    hidden = torch.tensor([True, False]).view(1, 1, 1, 2)
    volume = torch.tensor([0.0, 2.0, 0.0, 0.0], dtype=torch.float64).view(1, 1, 1, 1, 4)
    prediction = torch.tensor(prediction, dtype=torch.float64).view(1, 1, 1, 1, 4)
    return make_output([hidden], cell=(1, 1, 2), volume=volume, prediction=prediction, **options)


def test_an_example_by_hand():
    # mean 1, variance 1: the target is (-1, 1) up to the 1e-6 under the root.
    output = two_cells([0.0, 3.0, 9.0, 9.0])
    scale = 1 / math.sqrt(1 + 1e-6)
    assert losses_of("mse", output)["loss"].item() == pytest.approx(
        (scale**2 + (3 - scale) ** 2) / 2, rel=1e-12
    )
    assert losses_of("l1", output)["loss"].item() == pytest.approx(
        (scale + 3 - scale) / 2, rel=1e-12
    )
    raw = two_cells([0.0, 3.0, 9.0, 9.0], target="voxels")
    assert losses_of("mse", raw)["loss"].item() == pytest.approx((0 + 1) / 2)
    assert build("mse").trivial(raw.step)["loss"].item() == pytest.approx((0 + 4) / 2)


@names
def test_levels_are_taken_apart_and_weighted(name):
    outer = torch.tensor([1, 1, 1, 1, 0], dtype=torch.bool).view(1, 1, 1, 5)
    inner = torch.tensor([1, 0, 0, 0, 0], dtype=torch.bool).view(1, 1, 1, 5)
    output = make_output([outer, inner], weights=(1.0, 3.0))
    both = losses_of(name, output)
    alone = [losses_of(name, make_output([level]))["loss"].item() for level in (outer, inner)]
    assert both["level0"].item() == pytest.approx(alone[0])
    assert both["level1"].item() == pytest.approx(alone[1])
    assert both["loss"].item() == pytest.approx((alone[0] + 3 * alone[1]) / 4)
    assert alone[0] != pytest.approx(alone[1])
    assert not both["level0"].requires_grad


@names
@pytest.mark.parametrize("target", ["patch_normalised", "voxels"])
def test_all_valid_and_no_padding_are_the_same_to_the_last_bit(name, target):
    """Also a row beside one with padding: what a crop gives does not depend on its batch."""
    levels = random_levels((2, 2, 3), batch=2, seed=4, nested=True)
    padded = torch.ones(2, 6, 6, 9, dtype=torch.bool)
    padded[1, :, :, 5:] = False
    found = []
    for valid in (None, torch.ones_like(padded), padded):
        output = make_output(
            levels, cell=(3, 3, 3), channels=2, valid=valid, target=target, dtype=torch.float32
        )
        patches, row = output.step.views[0].patches, levels[0].flatten().nonzero().flatten() < 12
        losses = losses_of(name, output) | build(name).trivial(output.step)
        found.append((losses, patches.target[row], restored_volume(output.step.views[0])[0]))
    (none, target_none, volume_none), (ones, *same), (_, *mixed) = found
    assert all(torch.equal(none[key], ones[key]) for key in none)
    for one in (same, mixed):
        assert torch.equal(one[0], target_none)
        assert torch.equal(one[1], volume_none)


@names
@pytest.mark.parametrize("target", ["patch_normalised", "voxels"])
@pytest.mark.parametrize("poison", [float("nan"), float("inf"), 1e30])
def test_what_is_not_hidden_and_valid_does_not_count(name, target, poison):
    (hidden,) = random_levels((2, 2, 3), batch=2, seed=4)
    valid = torch.rand((2, 4, 4, 6), generator=torch.Generator().manual_seed(1)) < 0.7
    clean = make_output([hidden], valid=valid, target=target)
    counted = clean.hidden[0] & valid
    results = []
    for prediction in (
        clean.prediction.clone(),
        torch.where(counted[:, None], clean.prediction, poison),
    ):
        prediction.requires_grad_()
        output = make_output([hidden], valid=valid, target=target, prediction=prediction)
        loss = losses_of(name, output)["loss"]
        loss.backward()
        results.append((loss.detach(), prediction.grad))
    (loss, grad), (poisoned_loss, poisoned_grad) = results
    assert torch.equal(loss, poisoned_loss)
    assert torch.equal(grad, poisoned_grad)
    assert (grad[~counted[:, None]] == 0).all()
    assert (grad[counted[:, None]] != 0).all()


@names
def test_patches_of_air_are_no_targets(name):
    hidden = torch.ones(1, 1, 1, 3, dtype=torch.bool)
    volume = torch.rand((1, 1, 2, 2, 6), generator=torch.Generator().manual_seed(0))
    # A large constant in single precision, whose naive variance is rounding error above 1e-6.
    volume[..., 2:4] = 31234.567
    prediction = torch.randn((1, 1, 2, 2, 6), requires_grad=True)
    output = make_output([hidden], volume=volume, prediction=prediction)
    losses_of(name, output)["loss"].backward()
    assert (prediction.grad[..., 2:4] == 0).all()
    assert (prediction.grad[..., :2] != 0).all()


@names
@pytest.mark.parametrize("empty", ["nothing hidden", "all air", "nothing valid"])
def test_an_empty_level_gives_zero_with_gradient(name, empty):
    hidden = torch.full((2, 1, 1, 2), empty != "nothing hidden")
    shape = (2, 1, 2, 2, 4)
    prediction = torch.full(shape, float("nan"), requires_grad=True)
    output = make_output(
        [hidden, hidden],
        volume=torch.full(shape, 0.5),
        valid=torch.full((2, 2, 2, 4), empty != "nothing valid"),
        prediction=prediction,
    )
    losses = losses_of(name, output)
    losses["loss"].backward()
    assert all(value.item() == 0 for value in losses.values())
    assert (prediction.grad == 0).all()
    assert build(name).trivial(output.step)["loss"].item() == 0


def test_the_trivial_loss_of_normalised_patches_is_about_one():
    output = make_output(random_levels((3, 3, 3), batch=2, seed=0), cell=(4, 4, 4))
    assert build("mse").trivial(output.step)["loss"].item() == pytest.approx(1.0, abs=1e-3)


@names
@pytest.mark.parametrize("target", ["patch_normalised", "voxels"])
def test_the_target_has_no_gradient(name, target):
    volume = torch.rand((1, 1, 2, 2, 4), dtype=torch.float64, generator=torch.Generator())
    volume.requires_grad_()
    hidden = torch.ones(1, 1, 1, 2, dtype=torch.bool)
    loss = losses_of(name, make_output([hidden], volume=volume, target=target))["loss"]
    assert not loss.requires_grad


@names
def test_gradients(name):
    levels = random_levels((1, 2, 2), batch=2, seed=3, nested=True)
    valid = torch.rand((2, 2, 4, 4), generator=torch.Generator().manual_seed(1)) < 0.8

    def loss(prediction):
        return losses_of(name, make_output(levels, valid=valid, prediction=prediction))["loss"]

    prediction = make_output(levels).prediction.requires_grad_()
    assert torch.autograd.gradcheck(loss, (prediction,))


@names
def test_half_precision_predictions_are_scored_in_single(name):
    levels = random_levels((2, 2, 2), batch=2, seed=0)
    output = make_output(levels, dtype=torch.float32)
    half = make_output(levels, volume=output.volume, prediction=output.prediction.bfloat16())
    loss = losses_of(name, half)["loss"]
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(losses_of(name, output)["loss"].item(), rel=1e-2)


@settings(max_examples=25, deadline=None)
@given(output=outputs())
def test_a_perfect_prediction_restores_the_volume(output):
    """The prediction that has no loss gives the volume back, patches of air aside."""
    cd, ch, cw = output.cells.cell
    perfect = torch.zeros_like(output.volume)
    for b, z, y, x in output.levels.levels[0].nonzero().tolist():
        box = np.s_[b, :, z * cd : z * cd + cd, y * ch : y * ch + ch, x * cw : x * cw + cw]
        inside = output.valid[(b, *box[2:])]
        for values, wanted in zip(output.volume[box], perfect[box], strict=True):
            if not inside.any():
                continue
            some = values[inside]
            deviation = (some.var(correction=0) + 1e-6).sqrt()
            normalised = output.target == "patch_normalised"
            wanted.copy_((values - some.mean()) / deviation if normalised else values)
    output = make_output(
        output.levels.levels,
        cell=(cd, ch, cw),
        channels=output.volume.shape[1],
        volume=output.volume,
        valid=output.valid,
        prediction=perfect,
        target=output.target,
    )
    assert losses_of("mse", output)["loss"].item() == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(restored_volume(output.step.views[0]), output.volume)


def test_the_restored_volume_shows_what_was_visible_and_the_prediction():
    output = two_cells([-1.0, 2.0, 9.0, 9.0])
    scale = math.sqrt(1 + 1e-6)
    expected = torch.tensor([1 - scale, 1 + 2 * scale, 0, 0], dtype=torch.float64)
    torch.testing.assert_close(restored_volume(output.step.views[0]).flatten(), expected)
    raw = two_cells([-1.0, 2.0, 9.0, 9.0], target="voxels")
    assert restored_volume(raw.step.views[0]).flatten().tolist() == [-1.0, 2.0, 0.0, 0.0]
