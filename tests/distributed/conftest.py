"""Processes that are spawned share a helper of Python's, which ends with the whole run."""

from __future__ import annotations

from multiprocessing import resource_tracker

import pytest


@pytest.fixture(scope="session", autouse=True)
def helper_of_spawned_processes() -> None:
    """Be there before the first test: what one leaves behind fails it."""
    resource_tracker.ensure_running()
