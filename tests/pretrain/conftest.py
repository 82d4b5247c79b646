"""Tiny runs: a small wavelet transformer on synthetic volumes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from faulty import Disturbed

from ssl3d import ExperimentSpec, pretrain

BACKBONE = {"name": "waveformer", "widths": (8, 16), "depths": (1, 1), "heads": (1, 2)}

OFTEN = {"log_every": 1, "checkpoint_every": 2}
"""How runs of the suite of faults log and save."""


@pytest.fixture(scope="session")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of five smooth volumes of unequal sizes."""
    folder = tmp_path_factory.mktemp("volumes")
    rng = np.random.default_rng(0)
    for i in range(5):
        size = (18 + i, 16, 20)
        coarse = rng.normal(size=tuple(-(-edge // 4) for edge in size))
        fine = coarse.repeat(4, 0).repeat(4, 1).repeat(4, 2)[: size[0], : size[1], : size[2]]
        values = (100 * fine + 5 * rng.normal(size=size)).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), folder / f"case{i}.nii.gz")
    return folder


@pytest.fixture
def make_spec(volumes: Path, tmp_path: Path) -> Callable[..., ExperimentSpec]:
    """A function that gives a spec of a few steps, with parts replaced by keyword."""
    return maker(volumes, cache=tmp_path / "cache")


@pytest.fixture(scope="session")
def undisturbed(volumes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of the suite of faults that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    spec = maker(volumes, cache=folder / "cache")(trainer=OFTEN)
    assert pretrain(spec, out=folder / "run").finished
    return folder / "run"


def maker(volumes: Path, *, cache: Path) -> Callable[..., ExperimentSpec]:
    """See `make_spec`."""

    def make(*, data: Any = None, optimizer: Any = None, trainer: Any = None, **parts: Any) -> Any:
        options: dict[str, Any] = {"backbone": BACKBONE, "losses": ["mse"], **parts}
        return ExperimentSpec(
            data={
                "volumes": str(volumes),
                "patch": (16, 16, 16),
                "batch_size": 2,
                "workers": 0,
                "holdout": 0.2,
                "cache": {"folder": str(cache)},
                **(data or {}),
            },
            optimizer={"lr": 1e-2, **(optimizer or {})},
            trainer={
                "steps": 6,
                "accelerator": "cpu",
                "log_every": 2,
                "validate_every": 3,
                "checkpoint_every": 3,
                "pictures": 0,
                "loggers": (),
                **(trainer or {}),
            },
            **options,
        )

    return make


@pytest.fixture
def disturbed(
    volumes: Path,
    undisturbed: Path,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> Disturbed:
    """A run of the suite of faults that has not begun."""
    told: list[str] = []

    def tell(what: str) -> None:
        told.append(what)
        record_property("result", ", ".join(told))

    spec = maker(volumes, cache=tmp_path / "cache")(trainer=OFTEN)
    return Disturbed(spec, tmp_path / "run", undisturbed, tell)
