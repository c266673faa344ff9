"""One echo daemon for all tests of a module: they do not disturb it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.daemon import RunningDaemon, private_runtime_dir, running_daemon


@pytest.fixture(scope="module")
def daemon() -> Iterator[RunningDaemon]:
    """A daemon with an echo worker that is ready."""
    with running_daemon() as running:
        running.wait_ready()
        yield running


@pytest.fixture
def no_daemon() -> Iterator[Path]:
    """A runtime folder without a daemon; nothing may be left in it."""
    with private_runtime_dir() as folder:
        yield folder
