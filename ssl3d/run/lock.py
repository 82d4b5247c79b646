"""One run at a time in a folder, from whatever machine it is started."""

from __future__ import annotations

import errno
import os
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from ssl3d.folder import RunFolder
from ssl3d.run.lock_owner import Owner
from ssl3d.run.run_error import RunError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""What file systems answer that know no locks."""


class RunLock:
    """Holds a run's folder while it is entered.

    The file `run.lock` says who holds it, and is locked by the system, which frees it when the
    process ends, however it does. File systems that several machines share pass such locks on, but
    not all do; so the name of another machine is believed. What a process of this machine, or the
    same SLURM job before it was put back, has left is taken over.

    Args:
        folder: of the run; it is made where it is not there.
        main: False on the other ranks of a run, which take no lock: their first rank holds it.
        say: takes a line for the user.

    Raises:
        RunError: on entering: another process holds the folder, or it cannot be written.
    """

    def __init__(
        self, folder: RunFolder, *, main: bool = True, say: Callable[[str], None] = print
    ) -> None:
        self._root, self._path = folder.root, folder.lock
        self._main, self._say = main, say
        self._handle: int | None = None

    def __enter__(self) -> RunLock:
        if self._main:
            try:
                self._acquire()
            except OSError as error:
                self._close()
                raise RunError(
                    f"out: {self._root} cannot be written ({error.strerror}): a run needs a folder "
                    "to write to. Give another one"
                ) from error
            except RunError:
                self._close()
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._handle is not None:
            with suppress(OSError):  # the folder may be gone by now
                if self._is_there(self._handle):
                    self._path.unlink()
            self._close()

    def _acquire(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        here = Owner.this_process()
        while True:
            handle = self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            locked = self._lock(handle)
            owner = self._owner()
            if self._is_there(handle):
                break
            self._close()  # the one before has just removed it
        if owner is not None:
            self._say(f"Taking {self._root} over from {owner}: {self._gone(owner, here, locked)}")
        os.ftruncate(handle, 0)
        os.pwrite(handle, here.to_json().encode(), 0)
        os.fsync(handle)
        _close_in_children(self)

    def _lock(self, handle: int) -> bool:
        """True where the system locks the file, False where it cannot; RunError where it has."""
        if fcntl is None:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in NO_LOCKS:
                return False
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise self._in_use(self._owner()) from error
        return True

    def _is_there(self, handle: int) -> bool:
        """True where the open file is the one under the name, which somebody may have removed."""
        return self._path.exists() and os.path.samestat(os.fstat(handle), self._path.stat())

    def _gone(self, owner: Owner, here: Owner, locked: bool) -> str:
        """How it is known that the one before is gone; raises RunError where it is not known."""
        if owner.job and owner.job == here.job and owner.restart < here.restart:
            return f"SLURM has put job {here.job} back since"
        if owner.here:
            if not locked and owner.runs_here:
                raise self._in_use(owner)
            return "that process is gone"
        if owner.host == here.host:
            return "this machine was started anew since"
        raise RunError(
            f"out: {self._root} is held by {owner}, and this machine ({here.host}) cannot see "
            f"whether that process still runs. It was last written to {self._last_written()}. If "
            f"that run has ended (its machine failed, or it was killed), remove {self._path} and "
            "start this one again"
        )

    def _in_use(self, owner: Owner | None) -> RunError:
        who = owner or "a process that has just begun"
        return RunError(
            f"out: {self._root} is in use by another run: {who}. Wait for it, stop it, or give "
            "another folder"
        )

    def _owner(self) -> Owner | None:
        assert self._handle is not None
        return Owner.read(os.pread(self._handle, 2**16, 0))

    def _last_written(self) -> str:
        files = [*self._root.iterdir(), *(self._root / "checkpoints").glob("*")]
        times = [path.stat().st_mtime for path in files if path != self._path and path.exists()]
        if not times:
            return "never"
        minutes = max(0, round((time.time() - max(times)) / 60))
        return f"{minutes} minutes ago" if minutes < 120 else f"{minutes // 60} hours ago"

    def _close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _close_in_children(lock: RunLock) -> None:
    """A process that is forked while the lock is held must not hold it on after its parent."""
    alive = weakref.ref(lock)

    def close() -> None:
        held = alive()
        if held is not None:
            held._close()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=close)
