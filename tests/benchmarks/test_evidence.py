"""Nothing final is chosen on or pre-trained on; page and results agree; numbers come again."""

from __future__ import annotations

import importlib
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EVIDENCE = ROOT / "benchmarks" / "evidence"
RESULTS = ROOT / "benchmarks" / "results" / "evidence"
SETS = ("left_atrium", "hippocampus")
SIDES = ("final", "inner", "pool")
SMALLEST = "smallest-all-flips"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Import a module of the benchmark by its name; forget all of them afterwards."""
    own = {file.stem for file in EVIDENCE.glob("*.py")}
    monkeypatch.syspath_prepend(EVIDENCE)
    for name in own & set(sys.modules):
        monkeypatch.delitem(sys.modules, name)
    yield importlib.import_module
    for name in own:
        sys.modules.pop(name, None)


def splits() -> dict[str, dict[str, dict[str, str]]]:
    found: dict[str, dict[str, dict[str, str]]] = json.loads(
        (EVIDENCE / "splits.json").read_text(encoding="utf-8")
    )
    return found


def results(of: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted((RESULTS / of).glob("*.json")):
        yield file.stem, json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("of", SETS)
def test_no_person_is_on_two_sides(of: str) -> None:
    sides = splits()[of]
    assert set(sides) == set(SIDES)
    for one, other in (("final", "inner"), ("final", "pool"), ("inner", "pool")):
        assert not set(sides[one].values()) & set(sides[other].values())
        assert not set(sides[one]) & set(sides[other])


def test_the_sides_have_the_sizes_that_the_page_says() -> None:
    found = splits()
    assert {side: len(found["left_atrium"][side]) for side in SIDES} == {
        "final": 16,
        "inner": 12,
        "pool": 52,
    }
    assert len(set(found["hippocampus"]["final"].values())) == 20


@pytest.mark.parametrize("of", SETS)
def test_results_are_of_their_sides_alone(of: str) -> None:
    """Encoders read the pool; choices are measured on all inner cases, and final ones apart."""
    sides = splits()[of]
    for name, result in results(of):
        if "read" in result:
            assert set(result["read"]) <= set(sides["pool"]), name
        else:
            assert set(result["inner"]) == set(sides["inner"]), name
            assert set(result.get("final", sides["final"])) == set(sides["final"]), name


def test_only_chosen_arms_were_measured_on_the_final_cases(load: Any) -> None:
    chosen = load("arms").CHOSEN
    for of in SETS:
        measured = {result["arm"] for _, result in results(of) if "final" in result}
        assert measured <= set(chosen[of])


@pytest.mark.parametrize("of", SETS)
def test_each_result_is_of_an_arm_and_says_what_made_it(of: str, load: Any) -> None:
    arms, settings = load("arms"), load("settings")
    every = (*arms.arms(), *arms.gpu_arms(), *arms.peers())
    known = {(arm.of, arm.name): arm for arm in every}
    for name, result in results(of):
        assert result["machine"]["torch"]
        assert result["machine"]["ssl3d"]
        if "read" in result:
            assert result["values"] == json.loads(
                json.dumps(settings.WEIGHTS[result["weights"]])
            ), name
            continue
        arm = known[of, result["arm"]]
        assert name == f"{arm.name}-s{result['seed']}"
        base = {
            "optimizer.lr": settings.RATE,
            "trainer.steps": settings.FINETUNE["trainer"]["steps"],
            "augment.flips": settings.FINETUNE["augment"]["flips"],
            **settings.OF_SET[of],
        }
        said = {**({} if arm in list(arms.peers()) else base), **arm.values}
        assert {key: result["values"][key] for key in said} == json.loads(json.dumps(said)), name
        assert result["steps"] == result["values"].get("trainer.steps", result["steps"]), name
        assert result["weights"] == arm.weights, name
        assert result.get("checkpoint") == arm.checkpoint, name
        assert result["seed"] in arm.seeds, name


def test_arms_differ_from_what_they_are_compared_with_in_one_thing(load: Any) -> None:
    """Network, encoder, recipe or one value."""
    arms, settings = load("arms"), load("settings")
    named = {(arm.of, arm.name): arm for arm in (*arms.arms(), *arms.gpu_arms())}
    base = {"optimizer.lr": settings.RATE, "trainer.steps": settings.FINETUNE["trainer"]["steps"]}

    def made_of(arm: Any) -> tuple[Any, Any, Any, dict[str, Any]]:
        values = {**base, **arm.values}
        encoder = {} if arm.weights is None else settings.WEIGHTS[arm.weights]
        network = values.pop("backbone", encoder.get("backbone", settings.NETWORK))
        learned = arm.weights not in (None, "random")
        weights = (arm.weights, arm.checkpoint) if learned else None
        return network, weights, arm.recipe or {}, values

    for arm in named.values():
        if arm.against is not None:
            other = named[arm.of, arm.against]
            apart = [one != its for one, its in zip(made_of(arm), made_of(other), strict=True)]
            assert sum(apart) == 1, (arm.name, other.name)


def test_page_and_results_agree(load: Any) -> None:
    page = load("page")
    assert page.PAGE.read_text(encoding="utf-8") == page.page()


def test_the_interval_of_a_constant_difference_is_that_difference(load: Any) -> None:
    compare = load("compare")
    cases = splits()["hippocampus"]["inner"]
    first = {seed: dict.fromkeys(cases, 0.5) for seed in range(3)}
    second = {seed: dict.fromkeys(cases, 0.53) for seed in range(1, 4)}
    found = compare.difference(first, second, of="hippocampus", side="inner")
    assert tuple(found)[:3] == pytest.approx((3.0, 3.0, 3.0))
    assert found.seeds == pytest.approx({1: 3.0, 2: 3.0})
    assert compare.difference(first, {9: second[1]}, of="hippocampus", side="inner") is None


def test_an_interval_is_that_of_seeds_where_persons_agree_and_of_persons_where_seeds_do(
    load: Any,
) -> None:
    """Against scipy's own interval of a mean."""
    compare, stats = load("compare"), pytest.importorskip("scipy.stats")
    persons = splits()["left_atrium"]["inner"]
    zero = {seed: dict.fromkeys(persons, 0.0) for seed in range(4)}
    by_seed = [0.01, 0.05, 0.02, 0.09]
    by_person = [0.01 * place**2 for place in range(len(persons))]
    for second, means in (
        ({seed: dict.fromkeys(persons, by_seed[seed]) for seed in range(4)}, by_seed),
        ({seed: dict(zip(persons, by_person, strict=True)) for seed in range(4)}, by_person),
    ):
        found = compare.difference(zero, second, of="left_atrium", side="inner")
        values = [100 * value for value in means]
        low, high = stats.t.interval(
            0.95, len(values) - 1, statistics.fmean(values), stats.sem(values)
        )
        assert (found.low, found.high) == pytest.approx((low, high))


def test_an_interval_of_seeds_and_persons_has_the_degrees_of_freedom_of_both(load: Any) -> None:
    """Two seeds and twelve persons, by hand."""
    compare = load("compare")
    persons = splits()["left_atrium"]["inner"]
    assert len(persons) == 12
    zero = {seed: dict.fromkeys(persons, 0.0) for seed in range(2)}
    # Seeds are at 1 and 3, half of the persons 1 above them and half 1 below.
    second = {
        seed: {name: (1 + 2 * seed + (-1) ** i) / 100 for i, name in enumerate(persons)}
        for seed in range(2)
    }
    found = compare.difference(zero, second, of="left_atrium", side="inner")
    of_seeds, of_persons = 2 / 2, (12 / 11) / 12
    freedom = (of_seeds + of_persons) ** 2 / (of_seeds**2 / 1 + of_persons**2 / 11)
    stats = pytest.importorskip("scipy.stats")
    half = stats.t.ppf(0.975, freedom) * (of_seeds + of_persons) ** 0.5
    assert (found.mean, found.high) == pytest.approx((2.0, 2.0 + half))


def test_an_interval_of_few_seeds_is_not_shown(load: Any) -> None:
    tables, compare = load("tables"), load("compare")
    apart = compare.Difference(1.0, 0.9, 1.1, {0: 0.9, 1: 1.1})
    assert tables.signed(apart) == "+1.0"
    assert tables.with_seeds(apart) == "+1.0 (2 seeds, too few for an interval)"
    apart = apart._replace(seeds={0: 0.9, 1: 1.1, 2: 1.0})
    assert tables.signed(apart) == "+1.0 (+0.9 to +1.1)"
    assert tables.with_seeds(apart) == "+1.0 (+0.9 to +1.1; 3 seeds)"


def test_figures_of_the_page_are_there(load: Any) -> None:
    shown = re.findall(r"\(\.\./(benchmarks/\S+\.png)\)", load("page").PAGE.read_text("utf-8"))
    assert shown
    assert {ROOT / one for one in shown} == {*RESULTS.glob("*.png")}


def test_arms_of_a_seed_learn_from_the_same_cases_and_start_from_one_encoder() -> None:
    learned: dict[Any, list[str]] = {}
    for of in SETS:
        found = dict(results(of))
        for name, result in found.items():
            if "learned" in result:
                subjects = result["values"].get("data.subjects", 5)
                key = of, subjects, result["seed"]
                assert learned.setdefault(key, result["learned"]) == result["learned"], name
                assert set(result["learned"]) <= set(splits()[of]["pool"]), name
            if result.get("encoder") is not None:
                assert result["encoder"] == found[f"pretrain-{result['weights']}"]["sha256"], name


def test_pre_trainings_differ_from_another_in_one_thing_beside_their_length(load: Any) -> None:
    weights = {
        name: {**values, "trainer.steps": None}
        for name, values in load("settings").WEIGHTS.items()
        if name not in ("random", "gpu")
    }
    for name, values in weights.items():
        others = [one for other, one in weights.items() if other != name]
        apart = [sum(values.get(k) != one.get(k) for k in {*values, *one}) for one in others]
        assert min(apart) <= 1, name


def test_an_arm_starts_from_its_encoder_and_from_no_other(load: Any, tmp_path: Path) -> None:
    arms, specs = load("compare").by_name("left_atrium"), load("specs")

    def start(name: str) -> Any:
        (tmp_path / "work").mkdir(exist_ok=True)
        arm, where = arms[name], {"data": tmp_path, "work": tmp_path / "work"}
        return specs.finetuning(arm, seed=1, also=specs.NOTHING, **where).encoder

    assert start("scratch") is None
    assert start("x5") == str(tmp_path / "work" / "pretrain-x5")
    within = Path(start("x5-seed1-zeroed-at2000"))
    assert within.is_relative_to(tmp_path / "work" / "pretrain-x5-seed1-zeroed")
    assert "2000" in within.name


def test_specs_have_what_their_arm_and_their_encoder_change(load: Any, tmp_path: Path) -> None:
    """To change it once more changes nothing."""
    specs, settings = load("specs"), load("settings")
    where = {"data": tmp_path, "work": tmp_path, "also": specs.NOTHING}
    for name, values in settings.WEIGHTS.items():
        spec = specs.pretraining(name, of="hippocampus", **where)
        assert spec.with_values(dict(values)) == spec, name
    for of in SETS:
        for name, arm in load("compare").by_name(of).items():
            spec = specs.finetuning(arm, seed=2, **where)
            own = {**settings.OF_SET[of], **arm.values, "recipe": arm.course}
            assert spec.with_values(own) == spec, name
            assert (spec.seed, spec.subset_seed) == (2, 2)


def test_a_zeroed_pre_training_of_equal_time_takes_that_time(load: Any) -> None:
    settings, kept = load("settings"), load("kept")
    each = kept.read(RESULTS / "times.json")["seconds"]
    visible = each["visible"] * settings.X5["trainer.steps"]
    assert settings.EQUAL_TIME * each["zeroed"] == pytest.approx(visible, rel=0.05)


def test_a_figure_needs_all_its_seeds_and_two_places_beside_0(load: Any, tmp_path: Path) -> None:
    figures, kept = load("figures"), load("kept")
    cases = dict.fromkeys(splits()["left_atrium"]["inner"], 0.5)

    def finish(name: str, seeds: Iterable[int]) -> None:
        for seed in seeds:
            kept.write(tmp_path / "left_atrium" / f"{name}-s{seed}.json", {"inner": cases})

    finish("scratch", range(3))
    finish("scratch-of-4", range(2))
    assert figures.drawn(tmp_path) == []
    finish("scratch-of-4", [2])
    assert figures.drawn(tmp_path) == ["labels.png"]


def test_the_readme_has_the_row_that_the_results_make(load: Any) -> None:
    row, readme = load("conclusions").README, (ROOT / "README.md").read_text(encoding="utf-8")
    assert row.format(**load("said").said(RESULTS)) in readme.splitlines()


def test_what_longer_fine_tuning_leaves_is_less_where_scratch_catches_up(
    load: Any, tmp_path: Path
) -> None:
    said, kept = load("said"), load("kept")
    dice = {"scratch": 0.6, "x5": 0.7, "scratch-1200": 0.8, "x5-1200": 0.84}
    for name, value in dice.items():
        for seed in range(3):
            final = dict.fromkeys(splits()["hippocampus"]["final"], value)
            kept.write(tmp_path / "hippocampus" / f"{name}-s{seed}.json", {"final": final})
    told = said._less("hippocampus", "-1200", results=tmp_path)
    assert told == "-6.0 (-6.0 to -6.0; 3 seeds)"


def test_the_picture_is_of_the_worst_cases(load: Any) -> None:
    compare, image = load("compare"), pytest.importorskip("PIL.Image")
    scored = compare.scores(compare.by_name("hippocampus")["scratch"], "final", results=RESULTS)
    with image.open(RESULTS / "worst.png") as picture:
        assert picture.text["Description"] == ", ".join(load("tables").worst(scored))


def test_probes_are_of_the_encoders_that_arms_start_from(load: Any) -> None:
    probes = load("kept").read(RESULTS / "probes.json")
    assert probes
    for name, probed in probes.items():
        of, weights = name.split("/")
        assert probed["sha256"] == load("compare").restored(of, weights, results=RESULTS)["sha256"]
        each = [one for method in probed["dice"].values() for one in method.values()]
        assert [[*map(int, seeds)] for seeds in each] == [[*load("arm").CONFIRMING]] * 4, name


def test_an_arm_that_is_being_run_is_passed_over(load: Any, tmp_path: Path) -> None:
    kept, lock = load("kept"), tmp_path / "arm-s0.lock"
    entered = []
    with kept.claimed(lock), pytest.raises(kept.Busy, match="arm-s0"), kept.claimed(lock):
        entered.append("while another had it")
    with kept.claimed(lock):
        entered.append("after it")
    assert entered == ["after it"]


def test_arms_are_run_in_the_order_of_the_patterns(load: Any) -> None:
    chosen = load("run").chosen
    names = [f"{arm.name}-s{seed}" for arm, seed in chosen([f"*/{SMALLEST}-s1", "*/smallest*"])]
    assert names == [f"{SMALLEST}-s{seed}" for seed in (1, 0, 2)]
    assert not [arm for arm, _ in chosen([]) if arm.name.startswith("gpu")]
    assert [arm.name for arm, _ in chosen(["left_atrium/gpu-scratch-s0"])] == ["gpu-scratch"]


def test_the_budget_counts_what_is_left_and_each_encoder_once(
    load: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    budget, kept, todo = (
        load("budget"),
        load("kept"),
        load("run").chosen(["*/x5-frozen-all-flips-s*"]),
    )
    arm = todo[0][0]
    budget.print_budget(todo, results=tmp_path)
    whole = 2 * 3 * budget.cost_of(arm) + 2 * budget.cost_of_weights("x5")
    assert f"{whole / 60:.1f} core minutes in all" in capsys.readouterr().out
    kept.write(tmp_path / arm.of / "pretrain-x5.json", {})
    kept.write(tmp_path / arm.of / f"{arm.name}-s0.json", {})
    budget.print_budget(todo, results=tmp_path)
    left = whole - budget.cost_of(arm) - budget.cost_of_weights("x5")
    assert f"{left / 60:.1f} core minutes in all" in capsys.readouterr().out


@pytest.mark.slow
def test_the_smallest_arm_comes_out_again(tmp_path: Path) -> None:
    """To 2 Dice points: its seeds lie 14 apart."""
    data = Path(os.environ.get("SSL3D_TEST_DATA", "nowhere"))
    if not (data / "hippocampus" / "images").is_dir():
        pytest.skip("SSL3D_TEST_DATA names no folder with hippocampus/images")
    arm = f"hippocampus/{SMALLEST}"
    command = [sys.executable, EVIDENCE / "run.py", "--data", data, "--work", tmp_path / "work"]
    command += ["--results", tmp_path / "results", "--only", f"{arm}-s0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, env=environment, check=True, capture_output=True)

    def mean(folder: Path, seed: int) -> float:
        result = json.loads((folder / f"{arm}-s{seed}.json").read_text(encoding="utf-8"))
        return statistics.fmean(result["inner"].values())

    assert mean(tmp_path / "results", 0) == pytest.approx(mean(RESULTS, 0), abs=0.02)
