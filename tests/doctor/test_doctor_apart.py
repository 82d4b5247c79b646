"""Libraries that crash, hang, are absent or do not load: a line of the report each."""

from __future__ import annotations

import sys

import pytest
from fake_backend import plugin_source

from ssl3d.doctor import apart
from ssl3d.doctor.apart import examine_apart
from ssl3d.doctor.parts import Part
from ssl3d.doctor.result import Report, Result

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
    arguments = {"name": "fake", "device": "cpu", "required": False, "advice": "reinstall fake"}
    return Part("sparse_backend", "sparse backend fake", arguments)


def examine_fake(*, limit: float = 300.0) -> list[Result]:
    return examine_apart(fake_part(), limit=limit)


def test_a_crash_is_named_and_the_checks_after_it_are_tried(plugin) -> None:  # type: ignore[no-untyped-def]
    # Which is what the check "batch norm" makes of 8.
    wide = "weight.shape[:2] == (12, 8) and bias is None"
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
    assert 3.0 <= result.seconds < 30.0


BEGIN = """
import json, sys, time
def write(record):
    with open(sys.argv[-1], "a") as file:
        file.write(json.dumps(record) + "\\n")
base = {"part": "p", "check": "first", "device": None, "required": False, "advice": "wait"}
write({"begun": base, "gate": False})
result = {**base, "status": "ok", "seconds": 0.0, "detail": "", "output": ""}
write({"result": result})
write({"begun": {**base, "check": "second"}, "gate": False})
print("thinking", flush=True)
"""


def test_a_check_that_hangs_is_named_with_those_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def hanging(_: Part, *, done: list[str], records: object) -> list[str]:
        assert not done, "it was started again although the time was up"
        return [sys.executable, "-c", BEGIN + "time.sleep(600)", str(records)]

    monkeypatch.setattr(apart, "_command", hanging)
    first, second = examine_fake(limit=2.0)
    assert (first.check, first.status) == ("first", "ok")
    assert (second.check, second.status, second.advice) == ("second", "failed", "wait")
    assert second.detail == "no answer after 2 s; what comes after it was not tried"
    assert second.output == "thinking"


def test_a_process_that_cannot_start_is_a_failed_line(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [sys.executable, "-c", "raise SystemExit('no such module')"]
    monkeypatch.setattr(apart, "_command", lambda *_, **__: broken)
    (result,) = examine_fake()
    assert (result.check, result.status) == ("start", "failed")
    assert "exit status 1" in result.detail
    assert result.output == "no such module"
