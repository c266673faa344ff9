"""Going to the background: the parent waits until the daemon serves, or says why it does not."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from pathlib import Path


class Detached:
    """The line from the daemon in the background to the command that started it."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def started(self) -> None:
        """Let the parent end: the socket is bound."""
        self._send(b"")

    def failed(self, message: str) -> None:
        """Let the parent end with an error."""
        self._send(message.encode())

    def _send(self, message: bytes) -> None:
        os.write(self._pipe, message + b"\0")
        os.close(self._pipe)


def detach(log_path: Path) -> int | Detached:
    """Fork twice into a session of its own, output to `log_path`.

    Returns the exit code in the parent, and in the daemon what speaks to the parent.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    read, write = os.pipe()
    child = os.fork()
    if child:
        os.close(write)
        # Who ignores the end of children (a parent may have made us) has none to wait for.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)
        return _hear(read)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.close(read)
    output = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(nothing)
    os.close(output)
    _close_inherited(keep=write)
    os.chdir("/")
    return Detached(write)


def _close_inherited(*, keep: int) -> None:
    """Close what came from the program that started us, such as the ports of an OBS that may start again.

    Python's own files all close on exec, inherited ones do not: that tells them apart.
    """
    for link in list(Path("/proc/self/fd").iterdir()):
        fd = int(link.name)
        with contextlib.suppress(OSError):
            if fd > 2 and fd != keep and not fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC:
                os.close(fd)


def _hear(pipe: int) -> int:
    words = b""
    while not words.endswith(b"\0") and (more := os.read(pipe, 4096)):
        words += more
    os.close(pipe)
    if words == b"\0":
        return 0
    text = words.rstrip(b"\0").decode(errors="replace") or "it ended at once; see its log"
    print(f"limner daemon: {text}", file=sys.stderr)
    return 1
