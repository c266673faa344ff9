"""kill -9 of everything: OBS keeps its rate, the picture goes hold → source, and painting comes back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.end_to_end.harness.builds import Build
from tests.end_to_end.harness.cameras import Camera
from tests.end_to_end.harness.obs import Obs
from tests.end_to_end.harness.waiting import wait_for
from tests.support.daemon import RunningDaemon, private_runtime_dir, start_daemon

pytestmark = [pytest.mark.obs, pytest.mark.timeout(600)]

HOLD_MS = 700
FADE_MS = 300
# A machine that trains a model at the same time is slow; the benchmark measures the promised 5 s.
PATIENCE_S = 60.0


@dataclass
class Stage:
    """An OBS and a daemon, and what happened to the daemon since."""

    obs: Obs
    daemon: RunningDaemon

    @property
    def worker_pid(self) -> int:
        return self.daemon.query().worker.pid

    def new_daemon(self) -> None:
        self.daemon = start_daemon(self.daemon.runtime_dir)

    def kill_daemon(self) -> None:
        self.daemon.process.kill()
        self.daemon.process.wait()


@pytest.fixture
def stage(obs_build: Build, bikes: Path) -> Iterator[Stage]:
    camera = Camera(
        name="Cam",
        raw_file=bikes,
        limner={"start_daemon": False, "hold_ms": HOLD_MS, "on_stall": "hold_then_source"},
    )
    with private_runtime_dir() as folder:
        with Obs(obs_build, (camera,), runtime_dir=folder) as obs:
            stage = Stage(obs=obs, daemon=start_daemon(folder))
            obs.wait_painted()
            yield stage
        if stage.daemon.process.poll() is None:
            assert stage.daemon.stop() == 0


@dataclass(frozen=True)
class Rate:
    """OBS's frames over a stretch of time."""

    frames: int
    lagged: int
    seconds: float

    @property
    def fps(self) -> float:
        return self.frames / self.seconds


class Watch:
    """Measures OBS's own rate from its creation to `rate`."""

    def __init__(self, obs: Obs) -> None:
        self._obs, self._before, self._start_s = obs, obs.stats(), time.monotonic()

    def rate(self) -> Rate:
        after = self._obs.stats()
        return Rate(
            frames=after.rendered - self._before.rendered,
            lagged=after.lagged - self._before.lagged,
            seconds=time.monotonic() - self._start_s,
        )


def assert_goes_to_the_source(obs: Obs) -> None:
    """The painted picture stays for the set time, fades, and the source is left, with a sentence."""
    wait_for("the source", lambda: obs.filter_stats()["shown_share"] == 0, HOLD_MS / 1000 + PATIENCE_S)
    stats = obs.filter_stats()
    assert stats["state"] == "waiting"
    assert "daemon" in stats["sentence"]


def usual_rate(obs: Obs, seconds: float = 2.0) -> Rate:
    """Return OBS's rate as it is on this machine just now, with whatever else runs on it."""
    watch, end_s = Watch(obs), time.monotonic() + seconds
    wait_for("time to pass", lambda: time.monotonic() >= end_s, seconds + 5)
    return watch.rate()


def assert_obs_kept_its_rate(watch: Watch, usual: Rate) -> None:
    """Far from a stall; tests/benchmarks/obs_live.py holds the 1 % on a machine that does nothing else."""
    rate = watch.rate()
    assert rate.fps > 0.6 * usual.fps, (rate, usual)
    assert rate.lagged / rate.frames <= usual.lagged / usual.frames + 0.4, (rate, usual)


def test_worker_killed(stage: Stage) -> None:
    usual, watch = usual_rate(stage.obs), Watch(stage.obs)
    first = stage.worker_pid
    os.kill(first, signal.SIGKILL)
    stage.daemon.wait_ready(not_pid=first)
    stage.obs.wait_painted()
    assert_obs_kept_its_rate(watch, usual)


def test_daemon_killed(stage: Stage) -> None:
    usual, watch = usual_rate(stage.obs), Watch(stage.obs)
    stage.kill_daemon()
    assert_goes_to_the_source(stage.obs)
    wait_for("the worker's end", lambda: not stage.obs.leftovers().processes, PATIENCE_S)
    assert stage.obs.leftovers().segments == ()
    stage.new_daemon()
    stage.obs.wait_painted()
    assert_obs_kept_its_rate(watch, usual)


def test_both_killed(stage: Stage) -> None:
    usual, watch = usual_rate(stage.obs), Watch(stage.obs)
    worker = stage.worker_pid
    os.kill(stage.daemon.pid, signal.SIGSTOP)
    os.kill(worker, signal.SIGKILL)
    stage.kill_daemon()
    assert_goes_to_the_source(stage.obs)
    stage.new_daemon()
    stage.obs.wait_painted()
    assert_obs_kept_its_rate(watch, usual)


def test_obs_killed_leaves_a_daemon_that_serves_the_next(stage: Stage) -> None:
    daemon = stage.daemon.pid
    stage.obs.kill()
    wait_for("the session's end", lambda: not stage.daemon.query().sessions, PATIENCE_S)
    assert stage.obs.leftovers().segments == ()
    stage.obs.start()
    stage.obs.wait_painted()
    assert stage.daemon.pid == daemon
    assert len(stage.daemon.query().sessions) == 1


def test_a_clean_end_leaves_nothing(stage: Stage) -> None:
    assert stage.obs.stop()
    wait_for("the session's end", lambda: not stage.daemon.query().sessions, PATIENCE_S)
    assert stage.daemon.stop() == 0
    assert not stage.obs.leftovers()
