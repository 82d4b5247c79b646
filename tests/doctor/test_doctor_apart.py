"""Libraries that crash, hang, are absent or do not load: a line of the report each."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from types import ModuleType

import pytest
from fake_backend import plugin_source

from ssl3d.doctor.apart import Part, examine_apart
from ssl3d.doctor.check import Check
from ssl3d.doctor.result import Report, Result
from ssl3d.doctor.sparse_backends import sparse_checks

CRASH = "os.kill(os.getpid(), signal.SIGSEGV)"
EVERY = [
    "library",
    "tensor creation",
    "convolution",
    "batch norm",
    "625 sites, 256 channels",
    "1 000 000 sites, 4 channels",
    "network",
    "backward",
    "empty input",
]


def fake_part() -> Part:
    arguments = {"device": "cpu", "required": False, "advice": "reinstall fake"}
    return Part("sparse backend fake", partial(sparse_checks, "fake", **arguments))


def examine_fake(*, limit: float = 300.0) -> list[Result]:
    return examine_apart(fake_part(), limit=limit)


def test_a_crash_is_named_and_the_checks_after_it_are_tried(plugin) -> None:  # type: ignore[no-untyped-def]
    # Which is what the check "batch norm" makes of 5.
    wide = "weight.shape[:2] == (7, 5)"
    plugin(plugin_source(conv3d=f"if {wide}: print('last words', flush=True); {CRASH}"))
    results = examine_fake()
    assert [result.check for result in results] == EVERY
    (crashed,) = [result for result in results if result.status == "failed"]
    assert (crashed.check, crashed.detail) == ("batch norm", "died of SIGSEGV")
    assert (crashed.advice, crashed.device) == ("reinstall fake", "cpu")
    assert "last words" in crashed.output
    assert "conv3d" in crashed.output, "no Python stack of the crash"
    lacking = [result.check for result in results if result.status == "not there"]
    assert lacking == EVERY[4:6]
    assert not Report(tuple(results)).ok


def test_a_crash_of_the_import_ends_the_backends_checks(plugin) -> None:  # type: ignore[no-untyped-def]
    plugin(plugin_source(build=CRASH))
    (result,) = examine_fake()
    assert (result.check, result.status) == ("library", "failed")
    assert result.detail == "died of SIGSEGV; what comes after it was not tried"


def test_an_absent_library_is_not_there_and_says_what_installs_it(plugin) -> None:  # type: ignore[no-untyped-def]
    plugin(plugin_source(build="raise ModuleNotFoundError('run: pip install fakelib')"))
    (result,) = examine_fake()
    assert (result.check, result.status) == ("library", "not there")
    assert result.advice == "run: pip install fakelib"
    assert Report((result,)).ok


def test_a_plugin_that_hangs_at_import_is_stopped(plugin) -> None:  # type: ignore[no-untyped-def]
    plugin("import time\ntime.sleep(600)")
    (result,) = examine_fake(limit=3.0)
    assert (result.part, result.check, result.status) == ("sparse backend fake", "start", "failed")
    assert result.detail.startswith("no answer after 3 s")
    assert 2.9 <= result.seconds < 30.0


def hanging() -> Iterator[Check]:
    """The second of these checks never ends."""

    def think() -> str:
        print("thinking", flush=True)
        time.sleep(600)
        raise AssertionError

    yield Check("p", "first", lambda: "fine", "wait")
    yield Check("p", "second", think, "wait")


def test_a_check_that_hangs_is_named_with_those_before_it() -> None:
    first, second = examine_apart(Part("p", hanging), limit=8.0)
    assert (first.check, first.status) == ("first", "ok")
    assert (second.check, second.status, second.advice) == ("second", "failed", "wait")
    assert second.detail == "no answer after 8 s; what comes after it was not tried"
    assert second.output == "thinking"
    assert first.seconds < 1.0 < second.seconds < 9.0


def ends_badly() -> Iterator[Check]:
    """A library that kills the process when it is left."""
    atexit.register(os.kill, os.getpid(), signal.SIGABRT)
    yield Check("p", "first", lambda: "fine", "wait")


def test_a_crash_after_the_last_check_is_a_failed_line() -> None:
    first, second = examine_apart(Part("p", ends_badly), limit=60.0)
    assert (first.check, first.status) == ("first", "ok")
    assert (second.part, second.check, second.status) == ("p", "start", "failed")
    assert second.detail.startswith("died of SIG")


def refuses() -> Iterator[Check]:
    """A part that cannot list its checks."""
    raise SystemExit("no such module")


def test_a_part_that_cannot_start_is_a_failed_line() -> None:
    (result,) = examine_apart(Part("p", refuses), limit=60.0)
    assert (result.check, result.status) == ("start", "failed")
    assert "exit status 1" in result.detail
    assert result.output == "no such module"


def test_a_process_that_cannot_find_its_part_is_a_failed_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("nowhere_else")
    module.checks = hanging_here = lambda: iter(())  # type: ignore[attr-defined]
    hanging_here.__module__, hanging_here.__qualname__ = "nowhere_else", "checks"
    monkeypatch.setitem(sys.modules, "nowhere_else", module)
    (result,) = examine_apart(Part("p", hanging_here), limit=60.0)
    assert (result.check, result.status) == ("start", "failed")
    assert "exit status 1" in result.detail
