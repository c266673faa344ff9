"""One daemon a runtime folder: a lock file with the process id in it, held by flock."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from pathlib import Path

from limner.daemon.paths import LOCK_FILE


class AlreadyRunningError(Exception):
    """Another daemon serves this folder; the message names its process."""


class StopError(Exception):
    """The daemon could not be stopped."""


class InstanceLock:
    """Held from `acquire` to `release`; the kernel gives it back when the process dies."""

    def __init__(self, path: Path, fd: int) -> None:
        self._path = path
        self._fd = fd

    @classmethod
    def acquire(cls, folder: Path) -> InstanceLock:
        """Take the lock of `folder`; raises AlreadyRunningError, OSError when the file cannot be made."""
        path = folder / LOCK_FILE
        # Somebody who asks `running_pid` holds the lock for an instant: that is no daemon.
        tries = 5
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                tries -= 1
                if tries:
                    os.close(fd)
                    time.sleep(0.01)
                    continue
                pid = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
                os.close(fd)
                raise AlreadyRunningError(
                    f"a Limner daemon is running already for {folder} (process {pid}); "
                    "stop it with: limner daemon --stop"
                ) from None
            # The holder before us removes the file as it leaves: what we locked may have no name any more.
            if _same_file(fd, path):
                lock = cls(path, fd)
                lock.write_pid()
                return lock
            os.close(fd)

    def write_pid(self) -> None:
        """Note this process in the file (again after a fork)."""
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Remove the file and give the lock back."""
        self._path.unlink(missing_ok=True)
        os.close(self._fd)

    def forget(self) -> None:
        """Close our copy without giving up the lock: for the parent after a fork."""
        os.close(self._fd)


def running_pid(folder: Path) -> int | None:
    """Return the process id of the daemon that serves `folder`, or None."""
    try:
        fd = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(fd, 32, 0).decode(errors="replace").strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(fd)
    return None


def stop_daemon(folder: Path, *, timeout_s: float = 8.0) -> int | None:
    """End the daemon of `folder` and wait until it is gone; return its process id, None when none runs.

    Raises StopError when it does not end in time.
    """
    pid = running_pid(folder)
    if pid is None:
        return None
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return pid
    deadline = time.monotonic() + timeout_s
    while running_pid(folder) == pid:
        if time.monotonic() > deadline:
            raise StopError(f"the daemon (process {pid}) did not end within {timeout_s:g} s")
        time.sleep(0.02)
    return pid


def _same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
