"""The filter starts the installed daemon by itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.end_to_end.harness.builds import Build
from tests.end_to_end.harness.cameras import Camera
from tests.end_to_end.harness.obs import Obs
from tests.end_to_end.harness.waiting import wait_for
from tests.support.daemon import private_runtime_dir

from limner.daemon.lock import stop_daemon

pytestmark = [pytest.mark.obs, pytest.mark.slow, pytest.mark.timeout(600)]
LIMNER = Path(sys.executable).parent / "limner"


def test_the_filter_starts_the_daemon_and_is_served(obs_build: Build, bikes: Path) -> None:
    with private_runtime_dir() as folder:
        camera = Camera(name="Cam", raw_file=bikes, limner={"start_daemon": True})
        try:
            with Obs(obs_build, (camera,), runtime_dir=folder, limner_command=str(LIMNER)) as obs:
                obs.wait_painted(timeout_s=120)
            # The daemon outlives OBS: the next one finds its model loaded.
            assert list(folder.glob("daemon.sock"))
        finally:
            stop_daemon(folder)


def test_switched_off_it_starts_nothing(obs_build: Build, bikes: Path) -> None:
    with private_runtime_dir() as folder:
        camera = Camera(name="Cam", raw_file=bikes, limner={"start_daemon": False})
        with Obs(obs_build, (camera,), runtime_dir=folder, limner_command=str(LIMNER)) as obs:
            start = obs.stats().rendered
            wait_for("a hundred frames", lambda: obs.stats().rendered >= start + 100, 60)
            assert not obs.leftovers()
            assert obs.filter_stats()["state"] == "waiting"
