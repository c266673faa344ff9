"""No test leaves a thread or a process behind. (Segments and sockets: see support/daemon.py.)"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

# What a test ended in its last line may need a moment to be gone.
PATIENCE_S = 5.0


def pytest_configure() -> None:
    """Let the threads of torch sleep while they wait, as in the worker; hide the user's own settings."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Whoever runs the tests may have styles and rules of their own.
    os.environ["LIMNER_CONFIG_DIR"] = "/nonexistent/limner"


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves threads or child processes which were not there before it."""
    threads, children = set(threading.enumerate()), set(_children())
    yield
    for what, left in (
        ("threads", lambda: [t.name for t in threading.enumerate() if t not in threads]),
        ("processes", lambda: [str(c) for c in _children() if c not in children]),
    ):
        remaining = _wait_until_none(left)
        assert not remaining, f"the test left {what} behind: {remaining}"


def _children() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
    return found


def _wait_until_none(left: Callable[[], list[str]]) -> list[str]:
    deadline = time.monotonic() + PATIENCE_S
    while (remaining := left()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return remaining
