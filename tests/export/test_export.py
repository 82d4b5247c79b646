"""What every export is: written, read back, compared, and described by a card."""

from __future__ import annotations

import copy
import hashlib
import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch
from exported import RESUNET, encoder_of
from pydantic import Field

import ssl3d
from ssl3d.cli import main
from ssl3d.kinds.export_config import ExportConfig, Written
from ssl3d.tasks.export import ways_of
from ssl3d_plugins.resunet import ResUNet
from ssl3d_plugins.waveformer import WaveFormer

SMALL = {"name": "waveformer", "widths": (8, 16), "depths": (1, 1), "heads": (1, 2)}


def test_an_encoder_in_a_folder_of_its_own(tmp_path: Path) -> None:
    run = encoder_of(SMALL, out=tmp_path / "run", spacing=(2.0, 1.0, 1.0))
    done = ssl3d.export(run, to="encoder", out=tmp_path / "away")
    assert done.files == ("encoder.json", "encoder.safetensors")
    (run / "encoder.safetensors").unlink()
    (run / "encoder.json").unlink()
    card = json.loads((done.out / "card.json").read_text())
    assert card == done.card
    for name in done.files:
        assert card["files"][name] == hashlib.sha256((done.out / name).read_bytes()).hexdigest()
    assert card["to"] == {"name": "encoder"}
    assert card["encoder"]["input"]["spacing"] == [2.0, 1.0, 1.0]
    assert card["encoder"]["trained"]["steps"] == 5
    assert card["compared"]["differences"] == [0.0, 0.0]
    assert ssl3d.load_encoder(done.out).stages
    assert sorted(p.name for p in tmp_path.iterdir()) == ["away", "run"]


def test_the_program_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = encoder_of(RESUNET, out=tmp_path / "run")
    with pytest.raises(SystemExit) as left:
        main(["export", str(run), "--to", "encoder"])
    assert not left.value.code
    said = capsys.readouterr().out
    assert (run / "exports" / "encoder" / "card.json").is_file()
    assert "all feature maps agree" in said
    assert "This backbone also goes to: nnunet, nnssl" in said
    with pytest.raises(SystemExit) as left:
        main(["export", str(run), "--to", "encoder"])
    assert left.value.code == 2
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("to", "options", "message"),
    [
        ("nnunt", {}, r"a 'resunet' encoder has no export 'nnunt'\. Did you mean 'nnunet'\?"),
        ("monai", {}, "Allowed: encoder, nnunet, nnssl"),
        ("nnunet", {}, "plans: missing"),
        ("nnssl", {"plans": "a"}, "plans: unknown option"),
        ("nnunet", {"plans": "nowhere.json"}, r"plans: nowhere\.json cannot be read"),
    ],
)
def test_refused(tmp_path: Path, to: str, options: dict[str, str], message: str) -> None:
    run = encoder_of(RESUNET, out=tmp_path / "run")
    with pytest.raises(ValueError, match=message):
        ssl3d.export(run, to=to, out=tmp_path / "away", **options)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run"]


def test_a_folder_without_an_encoder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no encoder"):
        ssl3d.export(tmp_path, to="encoder")


class ToScripts(ExportConfig):
    """A stranger's way out."""

    builds = f"{__name__}:write_script"
    name: Literal["script"] = "script"
    factor: float = Field(default=1.0, gt=0)
    fault: str = ""


class Strange(WaveFormer):
    """A stranger's backbone that offers it."""

    exports: ClassVar[tuple[type[ExportConfig], ...]] = (ToScripts,)


def write_script(config: ToScripts, *, encoder: Any, out: Path, **_rest: Any) -> Written:
    with torch.no_grad():
        weights = {name: config.factor * value for name, value in encoder.state_dict().items()}
    if config.fault == "no file":
        return Written(copy.deepcopy(encoder))
    torch.save(weights, out / "weights.pth")
    if config.fault == "not read back":
        return Written(encoder)
    if config.fault == "not even that":
        return None  # type: ignore[return-value]
    again = WaveFormer(**SMALL).build(in_channels=1).eval()
    again.load_state_dict(torch.load(out / "weights.pth", weights_only=True))
    return Written(again, card={"kind": "script"}, notes=("Mind the gap",))


@pytest.fixture
def strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    run = encoder_of(SMALL, out=tmp_path / "run")
    monkeypatch.setattr("ssl3d.tasks.export.backbone_of", lambda _about: Strange(**SMALL))
    return run


def test_a_strangers_backbone_brings_a_way_of_its_own(strangers: Path) -> None:
    done = ssl3d.export(strangers, to="script")
    assert done.card["kind"] == "script"
    assert done.card["notes"] == ["Mind the gap"]
    assert done.card["to"] == {"name": "script", "factor": 1.0, "fault": ""}


def test_what_computes_something_else_is_not_left(strangers: Path) -> None:
    with pytest.raises(ValueError, match="does not compute what the encoder computes"):
        ssl3d.export(strangers, to="script", factor=1.5)
    assert list((strangers / "exports").iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("no file", "'script' of test_export writes no file"),
        ("not read back", "'script' of test_export compares the encoder with itself"),
        ("not even that", "'script' of test_export: .* gives None; must be a .*Written"),
    ],
)
def test_what_is_not_read_back_from_files_is_refused(
    strangers: Path, fault: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ssl3d.export(strangers, to="script", fault=fault)
    assert list((strangers / "exports").iterdir()) == []


def test_two_ways_of_one_name() -> None:
    class Twice(ResUNet):
        exports: ClassVar[tuple[type[ExportConfig], ...]] = (ToScripts, ToScripts)

    with pytest.raises(ValueError, match="two exports of the name 'script'"):
        ways_of(Twice())


def test_the_example_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(# prefixed_export\.py\n.*?)```", page, re.DOTALL)
    assert code
    (tmp_path / "prefixed_export.py").write_text(code[1], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    way = importlib.import_module("prefixed_export").Prefixed
    monkeypatch.delitem(sys.modules, "prefixed_export")

    class Offering(WaveFormer):
        exports: ClassVar = (way,)

    run = encoder_of(SMALL, out=tmp_path / "run")
    monkeypatch.setattr("ssl3d.tasks.export.backbone_of", lambda _about: Offering(**SMALL))
    done = ssl3d.export(run, to="prefixed", prefix="trunk.")
    assert done.card["to"] == {"name": "prefixed", "prefix": "trunk."}
    weights = torch.load(done.out / "weights.pth", weights_only=True)
    assert all(name.startswith("trunk.") for name in weights)


def test_a_fine_tuning_run_is_no_encoder(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text('{"task": {"name": "segmentation"}}')
    with pytest.raises(ValueError, match="is a fine-tuning run: what is exported is an encoder"):
        ssl3d.export(tmp_path, to="encoder")
