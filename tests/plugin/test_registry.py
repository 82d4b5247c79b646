"""The registry: immutable, keyed by kind and name, and helpful about what it does not know."""

from __future__ import annotations

from typing import Literal

import pytest

from ssl3d.kinds.loss_config import LossConfig
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.plugin.declared import PluginFailure, Registered
from ssl3d.plugin.registry import Registry, UnknownComponentError, did_you_mean, installed


class Stripes(MaskerConfig):
    name: Literal["stripes"] = "stripes"

    def build(self):
        raise NotImplementedError


class StripesLoss(LossConfig):
    name: Literal["stripes"] = "stripes"

    def needs(self):
        return frozenset()

    def build(self, *, stages):
        raise NotImplementedError


MASKER = Registered(Stripes, "stripes", "stripe-masker", "1.0")
LOSS = Registered(StripesLoss, "stripes", "stripe-masker", "1.0")


def test_kinds_are_apart() -> None:
    registry = Registry([MASKER, LOSS])
    assert registry.config("masker", name="stripes") is Stripes
    assert registry.config("loss", name="stripes") is StripesLoss
    assert registry.names("backbone") == []
    assert registry.entries() == [LOSS, MASKER]
    assert registry.entries("masker") == [MASKER]


def test_later_changes_to_what_it_was_given_do_not_reach_it() -> None:
    given, failures = [MASKER], [PluginFailure("bad", "a-bad-one", "ImportError: x")]
    registry = Registry(given, failures=failures)
    given.append(LOSS)
    failures.clear()
    registry.entries().clear()
    registry.names("masker").clear()
    assert registry.entries() == [MASKER]
    assert registry.names("masker") == ["stripes"]
    assert len(registry.failures) == 1


def test_an_unknown_name_gives_a_near_miss_what_is_installed_and_what_failed() -> None:
    registry = Registry([MASKER], failures=[PluginFailure("bad", "a-bad-one", "ImportError: x")])
    with pytest.raises(UnknownComponentError) as error:
        registry.entry("masker", name="stripe")
    assert str(error.value) == (
        "unknown masker 'stripe'. Did you mean 'stripes'? Installed: stripes. "
        "Plugins that failed to load: bad (a-bad-one): ImportError: x"
    )
    with pytest.raises(UnknownComponentError, match="Installed: none"):
        registry.entry("backbone", name="waveformer")


def test_near_misses() -> None:
    assert did_you_mean("wavformer", ["waveformer", "resunet"]) == " Did you mean 'waveformer'?"
    assert did_you_mean("xyz", ["waveformer"]) == ""


def test_this_environment_is_read_once() -> None:
    assert installed() is installed()
    assert {"cells", "dense"} <= set(installed().names("sparse_backend"))
