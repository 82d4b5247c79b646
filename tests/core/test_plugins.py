"""Plugins are found through entry points; one that fails takes no other with it."""

from __future__ import annotations

import pytest

from ssl3d.plugin.find import load_plugins
from ssl3d.plugin.registry import DuplicateComponentError, Registry

GOOD = """
from typing import Literal
from ssl3d.plugin.config import MaskerConfig
from ssl3d.plugin.find import hookimpl

class Stripes(MaskerConfig):
    name: Literal["{name}"] = "{name}"
    def build(self):
        raise NotImplementedError

@hookimpl
def ssl3d_components():
    return [Stripes]
"""
NO_HOOK = "def ssl3d_components():\n    return []\n"
NO_CONFIG = """
from ssl3d.plugin.find import hookimpl

@hookimpl
def ssl3d_components():
    return [int]
"""
ABSTRACT = GOOD.replace("def build(self)", "def make(self)")
UNNAMED = GOOD.replace('name: Literal["{name}"] = "{name}"', "name: str")


def test_a_strangers_component_is_found_with_its_distribution(distribution) -> None:
    distribution("stripe-masker", module="stripes", source=GOOD.format(name="stripes"), version="2")
    components, failures = load_plugins()
    (found,) = [c for c in components if c.config.component_name() == "stripes"]
    assert (found.plugin, found.distribution, found.version) == ("stripes", "stripe-masker", "2")
    assert "stripes" not in [failure.plugin for failure in failures]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("raise SystemError('broken')", "SystemError: broken"),
        ("syntax error", "SyntaxError"),
        (NO_HOOK, "no @hookimpl function"),
        (NO_CONFIG, "is no ComponentConfig class"),
        (ABSTRACT, "Stripes lacks build"),
        (UNNAMED, "Stripes has no default name"),
    ],
)
def test_a_plugin_that_fails_is_named_and_the_others_still_work(
    distribution,
    source: str,
    why: str,
) -> None:
    distribution("a-bad-one", module="aaa_bad", source=source)
    distribution("stripe-masker", module="stripes", source=GOOD.format(name="stripes"))
    components, failures = load_plugins()
    registry = Registry(components, failures=failures)
    (failure,) = [failure for failure in failures if failure.plugin == "aaa_bad"]
    assert failure.distribution == "a-bad-one"
    assert why in failure.error
    assert registry.config("masker", name="stripes").component_name() == "stripes"
    assert {"random", "mim"} < set(registry.names("masker"))


def test_two_plugins_that_claim_one_name_are_both_named(distribution) -> None:
    distribution("stripe-masker", module="stripes", source=GOOD.format(name="stripes"))
    distribution("other-masker", module="zebra", source=GOOD.format(name="stripes"))
    components, _ = load_plugins()
    with pytest.raises(DuplicateComponentError) as error:
        Registry(components)
    for word in ("'stripes'", "stripe-masker", "'zebra'", "other-masker"):
        assert word in str(error.value)


def test_a_plugin_cannot_take_the_name_of_an_in_tree_component(distribution) -> None:
    distribution("random-masker", module="mine", source=GOOD.format(name="random"))
    components, _ = load_plugins()
    with pytest.raises(DuplicateComponentError, match="random-masker"):
        Registry(components)
