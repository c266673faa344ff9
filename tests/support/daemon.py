"""A real daemon for tests: its own runtime folder, and a check that nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

import limner
from limner.daemon.client import Client, ClientError
from limner.daemon.paths import DAEMON_SOCKET, segment_prefix
from limner.daemon.protocol import Overview

SHM = Path("/dev/shm")
TIMEOUT_S = 60.0
T = TypeVar("T")


@dataclass
class RunningDaemon:
    """A daemon process of its own. `environment` lets other programs find it."""

    runtime_dir: Path
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"LIMNER_RUNTIME_DIR": str(self.runtime_dir)}

    @property
    def segments(self) -> list[str]:
        return segments_of(self.runtime_dir)

    def query(self) -> Overview:
        return query(self.runtime_dir)

    def wait_ready(self, *, not_pid: int = 0) -> Overview:
        return wait_ready(self.runtime_dir, not_pid=not_pid, log=self.log)

    def stop(self) -> int:
        """SIGTERM; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(TIMEOUT_S)

    def log(self) -> str:
        """Return what daemon and worker said."""
        names = ("daemon.log", "worker.log")
        files = [self.runtime_dir / name for name in names]
        return "\n".join(f"--- {f.name}\n{f.read_text()}" for f in files if f.exists())


def query(runtime_dir: Path) -> Overview:
    with Client(runtime_dir) as client:
        return client.query()


def wait_ready(runtime_dir: Path, *, not_pid: int = 0, log: Callable[[], str] = str) -> Overview:
    """Wait until a worker (another one than `not_pid`) is ready."""

    def ready() -> Overview | None:
        try:
            overview = query(runtime_dir)
        except ClientError:
            return None
        worker = overview.worker
        return overview if worker.state == "ready" and worker.pid != not_pid else None

    return wait_for(ready, "a ready worker", log=log)


def wait_for(look: Callable[[], T | None], what: str, *, log: Callable[[], str] = str) -> T:
    """Return the first result of `look` that is not None or False; fail after a generous time."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        found = look()
        if found is not None and found is not False:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come within {TIMEOUT_S:g} s\n{log()}")
        time.sleep(0.02)


def listens(runtime_dir: Path) -> bool:
    """Whether somebody answers at the socket: the file alone may be a dead daemon's."""
    with socket.socket(socket.AF_UNIX) as peer:
        return peer.connect_ex(str(runtime_dir / DAEMON_SOCKET)) == 0


def segments_of(runtime_dir: Path) -> list[str]:
    return sorted(path.name for path in SHM.glob(f"{segment_prefix(runtime_dir)}*"))


def limner_processes(runtime_dir: Path) -> list[int]:
    """Return the daemon and workers that were started for this folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(str(runtime_dir) in part for part in process.cmdline()):
                found.append(process.pid)
    return found


@contextlib.contextmanager
def private_runtime_dir() -> Iterator[Path]:
    """A folder short enough for a socket; fails when segments, processes or sockets are left."""
    folder = Path(tempfile.mkdtemp(prefix="limner-t-", dir="/tmp"))
    try:
        yield folder
        wait_for(lambda: not limner_processes(folder), f"the end of all processes of {folder}")
        assert segments_of(folder) == [], "segments were left behind"
        assert not list(folder.glob("*.sock")), "sockets were left behind"
    finally:
        for pid in limner_processes(folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for name in segments_of(folder):
            (SHM / name).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def start_daemon(
    folder: Path, *, engine: str = "echo", threads: int = 1, options: Sequence[str] = (), **environment: str
) -> RunningDaemon:
    """Start a daemon in `folder` and wait until its socket is there."""
    roots = os.pathsep.join(str(Path(part).parent) for part in limner.__path__)
    variables = os.environ | {"PYTHONPATH": f"{roots}{os.pathsep}{Path.cwd()}"} | environment
    with (folder / "daemon.log").open("ab") as log:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "limner.daemon",
                f"--engine={engine}",
                f"--threads={threads}",
                f"--runtime-dir={folder}",
                *options,
            ],
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    daemon = RunningDaemon(folder, process)

    def bound() -> bool:
        assert process.poll() is None, f"the daemon ended at once\n{daemon.log()}"
        return listens(folder)

    wait_for(bound, "the daemon's socket", log=daemon.log)
    return daemon


@contextlib.contextmanager
def running_daemon(
    engine: str = "echo", *, threads: int = 1, options: Sequence[str] = (), **environment: str
) -> Iterator[RunningDaemon]:
    """A daemon for the length of the `with`; it and its worker are ended, and nothing may be left."""
    with private_runtime_dir() as folder:
        daemon = start_daemon(folder, engine=engine, threads=threads, options=options, **environment)
        try:
            yield daemon
        finally:
            if daemon.process.poll() is None:
                assert daemon.stop() == 0, daemon.log()
