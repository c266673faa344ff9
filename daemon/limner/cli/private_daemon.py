"""A daemon of one's own: in a folder of its own, ended with the command that started it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from limner.cli.errors import CliError
from limner.daemon.client import NoDaemonError
from limner.daemon.client_link import probe
from limner.models.plan_choice import Wishes

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0
POLL_S = 0.02
OUTPUT = "private-daemon.log"


@contextmanager
def private_daemon(
    engine: str, threads: int = 0, *, device: str = "auto", wishes: Wishes | None = None
) -> Iterator[Path]:
    """Start a daemon and give its runtime folder; raises CliError when it does not start."""
    # Short: a local socket's path has 107 bytes at most.
    folder = Path(tempfile.mkdtemp(prefix="limner-run-", dir="/tmp"))
    try:
        process = _start(
            folder,
            f"--engine={engine}",
            f"--threads={threads}",
            f"--device={device}",
            f"--wishes={msgspec.json.encode(wishes or Wishes()).decode()}",
        )
        try:
            _wait_for_socket(process, folder)
            yield folder
        finally:
            _stop(process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        # No modules from the folder in which the user happens to be.
        "-P",
        "-m",
        "limner.daemon",
        *options,
        f"--runtime-dir={folder}",
        f"--parent={os.getpid()}",
    ]
    with (folder / OUTPUT).open("wb") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C is for us: the daemon ends after what was painted is safe.
            start_new_session=True,
        )


def _wait_for_socket(process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            lines = (folder / OUTPUT).read_text(errors="replace").strip().splitlines()
            why = lines[-1].removeprefix("limner daemon: ") if lines else f"exit code {process.returncode}"
            raise CliError(f"no daemon could be started: {why}")
        try:
            probe(folder)
            return
        except NoDaemonError:
            time.sleep(POLL_S)
    raise CliError(f"no daemon could be started: it did not answer within {START_TIMEOUT_S:g} s")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
