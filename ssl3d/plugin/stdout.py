"""Keeping standard output for the program's own answer, such as JSON."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send what is printed to stderr, also by compiled code and by child processes."""
    with contextlib.redirect_stdout(sys.stderr), _descriptor_of_stderr():
        yield


@contextlib.contextmanager
def _descriptor_of_stderr() -> Iterator[None]:
    try:
        kept = os.dup(1)
    except OSError:  # closed: nothing can be printed there
        yield
        return
    try:
        if sys.__stdout__ is not None:
            sys.__stdout__.flush()
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
