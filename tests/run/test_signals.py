"""Signals ask a run to stop, and a second one stops it."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

import pytest
from rich.console import Console

from ssl3d.run.signals import ECHO, Signals, stoppable

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows sends no signals")

TAKEN = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]

LOOP = """
import multiprocessing, sys, time
from ssl3d.run.signals import Signals
if "prompt" in sys.argv:
    sys.ps1 = "> "
def print_now(text):
    print(text, flush=True)
with Signals(print_now).listening() as signals:
    if "fork" in sys.argv:
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        child.start()
    print_now("ready")
    while not signals.requested:
        time.sleep(0.01)
    if "wait" in sys.argv:
        time.sleep(60)
if "fork" in sys.argv:
    time.sleep(0.5)
    print_now("child lives" if child.is_alive() else "child is gone")
    child.kill()
sys.exit(signals.exit_code)
"""


def start(*arguments: str) -> subprocess.Popen[str]:
    """A process with a loop that ends when it is asked to."""
    process = subprocess.Popen(
        [sys.executable, "-c", LOOP, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(("number", "code"), [*zip(TAKEN, [130, 85, 85], strict=True)])
def test_the_first_signal_is_a_request(number: signal.Signals, code: int) -> None:
    process = start()
    process.send_signal(number)
    out, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert out.startswith("Stopping after this step, which is saved. ")
    assert errors == ""


class Signalled(io.RawIOBase):
    """A signal comes while the first line is being written."""

    def __init__(self) -> None:
        self.written = b""

    def writable(self) -> bool:
        return True

    def write(self, text: Any) -> int:
        if not self.written:
            self.written = b"<"
            signal.raise_signal(signal.SIGTERM)
        self.written += bytes(text)
        return len(text)


@pytest.mark.parametrize("rich", [False, True])
def test_a_signal_within_a_line_is_announced_after_it(rich: bool) -> None:
    raw = Signalled()
    file = io.TextIOWrapper(io.BufferedWriter(raw))
    console = Console(file=file, width=200)

    def say(text: str) -> None:
        if rich:
            console.print(text)
        else:
            print(text, file=file, flush=True)

    with Signals(say).listening() as signals:
        say("a line")
    for thread in set(threading.enumerate()) - {threading.current_thread()}:
        if not thread.daemon:
            thread.join(timeout=10)
    assert signals.requested
    first, second = raw.written.decode().splitlines()
    assert first == "<a line"
    assert second.startswith("Stopping after this step, which is saved. ")


@pytest.mark.parametrize("second", TAKEN)
@pytest.mark.parametrize("first", TAKEN)
def test_the_second_ends_the_process_at_once(first: signal.Signals, second: signal.Signals) -> None:
    process = start("wait")
    process.send_signal(first)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(ECHO + 0.1)
    began = time.monotonic()
    process.send_signal(second)
    out, errors = process.communicate(timeout=30)
    assert time.monotonic() - began < 5
    assert process.returncode == 128 + second
    assert (out, errors) == ("", "")


def test_the_same_wish_from_two_sides_is_one() -> None:
    """`torchrun` passes on what the scheduler has sent to all processes."""
    process = start("wait")
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
        process.send_signal(number)
        time.sleep(0.02)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=2 * ECHO)
    process.kill()
    process.communicate()


def test_a_signal_to_all_processes_leaves_those_that_were_forked() -> None:
    process = start("fork")
    os.killpg(process.pid, signal.SIGUSR1)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 85
    assert out.splitlines()[-1] == "child lives"


def test_a_prompt_lives_on() -> None:
    process = start("prompt", "wait")
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(ECHO + 0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert errors.splitlines()[-1] == "KeyboardInterrupt"


@pytest.mark.parametrize("number", TAKEN[1:])
def test_where_no_step_is_under_way_it_ends_at_once(number: signal.Signals) -> None:
    said: list[str] = []
    with pytest.raises(SystemExit) as ended, stoppable(said.append):
        signal.raise_signal(number)
    assert ended.value.code == 85
    assert said == ["Stopped while no step was under way: nothing is lost. Start it again"]
    with suppress(SystemExit), stoppable(said.append):
        sys.exit(2)
    assert len(said) == 1


@pytest.mark.parametrize("take", [Signals().listening, stoppable])
def test_handlers_are_given_back(take: Callable[[], AbstractContextManager[Any]]) -> None:
    before = [signal.getsignal(number) for number in TAKEN]
    with suppress(KeyError), take():
        assert signal.getsignal(signal.SIGTERM) not in before
        raise KeyError
    assert [signal.getsignal(number) for number in TAKEN] == before


def test_another_thread_takes_no_signals() -> None:
    before = [signal.getsignal(number) for number in TAKEN]
    seen = []

    def run() -> None:
        with Signals().listening() as signals:
            seen.append([signal.getsignal(number) for number in TAKEN])
        seen.append([signals.requested, signals.exit_code])

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before, [False, 0]]
