"""Volumes that are normalised by their modality, and what is said of those that have none."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_batches import found

from ssl3d import ExperimentSpec, prepare_volume
from ssl3d.data.data_error import DataError, DataWarning
from ssl3d.data.disk_cache import DiskCache
from ssl3d.data.labelled.preparation import preparation
from ssl3d.data.labelled.spec import LabelledData
from ssl3d.data.preparation import prepare
from ssl3d.data.spec import DataSpec
from ssl3d.plugin.spec_error import SpecError
from ssl3d.tasks.pretrain.export import describe

HOW = {"CT": {"name": "ct_window", "lower": 0, "upper": 1000}, "MR": "zscore"}


@pytest.fixture
def folder(tmp_path: Path, write_nifti, noisy) -> Path:
    for name in ("CT_1", "CT_2", "MR_1", "PT_1"):
        write_nifti(f"set/{name}.nii", noisy((12, 12, 12)))
    return tmp_path


def spec_of(folder: Path, **options: Any) -> DataSpec:
    options = {"modality_by": "(CT|MR|PT)_", "normalise_by_modality": HOW, **options}
    return DataSpec(volumes=str(folder / "set"), patch=8, workers=0, holdout=0, **options)


def test_each_by_its_modality(folder: Path, noisy) -> None:
    spec = spec_of(folder)
    with pytest.warns(DataWarning, match=r"1 of 4 volumes are of PT, which .* \(percentile\)"):
        sources = {source.files[0].stem: source for source in found(spec).train_files}
    values = {name: prepare(source, spec=spec).values[0] for name, source in sources.items()}
    raw = noisy((12, 12, 12))
    assert np.allclose(values["CT_1"], np.clip(raw / 1000, 0, 1), atol=1e-6)
    bright = values["MR_1"][raw > 250]  # the foreground by Otsu's threshold
    assert bright.mean() == pytest.approx(0, abs=1e-4)
    assert bright.std() == pytest.approx(1, abs=1e-4)
    low, high = np.percentile(raw, (0.5, 99.5))
    assert np.allclose(values["PT_1"], np.clip((raw - low) / (high - low), 0, 1), atol=1e-5)
    paths = {DiskCache(spec_of(folder, **o)).path(sources["CT_1"]) for o in OTHERS}
    assert len(paths) == len(OTHERS), "each is kept apart in the cache"


OTHERS: tuple[dict[str, Any], ...] = (
    {},
    {"normalise_by_modality": {"CT": "zscore"}},
    {"normalise_by_modality": None},
)


def test_what_no_entry_is_of_is_said_or_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"has Ct, and the volumes .* CT \(2\), MR \(1\), PT \(1\)"):
        found(spec_of(folder, normalise_by_modality={"Ct": "zscore"}))
    with pytest.raises(DataError, match=r"modalities: an unknown one \(4\)"):
        found(spec_of(folder, modality_by=None))
    with pytest.warns(DataWarning, match="no volume is of US"):
        found(spec_of(folder, normalise_by_modality={**HOW, "PT": "percentile", "US": "zscore"}))
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        found(spec_of(folder, normalise_by_modality={**HOW, "PT": "percentile"}))


@pytest.mark.parametrize("missing", ["refuse", "allow"])
def test_a_sample_of_several_modalities_is_refused(
    tmp_path: Path, write_nifti, noisy, missing: str
) -> None:
    """Its channels would all be normalised by that of the first."""
    for name in ("a_CT", "a_MR", "b_CT", "b_MR"):
        write_nifti(f"set/{name}.nii", noisy((12, 12, 12)))
    if missing == "allow":
        (tmp_path / "set/b_CT.nii").unlink()
    channels = {kind: str(tmp_path / f"set/*_{kind}.nii") for kind in ("CT", "MR")}
    options = {"modality_by": "_(CT|MR)", "missing_channels": missing, "patch": 8, "workers": 0}
    spec = DataSpec(channels=channels, normalise_by_modality=HOW, holdout=0, **options)
    with pytest.raises(DataError, match=r"files of .*a_CT\.nii are of CT, MR, and a sample is"):
        found(spec)
    found(spec.model_copy(update={"normalise_by_modality": None}))


def test_an_encoder_says_how_and_asks_for_the_modality(folder: Path, noisy) -> None:
    spec = ExperimentSpec(data={**spec_of(folder).model_dump(), "patch": 96})
    about = describe(spec, step=1)
    path = folder / "set/CT_1.nii"
    with pytest.raises(ValueError, match=r"normalised by their modality \(CT, MR\): give modality"):
        prepare_volume(path, about)
    expected = np.clip(noisy((12, 12, 12)) / 1000, 0, 1)
    assert np.allclose(prepare_volume(path, about, modality="CT").volume[0], expected, atol=1e-6)
    default = prepare_volume(path, about, modality="").volume
    assert np.allclose(default, prepare_volume(path, about, modality="US").volume)
    assert not np.allclose(default[0], expected, atol=1e-2)
    ask = {"images": "x/*", "labels": "y/*"}
    own, said = preparation(
        LabelledData(**ask, modality="CT"), patch=(8,) * 3, encoder=about["input"]
    )
    assert (own.normalise.name, own.normalise_by_modality, said) == ("ct_window", None, [])
    own, said = preparation(LabelledData(**ask), patch=(8,) * 3, encoder=about["input"])
    assert own.normalise.name == "percentile"
    probe = {"images": "x/*", "labels": "y/*"}
    values = {**spec.to_dict(), "probe": probe}
    with pytest.raises(SpecError, match=r"probe\.modality: not given, and data\.normalise_by"):
        ExperimentSpec(**values)
    probed = ExperimentSpec(**{**values, "probe": {**probe, "modality": "CT"}})
    assert probed.probe.data(probed.data).normalise.name == "ct_window"
    table = DataSpec(manifest="m.csv", columns={"image": ["a", "b"]}, missing_channels="allow")
    assert probed.probe.data(table).channels == {"image": "x/*", "labels": "y/*"}
    assert "data.modality is not given, and the encoder's volumes were normalised by" in said[0]
