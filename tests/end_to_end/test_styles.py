"""The main job: a real clip, painted by `pocket` in a real OBS, changed from a terminal."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.end_to_end.harness.builds import Build
from tests.end_to_end.harness.cameras import Camera
from tests.end_to_end.harness.looks import Eye, steady_look
from tests.end_to_end.harness.obs import Obs
from tests.end_to_end.harness.waiting import wait_for
from tests.support.daemon import RunningDaemon, running_daemon

pytestmark = [pytest.mark.obs, pytest.mark.slow, pytest.mark.timeout(900)]

LIMNER = Path(sys.executable).parent / "limner"
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def pocket() -> Iterator[RunningDaemon]:
    with running_daemon("pocket", threads=2) as daemon:
        daemon.wait_ready()
        yield daemon


def limner(daemon: RunningDaemon, *arguments: str) -> str:
    done = subprocess.run(
        [str(LIMNER), *arguments],
        env=daemon.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_painted_frames_reach_the_programme(obs_build: Build, bikes: Path, pocket: RunningDaemon) -> None:
    camera = Camera(name="Cam", raw_file=bikes, limner={"start_daemon": False, "style": "oil painting"})
    with Obs(obs_build, (camera,), runtime_dir=pocket.runtime_dir) as obs:
        obs.wait_painted(timeout_s=PATIENCE_S)
        before, before_obs, start_s = obs.filter_stats(), obs.stats(), time.monotonic()
        wait_for("15 s of frames", lambda: obs.stats().rendered >= before_obs.rendered + 450, 60)
        after, after_obs, seconds = obs.filter_stats(), obs.stats(), time.monotonic() - start_s
        # Generous: other work may share this machine. tests/benchmarks/obs_live.py measures what is promised.
        assert (after["painted_shown"] - before["painted_shown"]) / seconds > 5
        lagged = after_obs.lagged - before_obs.lagged
        assert lagged < 0.5 * (after_obs.rendered - before_obs.rendered)


def test_a_style_from_the_terminal_shows_without_a_cut(
    obs_build: Build, street: Path, pocket: RunningDaemon
) -> None:
    camera = Camera(name="Cam", raw_file=street, limner={"start_daemon": False, "style": "oil painting"})
    first, second = "pencil sketch", "neon"
    with Obs(obs_build, (camera,), runtime_dir=pocket.runtime_dir) as obs:
        obs.wait_painted(timeout_s=PATIENCE_S)
        references = {}
        for style in (second, first):
            limner(pocket, "set", "--style", style)
            wait_for_steady(obs)
            references[style] = steady_look(obs, "Cam")
        obs.enable_filter("Cam", False)
        references["source"] = steady_look(obs, "Cam")
        obs.enable_filter("Cam", True)
        obs.wait_painted(timeout_s=PATIENCE_S)
        eye = Eye(obs, "Cam", references)
        eye.watch_until(first)

        process = subprocess.Popen(
            [str(LIMNER), "set", "--style", second], env=pocket.environment, stdout=subprocess.DEVNULL
        )
        seen = {sight.name for sight in eye.watch_until(second)}
        assert process.wait(30) == 0
        assert seen <= {first, second}, "neither black nor the source in between"


def wait_for_steady(obs: Obs) -> None:
    """Wait until the picture has been painted for two more seconds."""
    start = obs.filter_stats()["painted_shown"]
    wait_for("painted frames", lambda: obs.filter_stats()["painted_shown"] > start + 25, PATIENCE_S)


def test_two_filters_two_prompts(obs_build: Build, street: Path, bunny: Path, pocket: RunningDaemon) -> None:
    cameras = (
        Camera(name="Street", raw_file=street, limner={"start_daemon": False, "style": "pencil sketch"}),
        Camera(name="Wood", raw_file=bunny, limner={"start_daemon": False, "style": "neon"}),
    )
    with Obs(obs_build, cameras, runtime_dir=pocket.runtime_dir) as obs:
        obs.wait_painted("Street", "Wood", timeout_s=PATIENCE_S)
        sessions = {one.name: one.status.settings.style for one in pocket.query().sessions}
        assert sessions == {"Street": "pencil sketch", "Wood": "neon"}
        # Paper and night: whatever the source, a sketch is light and neon is dark.
        wait_for(
            "a sketch beside neon",
            lambda: obs.screenshot("Street", 160).mean() > obs.screenshot("Wood", 160).mean() + 20,
            PATIENCE_S,
        )
