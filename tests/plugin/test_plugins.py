"""Plugins are found through entry points; one that fails takes no other with it."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from ssl3d.plugin.find import load_checks, load_commands, load_plugins
from ssl3d.plugin.registry import DuplicateComponentError, Registry

GOOD = """
from typing import Literal
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.plugin.hooks import hookimpl

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
from ssl3d.plugin.hooks import hookimpl

@hookimpl
def ssl3d_components():
    return [int]
"""
UNBUILT = GOOD.replace("def build(self)", "def make(self)")
ABSTRACT = GOOD.replace("masker_config", "loss_config").replace("MaskerConfig", "LossConfig")
UNNAMED = GOOD.replace('name: Literal["{name}"] = "{name}"', "name: str")
SPEECHLESS = """
class Speechless(Exception):
    def __str__(self):
        raise RuntimeError

raise Speechless
"""

GENERATOR = GOOD.replace("return [Stripes]", "yield Stripes\n    raise ValueError('midway')")
UNKNOWN_HOOK = GOOD + "\n@hookimpl\ndef ssl3d_maskers():\n    return []\n"
UNFINISHED = "from __future__ import annotations\n" + GOOD.replace(
    "    def", "    at: Path = 1\n    def"
)
FORGETFUL = GOOD.replace("return [Stripes]", "[Stripes]")
UNDESCRIBED = "from typing import Callable\n" + GOOD.replace(
    "    def", "    call: Callable[[], int]\n    def"
)
UNSHOWN = "from typing import Any\n" + GOOD.replace("    def", "    thing: Any = object()\n    def")
KINDLESS = GOOD.replace("MaskerConfig", "ComponentConfig")
OTHER_NAME = GOOD.replace('Literal["{name}"] = "{name}"', 'Literal["zebra"] = "stripes"')


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
        ("import sys; sys.exit('CUDA not found')", "SystemExit: CUDA not found"),
        ("raise BaseException('odd')", "BaseException: odd"),
        (SPEECHLESS, "Speechless: an error that cannot say what is wrong"),
        ("raise ValueError('red \\x1b[31m ' + 'x' * 10**6)", "ValueError: red \\x1b[31m xxx"),
        (GENERATOR, "ValueError: midway"),
        (FORGETFUL, "ssl3d_components() gives None: return a tuple"),
        (UNKNOWN_HOOK, "implements ssl3d_maskers, which is no hook of ssl3d"),
        (UNFINISHED, "Stripes: name 'Path' is not defined: import it where"),
        (UNDESCRIBED, "Cannot generate a JsonSchema"),
        (UNSHOWN, "Unable to serialize unknown type"),
        (KINDLESS, "Stripes has no kind"),
        (OTHER_NAME, "is named 'stripes' by default and allows 'zebra' only"),
        ("syntax error", "SyntaxError"),
        (NO_HOOK, "no @hookimpl function"),
        (NO_CONFIG, "is no ComponentConfig class"),
        (UNBUILT, "Stripes lacks builds: add builds"),
        (ABSTRACT, "Stripes lacks needs"),
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
    assert len(failure.error) <= 2000
    assert failure.error.isprintable()
    assert registry.config("masker", name="stripes").component_name() == "stripes"
    assert {"random", "mim"} < set(registry.names("masker"))


def test_two_plugins_that_claim_one_name_lose_that_name_alone(distribution) -> None:
    distribution("stripe-masker", module="stripes", source=GOOD.format(name="stripes"))
    distribution("other-masker", module="zebra", source=GOOD.format(name="stripes"))
    registry = Registry(load_plugins()[0])
    with pytest.raises(DuplicateComponentError) as error:
        registry.entry("masker", name="stripes")
    assert registry.clashes == (str(error.value),)
    for word in ("'stripes'", "stripe-masker", "'zebra'", "other-masker"):
        assert str(error.value).count(word) == 1 + (word == "'stripes'")
    assert registry.names("masker") == ["mim", "random"]


def test_a_plugin_cannot_take_the_name_of_an_in_tree_component(distribution) -> None:
    distribution("random-masker", module="mine", source=GOOD.format(name="random"))
    registry = Registry(load_plugins()[0])
    with pytest.raises(DuplicateComponentError, match=r"'maskers' of ssl3d and .*'mine' of"):
        registry.config("masker", name="random")
    assert registry.config("masker", name="mim")


def test_what_is_declared_twice_by_one_plugin_is_there_once(distribution) -> None:
    twice = GOOD.format(name="stripes").replace("[Stripes]", "[Stripes, Stripes]") + (
        "\n@hookimpl(specname='ssl3d_components')\ndef again():\n    return (Stripes,)\n"
    )
    distribution("stripe-masker", module="stripes", source=twice)
    point = EntryPoint("stripes", "stripes", "ssl3d")
    components, failures = load_plugins([point, EntryPoint("again", "stripes", "ssl3d")])
    assert ([c.plugin for c in components], failures) == (["again"], ())


def test_plugins_whose_entry_points_have_one_name_both_work(distribution) -> None:
    distribution("stripe-masker", module="stripes", source=GOOD.format(name="stripes"))
    distribution("zebra-masker", module="zebra", source=GOOD.format(name="zebra"))
    points = [EntryPoint("masker", module, "ssl3d") for module in ("stripes", "zebra")]
    components, failures = load_plugins(points)
    assert [c.config.component_name() for c in components] == ["stripes", "zebra"]
    assert not failures


@pytest.mark.parametrize("name", ["Stripes", "two words", "ärmel-2.0"])
def test_a_name_may_be_any_text(distribution, name: str) -> None:
    distribution("stripe-masker", module="stripes", source=GOOD.format(name=name))
    registry = Registry(load_plugins()[0])
    assert registry.config("masker", name=name)(name=name).name == name


def test_a_default_that_is_not_valid_takes_nothing_along(distribution) -> None:
    wrong = GOOD.format(name="stripes").replace(
        "    def", "    share: float = Field(2.0, le=1)\n    def"
    )
    distribution("stripe-masker", module="stripes", source="from pydantic import Field\n" + wrong)
    config = Registry(load_plugins()[0]).config("masker", name="stripes")
    assert config(share=0.5)
    with pytest.raises(ValueError, match="less than or equal to 1"):
        config()


def test_a_plugin_leaves_stdout_alone(distribution, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever prints: Python, a child process, a hook, or what describes an option."""
    prints = """
import os
print("imported")
os.system("echo child")
""" + GOOD.format(name="stripes").replace("    return", "    print('hook')\n    return")
    distribution("stripe-masker", module="stripes", source=prints)
    load_plugins()
    out, err = capfd.readouterr()
    assert out == ""
    for word in ("imported", "child", "hook"):
        assert word in err


def test_ctrl_c_while_plugins_are_loaded_is_no_plugins_failure(distribution) -> None:
    distribution("a-bad-one", module="aaa_bad", source="raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_plugins()


COMMAND = """
from ssl3d.plugin.hooks import hookimpl

@hookimpl
def ssl3d_commands():
    return [("paint", "brush:app", "Paint a volume.")]
"""
CHECK = """
from ssl3d.plugin.hooks import hookimpl

@hookimpl
def ssl3d_checks():
    yield "brush", str, "buy a brush"
"""


def test_commands_and_checks_are_declared_with_where_they_come_from(distribution) -> None:
    groups = ("ssl3d", "ssl3d.commands")
    distribution("paint-box", module="paint_box", source=COMMAND + CHECK, groups=groups)
    assert not load_plugins()[1]
    (command,) = [c for c in load_commands()[0] if c.plugin == "paint_box"]
    assert (command.name, command.app, command.help) == ("paint", "brush:app", "Paint a volume.")
    (check,) = [c for c in load_checks()[0] if c.plugin == "paint_box"]
    assert (check.name, check.run(), check.advice) == ("brush", "", "buy a brush")
    assert command.distribution == check.distribution == "paint-box"


def test_a_hook_that_raises_loses_no_other_hook_and_no_other_plugin(distribution) -> None:
    source = GOOD.format(name="stripes") + CHECK + "    raise OSError('no brush')\n"
    distribution("stripe-masker", module="stripes", source=source)
    distribution("zebra-masker", module="zebra", source=CHECK)
    checks, (failure,) = load_checks()
    assert [check.name for check in checks if check.plugin == "zebra"] == ["brush"]
    assert (failure.plugin, failure.error) == ("stripes", "OSError: no brush")
    assert "stripes" in [c.plugin for c in load_plugins()[0]]


def test_a_command_that_help_would_not_show_is_an_error(distribution) -> None:
    distribution("paint-box", module="paint_box", source=COMMAND)
    (failure,) = load_plugins()[1]
    assert "name it in the entry-point group 'ssl3d.commands' as well" in failure.error


@pytest.mark.parametrize("given", ["('Paint', 'brush:app', '')", "('paint', 'brush', '')", "3"])
def test_what_is_no_command_is_told(distribution, given: str) -> None:
    source = COMMAND.replace('("paint", "brush:app", "Paint a volume.")', given)
    distribution("paint-box", module="paint_box", source=source, groups=("ssl3d.commands",))
    (failure,) = load_commands()[1]
    assert failure.plugin == "paint_box"
