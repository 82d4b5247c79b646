"""Many files, in processes: one volume at a time in each, and a process that dies loses one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from ssl3d.data.data_error import shown
from ssl3d.tasks.inspect.facts import Facts

DIED = (
    "the process that read it was ended: for want of memory, or by a fault in a library that reads "
    "it"
)

MOST_WORKERS = 8

Look = Callable[[Path], Facts]


def cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def look_at_all(paths: Iterable[Path], *, workers: int, look: Look) -> Iterator[tuple[Path, Facts]]:
    """Each file and its facts, as they come.

    Args:
        paths: of files.
        workers: processes; 0: this one.
        look: what finds the facts of one; other processes must be able to import it.
    """
    if not workers:
        yield from ((path, look(path)) for path in paths)
        return
    waiting = deque(paths)
    while waiting:
        lost: list[Path] = []
        with _pool(workers) as pool:
            running: dict[Future[Facts], Path] = {}
            while running or (waiting and not lost):
                while waiting and len(running) < workers and not lost:
                    path = waiting.popleft()
                    try:
                        running[pool.submit(look, path)] = path
                    except BrokenProcessPool:
                        lost.append(path)
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    path = running.pop(future)
                    try:
                        yield path, future.result()
                    except BrokenProcessPool:  # of all that were being read: one of them did it
                        lost.append(path)
        for path in lost:
            yield path, _alone(look, path)


def _alone(look: Look, path: Path) -> Facts:
    with _pool(1) as pool:
        try:
            return pool.submit(look, path).result()
        except BrokenProcessPool:
            return Facts(shown(path), problem=DIED)


def _pool(workers: int) -> ProcessPoolExecutor:
    # Not forked: this process may run threads of torch.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)


def _begin() -> None:
    """Ctrl-C reaches every process of a terminal, and the main one ends the others; where that is
    killed they end themselves, for nothing else would end them.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
