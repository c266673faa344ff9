"""The demo with engines that are slow, that fail, and with the real engine on random weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.cli.clips import read_clip, write_clip
from tests.cli.runner import Result, run_limner
from tests.support.daemon import RunningDaemon, running_daemon

from limner.cli.demo.run import Timeline
from limner.cli.demo.writer import Writer

REPORT = "report.json"


class FakeWriter:
    """Notes what would be written: the picture's value at each time."""

    def __init__(self) -> None:
        self.shown: list[tuple[int, int, int]] = []

    def put(self, pixels_HWC: NDArray[np.uint8], times: list[tuple[int, int]]) -> None:
        self.shown += [(int(pixels_HWC.flat[0]), pts, duration) for pts, duration in times]


def picture(value: int) -> NDArray[np.uint8]:
    return np.full((2, 2, 4), value, np.uint8)


def test_dropped_frames_show_the_latest_painted_one() -> None:
    writer = FakeWriter()
    timeline = Timeline(cast(Writer, writer))
    for pts in (0, 10, 20, 35, 40, 50):
        timeline.came_in(pts)
    timeline.painted(1, picture(1))
    timeline.painted(4, picture(4))
    timeline.finish()
    # Before the first painted picture there is only that one to show.
    assert writer.shown == [(1, 0, 10), (1, 10, 10), (1, 20, 15), (1, 35, 5), (4, 40, 10), (4, 50, 10)]


def test_nothing_painted_writes_nothing() -> None:
    writer = FakeWriter()
    timeline = Timeline(cast(Writer, writer))
    timeline.came_in(0)
    timeline.finish()
    assert writer.shown == []


@pytest.fixture(scope="module")
def fake() -> Iterator[RunningDaemon]:
    """A daemon whose engine does what the prompt says, in chunks of four."""
    with running_daemon(engine="tests.worker.fakes:fake", LIMNER_TEST_ENGINES="1") as running:
        running.wait_ready()
        yield running


def demo(daemon: RunningDaemon, folder: Path, clip: Path, *options: str) -> Result:
    return run_limner(
        daemon.runtime_dir, "demo", clip, "-o", folder / "out.mp4", "--report", folder / REPORT, *options
    )


def test_slow_engine_drops_frames_and_keeps_the_time(fake: RunningDaemon, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", rate=60, frames=180)
    result = demo(fake, tmp_path, clip, "--prompt", "slow", "--seed", "130")
    assert result.code == 0, result.err
    figures = json.loads((tmp_path / REPORT).read_text())
    assert figures["frames_in"] == figures["frames_written"] == 180
    assert figures["dropped"] > 30
    assert figures["frames_out"] == 180 - figures["dropped"]
    # Latest wins: the delay does not grow with the length of the clip.
    assert figures["latency_ms"]["p50"] < 4000
    seen = read_clip(tmp_path / "out.mp4")
    assert seen.times_s == pytest.approx([index / 60 for index in range(180)], abs=1e-4)
    assert set(seen.greys) <= set(range(120, 141))


def test_slow_engine_at_leisure_paints_everything(fake: RunningDaemon, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", rate=60, frames=30)
    result = demo(fake, tmp_path, clip, "--prompt", "slow", "--no-realtime")
    assert result.code == 0, result.err
    assert json.loads((tmp_path / REPORT).read_text())["frames_out"] == 30


@pytest.mark.parametrize("mode", ["--realtime", "--no-realtime"])
def test_engine_that_fails_is_quoted(fake: RunningDaemon, tmp_path: Path, mode: str) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=600)
    result = demo(fake, tmp_path, clip, "--prompt", "raise", mode)
    assert result.code == 1
    assert "this prompt cannot be painted" in result.sentence
    assert not (tmp_path / "out.mp4").exists()


def test_size_that_does_not_fit_is_quoted(fake: RunningDaemon, tmp_path: Path) -> None:
    result = demo(fake, tmp_path, write_clip(tmp_path / "clip.mp4"), "--prompt", "no stream")
    assert result.code == 1
    assert "does not fit" in result.sentence


def test_engine_that_cannot_be_loaded(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    with running_daemon(engine="tests.worker.fakes:unloadable", LIMNER_TEST_ENGINES="1") as daemon:
        result = demo(daemon, tmp_path, clip)
    assert result.code == 1
    assert "the weights are not there" in result.sentence


@pytest.mark.slow
def test_real_engine_paints_every_frame(tmp_path: Path) -> None:
    """Clips that do not fill a chunk, and several steps, whose chunks lag behind."""
    with running_daemon(engine="tests.worker.fakes:random_pocket", LIMNER_TEST_ENGINES="1") as daemon:
        daemon.wait_ready()
        for frames, steps in ((1, 1), (6, 1), (13, 3)):
            clip = write_clip(tmp_path / "clip.mp4", size=(160, 96), frames=frames)
            result = demo(daemon, tmp_path, clip, "--no-realtime", "--steps", str(steps))
            assert result.code == 0, result.err
            figures = json.loads((tmp_path / REPORT).read_text())
            assert (figures["frames_out"], figures["dropped"]) == (frames, 0)
