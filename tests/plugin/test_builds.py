"""A config says which class it builds, and names of the two go together."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl3d.geometry import Stage
from ssl3d.kinds.backbone import Backbone
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.kinds.decoder import Decoder
from ssl3d.kinds.decoder_config import DecoderConfig
from ssl3d.kinds.loss import Loss
from ssl3d.kinds.loss_config import LossConfig
from ssl3d.kinds.masker import Masker
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.kinds.task import DownstreamTask
from ssl3d.kinds.task_config import TaskConfig
from ssl3d.kinds.views import Views
from ssl3d.kinds.views_config import ViewsConfig
from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.declared import Registered
from ssl3d.plugin.registry import installed
from ssl3d.sparse import SparseBackend
from ssl3d_plugins.maskers import Random

OURS = [entry for entry in installed().entries() if entry.distribution == "ssl3d"]
STAGES = (Stage((2, 2, 2), 4, details=(Stage((4, 4, 4), 28),)), Stage((4, 4, 4), 6))
NOUNS = {
    "backbone": ("Backbone", Backbone),
    "sparse_backend": ("Backend", SparseBackend),
    "masker": ("Masker", Masker),
    "views": ("Views", Views),
    "decoder": ("Decoder", Decoder),
    "loss": ("Loss", Loss),
    "task": ("Task", DownstreamTask),
}
NEEDED: dict[str, dict[str, object]] = {
    "segmentation": {"labels": {"a": 1}},
    "classification": {"labels": ("a",)},
    "regression": {"values": ("a",)},
}
"""Options without a default."""


def build(config: ComponentConfig) -> object:
    if isinstance(config, BackboneConfig):
        return config.build(in_channels=1)
    if isinstance(config, DecoderConfig):
        return config.build(stages=STAGES, out_channels=1, sparse=True, in_channels=1)
    if isinstance(config, LossConfig | TaskConfig):
        return config.build(stages=STAGES)
    if isinstance(config, ViewsConfig):
        return config.build(patch=(8, 8, 8), cell=(2, 2, 2), masker=Random())
    return config.build()  # type: ignore[attr-defined]


@pytest.mark.parametrize("entry", OURS, ids=lambda entry: entry.config.component_name())
def test_the_object_is_named_after_its_config_and_its_kind(entry: Registered) -> None:
    assert "build" not in vars(entry.config)
    try:
        made = build(entry.config(**NEEDED.get(entry.config.component_name(), {})))
    except ModuleNotFoundError as absent:
        pytest.skip(f"its library is not installed: {absent}")
    noun, base = NOUNS[entry.config.kind]
    assert isinstance(made, base)
    assert type(made).__name__ == f"{entry.config.__name__}{noun}"


def test_the_class_is_given_the_config_and_looked_up_when_it_is_built() -> None:
    class Typo(MaskerConfig):
        builds = "no_such_module:Masker"
        name: str = "typo"

    config = Random(ratio=0.3)
    assert config.build().config is config
    with pytest.raises(
        ModuleNotFoundError, match="masker 'typo' cannot be made, since no_such_mod"
    ):
        Typo().build()


def test_a_module_that_exits_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Exits(MaskerConfig):
        builds = "leaves_at_once:Masker"
        name: str = "exits"

    (tmp_path / "leaves_at_once.py").write_text("raise SystemExit('no licence')")
    monkeypatch.syspath_prepend(tmp_path)
    message = "masker 'exits' .* leaves_at_once:Masker cannot be imported: SystemExit: no licence"
    with pytest.raises(ImportError, match=message):
        Exits().build()
