"""How much the filter does: once a frame, nothing when hidden; and what it gives back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.end_to_end.harness import clips
from tests.end_to_end.harness.builds import Build
from tests.end_to_end.harness.cameras import FPS, Camera
from tests.end_to_end.harness.obs import Obs
from tests.end_to_end.harness.waiting import wait_for
from tests.support.daemon import RunningDaemon, running_daemon

pytestmark = [pytest.mark.obs, pytest.mark.timeout(600)]
QUIET = {"start_daemon": False}


@pytest.fixture
def echo() -> Iterator[RunningDaemon]:
    with running_daemon("echo") as daemon:
        daemon.wait_ready()
        yield daemon


def frames_later(obs: Obs, frames: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the filter's counters now and after OBS has rendered `frames` more."""
    before, start = obs.filter_stats(), obs.stats().rendered
    wait_for(f"{frames} frames", lambda: obs.stats().rendered >= start + frames, 60)
    return before, obs.filter_stats()


def test_studio_mode_draws_twice_and_works_once(obs_build: Build, bikes: Path, echo: RunningDaemon) -> None:
    camera = Camera(name="Cam", raw_file=bikes, limner=QUIET)
    with Obs(obs_build, (camera,), runtime_dir=echo.runtime_dir, preview=True) as obs:
        obs.wait_painted()
        obs.request("SetStudioModeEnabled", studioModeEnabled=True)
        obs.request("SetCurrentPreviewScene", sceneName="Main")
        frames_later(obs, FPS)
        before, after = frames_later(obs, 4 * FPS)
        processed = after["processed"] - before["processed"]
        draws = after["draws"] - before["draws"]
        assert processed > 0
        assert draws >= 1.8 * processed, "every view is drawn, and works only once"


def test_a_hidden_source_does_no_work(obs_build: Build, bikes: Path, echo: RunningDaemon) -> None:
    camera = Camera(name="Cam", raw_file=bikes, limner=QUIET)
    with Obs(obs_build, (camera,), runtime_dir=echo.runtime_dir) as obs:
        obs.wait_painted()
        obs.show_scene("Empty")
        frames_later(obs, FPS)
        before, after = frames_later(obs, 3 * FPS)
        assert after["captured"] == before["captured"]
        assert after["processed"] == before["processed"]
        obs.show_scene("Main")
        obs.wait_painted()


def test_echo_gives_the_same_picture(
    obs_build: Build, bikes: Path, echo: RunningDaemon, tmp_path: Path
) -> None:
    still = clips.still(bikes, tmp_path / "still.yuv")
    with Obs(
        obs_build,
        (Camera(name="Cam", raw_file=still, limner=QUIET | {"exact_size": True}),),
        runtime_dir=echo.runtime_dir,
    ) as obs:
        obs.wait_painted()
        painted = obs.screenshot("Main").astype(int)
        obs.enable_filter("Cam", False)
        source = obs.screenshot("Main").astype(int)
        difference = np.abs(painted - source)
        assert difference.max() <= 2, difference.max()
