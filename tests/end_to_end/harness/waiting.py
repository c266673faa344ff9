"""Waiting for what an OBS does, with a limit."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_for(
    what: str,
    condition: Callable[[], bool],
    timeout_s: float,
    poll_s: float = 0.05,
    instead: Callable[[], object] = str,
) -> float:
    """Return the seconds until `condition` held; fails the test when it does not in time.

    `instead` tells what there is then.
    """
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > timeout_s:
            raise AssertionError(f"{what}: not within {timeout_s} s {instead()}")
        time.sleep(poll_s)
    return time.monotonic() - start
