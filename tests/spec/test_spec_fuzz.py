"""Whatever is given becomes a valid spec or readable lines, in less than a second.

SSL3D_FUZZ=long searches for a quarter of an hour.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import fuzz
import pytest
import torch

from ssl3d import ExperimentSpec
from ssl3d.plugin.spec_error import SpecError
from ssl3d.plugin.spec_file import to_yaml

pytestmark = pytest.mark.filterwarnings("ignore:.*visible site")


def read(make: Callable[[], ExperimentSpec], *, seed: int) -> ExperimentSpec | None:
    """The spec, or None where readable lines were given in its place."""
    start = time.process_time()
    spec, lines = None, [""]
    try:
        spec = make()
    except SpecError as error:
        lines = str(error).split("\n")
        assert all(": " in line or line.startswith("and ") for line in lines), f"seed {seed}"
    except BaseException as error:
        raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
    assert time.process_time() - start < 5, f"seed {seed}"
    assert len(lines) <= 51, f"seed {seed}"
    assert all(len(line) < 1500 and line.isprintable() for line in lines), f"seed {seed}: {lines}"
    return spec


def amount(quick: int, long: int) -> range:
    """Seeds of a run; with SSL3D_FUZZ=long those of a search."""
    return range(long if os.environ.get("SSL3D_FUZZ") == "long" else quick)


def test_spoiled_specs_as_python_yaml_and_json() -> None:
    valid = 0
    seeds = amount(400, 12_000)
    for seed in seeds:
        values = fuzz.spoiled(Random(seed))
        specs = [
            read(lambda values=values: ExperimentSpec(**values), seed=seed),
            read(lambda values=values: ExperimentSpec.from_yaml(to_yaml(values)), seed=seed),
            read(lambda values=values: ExperimentSpec.from_json(json.dumps(values)), seed=seed),
        ]
        assert specs[0] == specs[2], f"seed {seed}"
        if specs[1] is not None:  # YAML holds no number of 400 digits
            assert specs[1] == specs[0], f"seed {seed}"
        if specs[0] is not None:
            valid += 1
            assert ExperimentSpec.from_yaml(specs[0].to_yaml()) == specs[0], f"seed {seed}"
            assert ExperimentSpec.from_json(specs[0].to_json()) == specs[0], f"seed {seed}"
    assert 0 < valid < len(seeds)


def test_what_only_python_can_say() -> None:
    base = ExperimentSpec(data={"volumes": "a"})
    seeds = amount(300, 12_000)
    for seed in seeds:
        random = Random(seed)
        values = fuzz.spoiled(random, objects=True)
        read(lambda values=values: ExperimentSpec(**values), seed=seed)
        path = ".".join(random.choice((*base.to_dict(), "name", "0", "1", "")) for _ in range(2))
        value = random.choice(fuzz.VALUES + fuzz.OBJECTS)
        read(lambda path=path, value=value: base.with_values({path: value}), seed=seed)


def test_garbled_texts(tmp_path: Path) -> None:
    seeds = amount(200, 6_000)
    for seed in seeds:
        random = Random(seed)
        values = fuzz.plausible(random)
        yaml = fuzz.garbled(random, to_yaml(values))
        read(lambda text=yaml: ExperimentSpec.from_yaml(text), seed=seed)
        plain = fuzz.garbled(random, json.dumps(values, indent=1))
        read(lambda text=plain: ExperimentSpec.from_json(text), seed=seed)
        path = tmp_path / "spec.yaml"
        path.write_bytes(
            bytes(random.choice((b"\xff\xfe", b"\xfe\xff", b"", b"\xc3"))) + yaml.encode()
        )
        read(lambda path=path: ExperimentSpec.load(path), seed=seed)


def test_plausible_specs_are_built_and_stepped() -> None:
    stepped = 0
    seeds = amount(12, 1_900)
    for seed in seeds:
        random = Random(seed)
        values = fuzz.plausible(random)
        spec = read(lambda values=values: ExperimentSpec(**values), seed=seed)
        if spec is None:
            continue
        stepped += 1
        with torch.random.fork_rng(devices=[]):
            model = spec.build()
            generator = torch.Generator().manual_seed(seed)
            shape = (2, spec.data.sample_channels, *model.views.extent)
            out = model(torch.rand(shape, generator=generator), generator=generator)
            out.loss.backward()
        assert torch.isfinite(out.loss), f"seed {seed}"
        for name, parameter in model.named_parameters():
            assert parameter.grad is None or parameter.grad.isfinite().all(), f"seed {seed}: {name}"
    assert stepped > len(seeds) / 2
