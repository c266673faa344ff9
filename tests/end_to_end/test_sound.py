"""The sound stays in step with the painted picture: a flash and a tone of one source, as OBS records them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from tests.end_to_end.harness.builds import Build
from tests.end_to_end.harness.cameras import FPS, Camera
from tests.end_to_end.harness.clips import HEIGHT, WIDTH
from tests.end_to_end.harness.obs import Obs
from tests.end_to_end.harness.waiting import wait_for
from tests.support.daemon import RunningDaemon, running_daemon

pytestmark = [pytest.mark.obs, pytest.mark.timeout(600)]

LOOP_FRAMES, FLASH_FRAMES = 45, 6
STEP_MS = 40
START_S = 6
"""Of a recording: OBS's encoders and its audio buffer find their stride; not looked at."""
OWN_MS = 70
"""An offset that the source has of its own."""


@pytest.fixture(scope="module")
def daemon() -> Iterator[RunningDaemon]:
    with running_daemon("echo") as running:
        running.wait_ready()
        yield running


@pytest.fixture(scope="module")
def flashes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flash every 1.5 s, else black: raw I420."""
    path = tmp_path_factory.mktemp("flash") / "flash.yuv"
    luma, chroma = WIDTH * HEIGHT, WIDTH * HEIGHT // 2
    frames = [235] * FLASH_FRAMES + [16] * (LOOP_FRAMES - FLASH_FRAMES)
    path.write_bytes(b"".join(bytes([level]) * luma + bytes([128]) * chroma for level in frames))
    return path


def camera(flashes: Path, **limner: object) -> Camera:
    return Camera(name="Cam", raw_file=flashes, limner={"start_daemon": False, **limner}, tone=True)


def offset_ms(obs: Obs) -> int:
    answer = obs.request("GetInputAudioSyncOffset", inputName="Cam")
    return int(answer["inputAudioSyncOffset"])


def wait_until_it_rests(obs: Obs) -> None:
    """Wait until the offset has been the same for three seconds: OBS too takes a while to follow it."""
    now, same = offset_ms(obs), 0
    while same < 15:
        time.sleep(0.2)
        before, now = now, offset_ms(obs)
        same = same + 1 if now == before else 0


def recorded(obs: Obs, seconds: float) -> Path:
    obs.request("StartRecord")
    begin = obs.stats().rendered
    wait_for("the recording", lambda: obs.stats().rendered >= begin + seconds * FPS, 60)
    path = Path(obs.request("StopRecord")["outputPath"])
    wait_for("its end", lambda: not obs.request("GetRecordStatus")["outputActive"], 20)
    return path


def onsets(times_s: npt.NDArray[np.float64], is_on: npt.NDArray[np.bool_]) -> list[float]:
    return [
        float(t) for (before, now), t in zip(pairwise(is_on), times_s[1:], strict=True) if now and not before
    ]


def flashes_and_tones_s(path: Path) -> tuple[list[float], list[float]]:
    """Return when the picture becomes bright, and when the tone begins."""
    with av.open(str(path)) as file:
        pictures = [
            (float(frame.time or 0), float(frame.to_ndarray(format="gray").mean()))
            for frame in file.decode(video=0)
        ]
    with av.open(str(path)) as file:
        parts = [
            (float(frame.time or 0), frame.sample_rate, frame.to_ndarray()[0])
            for frame in file.decode(audio=0)
        ]
    seen_s, light = np.array([t for t, _ in pictures]), np.array([level for _, level in pictures])
    rate = parts[0][1]
    heard_s = np.concatenate([t + np.arange(len(samples)) / rate for t, _, samples in parts])
    # The loudest of 4 ms: a tone has moments of silence.
    loud = np.abs(np.concatenate([samples for _, _, samples in parts]).astype(np.float64))
    window = rate // 250
    usable = len(loud) // window * window
    envelope = loud[:usable].reshape(-1, window).max(axis=1)
    return onsets(seen_s, light > 100), onsets(heard_s[:usable:window], envelope > 0.1)


def steps_ms(path: Path) -> list[float]:
    """Return by how much each flash is later than the tone nearest to it."""
    seen, heard = flashes_and_tones_s(path)
    assert len(seen) >= 2 and len(heard) >= 2, (seen, heard)
    return [1000 * min((flash - tone for tone in heard), key=abs) for flash in seen if flash > START_S]


def test_the_tone_of_a_painted_flash_is_heard_with_it(
    obs_build: Build, daemon: RunningDaemon, flashes: Path
) -> None:
    with Obs(obs_build, (camera(flashes),), runtime_dir=daemon.runtime_dir) as obs:
        obs.request("SetInputAudioSyncOffset", inputName="Cam", inputAudioSyncOffset=0)
        obs.wait_painted("Cam")
        wait_for("an offset", lambda: offset_ms(obs) > 0, 30)
        wait_until_it_rests(obs)
        in_step = steps_ms(recorded(obs, START_S + 7))
        # The middle one: a busy machine loses frames, and a flash with them.
        assert len(in_step) >= 3 and abs(np.median(in_step)) <= STEP_MS, in_step
        # Without it the picture is later than the tone: this test can fail.
        obs.set_filter("Cam", sound_in_step=False)
        wait_for("no offset", lambda: offset_ms(obs) == 0, 30)
        without = steps_ms(recorded(obs, START_S + 4))
        assert len(without) >= 2 and np.median(without) > STEP_MS, without


def test_an_offset_of_the_sources_own_is_kept_and_comes_back(
    obs_build: Build, daemon: RunningDaemon, flashes: Path
) -> None:
    with Obs(obs_build, (camera(flashes),), runtime_dir=daemon.runtime_dir) as obs:
        obs.wait_painted("Cam")
        wait_for("an offset", lambda: offset_ms(obs) > 0, 30)
        obs.request("SetInputAudioSyncOffset", inputName="Cam", inputAudioSyncOffset=offset_ms(obs) + OWN_MS)
        # Never stacked: not by a bypass and back, not by a restart.
        obs.vendor("Bypass", bypass=True)
        wait_for("its own offset", lambda: offset_ms(obs) == OWN_MS, 30)
        obs.vendor("Bypass", bypass=False)
        wait_for("more than its own", lambda: offset_ms(obs) > OWN_MS, 30)
        assert obs.stop()
        obs.start()
        obs.wait_painted("Cam")
        obs.vendor("Bypass", bypass=True)
        wait_for("its own offset after a restart", lambda: offset_ms(obs) == OWN_MS, 30)
        obs.vendor("Bypass", bypass=False)
        wait_for("more than its own again", lambda: offset_ms(obs) > OWN_MS, 30)
        # Closed while it is there, and nothing is painted in the next life.
        obs.enable_filter("Cam", False)
        assert offset_ms(obs) > OWN_MS
        assert obs.stop()
        obs.start()
        wait_for("its own offset without painting", lambda: offset_ms(obs) == OWN_MS, 30)
        obs.enable_filter("Cam", True)
        wait_for("more than its own once more", lambda: offset_ms(obs) > OWN_MS, 30)
        obs.request("RemoveSourceFilter", sourceName="Cam", filterName="Limner")
        wait_for("its own offset without the filter", lambda: offset_ms(obs) == OWN_MS, 30)


def test_one_sound_for_two_pictures_is_delayed_once_and_handed_on(
    obs_build: Build, daemon: RunningDaemon, flashes: Path
) -> None:
    second = Camera(
        name="Second",
        raw_file=flashes,
        limner={"start_daemon": False, "sound_source": "Cam", "sound_in_step": False},
    )
    with Obs(obs_build, (camera(flashes), second), runtime_dir=daemon.runtime_dir) as obs:
        obs.wait_painted("Cam", "Second")
        wait_for("an offset", lambda: offset_ms(obs) > 0, 30)
        wait_until_it_rests(obs)
        alone = offset_ms(obs)
        obs.set_filter("Second", sound_in_step=True)
        wait_until_it_rests(obs)
        assert offset_ms(obs) < 2 * alone
        obs.set_filter("Cam", sound_in_step=False)
        wait_until_it_rests(obs)
        assert 0 < offset_ms(obs) < 2 * alone
        obs.set_filter("Second", sound_in_step=False)
        wait_for("no offset", lambda: offset_ms(obs) == 0, 30)
