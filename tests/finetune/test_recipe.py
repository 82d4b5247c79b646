"""Recipes against their formulas, written out."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import TypeAdapter, ValidationError

from ssl3d.tasks.finetune.recipe import Recipe, RecipeField

STEPS = 400


def poly(done: float) -> float:
    return (1 - done) ** 0.9


def plain(step: int, peak: float = 1.0) -> float:
    return peak * ((step + 1) / 20 if step < 20 else poly((step - 20) / 380))


def sawtooth(step: int, part: str) -> float:
    if step < 20:
        if part == "encoder":
            return 0.0
        return (step + 1) / 10 if step < 10 else poly((step - 10) / 10)
    step -= 20
    return (step + 1) / 20 if step < 20 else poly((step - 20) / 360)


WANTED = {
    ("plain", "encoder"): plain,
    ("plain", "decoder"): plain,
    ("scratch", "encoder"): plain,
    ("scratch", "decoder"): plain,
    ("frozen", "encoder"): lambda _: 0.0,
    ("frozen", "decoder"): plain,
    ("sawtooth", "encoder"): lambda step: sawtooth(step, "encoder"),
    ("sawtooth", "decoder"): lambda step: sawtooth(step, "decoder"),
}


@pytest.mark.parametrize(("name", "part"), WANTED)
def test_rates_are_those_of_the_formulas(name: str, part: str) -> None:
    recipe = Recipe(name=name)
    for step in range(STEPS):
        want = WANTED[name, part](step)
        assert recipe.rate(part, step=step, steps=STEPS) == pytest.approx(want, abs=1e-12)
        assert recipe.trains(part, step=step, steps=STEPS) == (want > 0)


def test_plain_and_scratch_are_one_course() -> None:
    for step in range(STEPS):
        one, other = (
            Recipe(name=name, peak=0.5).rate("encoder", step=step, steps=STEPS)
            for name in ("plain", "scratch")
        )
        assert one == other


def test_stages_near_the_input_go_slower() -> None:
    recipe = Recipe(layer_decay=0.5, encoder_rate=0.2, peak=1.0)
    rates = [recipe.rate("encoder", step=19, steps=STEPS, depth=depth) for depth in range(3)]
    assert rates == pytest.approx([0.2, 0.1, 0.05])
    assert recipe.rate("decoder", step=19, steps=STEPS) == 1


@pytest.mark.parametrize("name", ["plain", "sawtooth", "frozen", "scratch"])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_few_steps_have_a_rate_too(name: str, steps: int) -> None:
    recipe = Recipe(name=name)
    rates = [recipe.rate("decoder", step=step, steps=steps) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)


def test_no_torch() -> None:
    code = "import sys, ssl3d.tasks.finetune.recipe; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_name_stands_for_a_recipe() -> None:
    field = TypeAdapter(RecipeField)
    assert field.validate_python("sawtooth") == Recipe(name="sawtooth")
    assert field.validate_python({"name": "plain", "layer_decay": 0.5}).layer_decay == 0.5
    with pytest.raises(ValidationError, match="plain"):
        field.validate_python("sawtoth")
