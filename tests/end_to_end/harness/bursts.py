"""Changes in quick succession: of scenes, of a filter that a rule names, and by hand."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil
from tests.end_to_end.harness import scenes
from tests.end_to_end.harness.obs import Obs
from tests.support.daemon import RunningDaemon

from limner.daemon.client import Client
from limner.daemon.protocol import Change

EVERY_S = 0.05


def burst(obs: Obs, daemon: RunningDaemon, count: int) -> None:
    """Change scenes (Main, Gaming), the filter Dream of Cam and settings 20 times a second.

    The last of each: Gaming, Dream on.
    """
    with Client(daemon.runtime_dir) as client:
        for number in range(count):
            is_last = number >= count - 3
            next_s = time.monotonic() + EVERY_S
            match number % 3:
                case 0:
                    obs.show_scene("Gaming" if number % 2 or is_last else "Main")
                case 1:
                    scenes.switch(obs, "Cam", "Dream", bool(number % 2) or is_last)
                case _:
                    client.set(Change(seed=number))
            time.sleep(max(0.0, next_s - time.monotonic()))


def lagged_share(obs: Obs, work: Callable[[], object]) -> float:
    """Return the share of frames that OBS lost while something was done, 0..1."""
    before = obs.stats()
    work()
    after = obs.stats()
    return (after.lagged - before.lagged) / (after.rendered - before.rendered)


def memory_bytes(daemon: RunningDaemon) -> int:
    """Return what the daemon and the control of OBS hold by themselves."""
    process = psutil.Process(daemon.pid)
    control = [one for one in process.children() if "limner.obs_bridge" in one.cmdline()]
    assert len(control) == 1
    return sum(int(one.memory_full_info().uss) for one in (process, *control))
