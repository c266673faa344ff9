"""The filter in a real OBS, with a daemon whose picture is known: what it does to pixels, what it costs."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from tests.end_to_end.conftest import bikes, obs_build  # noqa: F401 (fixtures)
from tests.end_to_end.harness import clips
from tests.end_to_end.harness.builds import Build
from tests.end_to_end.harness.cameras import Camera
from tests.end_to_end.harness.obs import Obs
from tests.end_to_end.harness.waiting import wait_for
from tests.obs_bridge.fake_daemon import FakeDaemon

from limner.daemon import protocol, wire

pytestmark = [pytest.mark.obs, pytest.mark.timeout(600)]
Start = Callable[..., tuple[Obs, FakeDaemon]]
Levels = npt.NDArray[np.int64]
Light = npt.NDArray[np.float64]


@pytest.fixture
def start(obs_build: Build) -> Iterator[Start]:  # noqa: F811
    """Start a daemon and an OBS whose only filter talks to it."""
    with ExitStack() as stack:

        def start_both(
            raw_file: Path, limner: dict[str, Any], *, kind: type[FakeDaemon] = FakeDaemon, **daemon: Any
        ) -> tuple[Obs, FakeDaemon]:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="limner-")))
            fake = stack.enter_context(kind(folder, **daemon))
            camera = Camera(name="Cam", raw_file=raw_file, limner={"start_daemon": False} | limner)
            return stack.enter_context(Obs(obs_build, (camera,), runtime_dir=folder)), fake

        yield start_both


@pytest.fixture
def still(bikes: Path, tmp_path: Path) -> Path:  # noqa: F811
    """One frame of the clip, for ever: what is painted can be compared with what is not."""
    return clips.still(bikes, tmp_path / "still.yuv")


def _levels(obs: Obs) -> Levels:
    return obs.screenshot("Main").astype(np.int64)


def _source(obs: Obs) -> Levels:
    obs.enable_filter("Cam", False)
    picture = _levels(obs)
    obs.enable_filter("Cam", True)
    return picture


def _is_inverted(picture: Levels, source: Levels) -> bool:
    return float(np.abs(picture - (255 - source)).mean()) < float(np.abs(picture - source).mean()) / 4


def test_own_work_is_small_at_832x480(start: Start, bikes: Path) -> None:  # noqa: F811
    obs, _ = start(bikes, {}, invert=False, size=(832, 480))
    obs.wait_painted()
    wait_for("300 frames", lambda: obs.filter_stats()["painted_shown"] > 300, 120)
    figures = obs.filter_stats()
    assert figures["work_us_p99"] <= 300, figures


def test_crop_paints_the_middle_and_leaves_the_rest(start: Start, still: Path) -> None:
    obs, _ = start(still, {"fit": "crop"}, size=(320, 240))
    obs.wait_painted()
    painted, source = _levels(obs), _source(obs)
    assert np.abs(painted[:, :70] - source[:, :70]).max() <= 2
    assert np.abs(painted[:, -70:] - source[:, -70:]).max() <= 2
    assert _is_inverted(painted[:, 110:-110], source[:, 110:-110])


def test_letterbox_paints_all_of_the_source(start: Start, still: Path) -> None:
    obs, _ = start(still, {"fit": "letterbox"}, size=(320, 240))
    obs.wait_painted()
    painted, source = _levels(obs), _source(obs)
    for part in (np.s_[:, :80], np.s_[:, -80:], np.s_[:40], np.s_[-40:]):
        assert _is_inverted(painted[part], source[part])


def test_mix_goes_from_source_to_painted(start: Start, still: Path) -> None:
    obs, _ = start(still, {"exact_size": True})
    obs.wait_painted()
    painted, source = _levels(obs), _source(obs)
    assert np.abs(painted - (255 - source)).max() <= 4
    obs.set_filter("Cam", mix=0)
    wait_for("the source", lambda: bool(np.array_equal(_levels(obs), source)), 30)
    obs.set_filter("Cam", mix=50)
    wait_for("half of each", lambda: obs.filter_stats()["shown_share"] == 0.5, 30)
    half = _encode((_decode(source) + _decode(painted)) / 2)
    wait_for("half of the light of each", lambda: bool(np.abs(_levels(obs) - half).max() <= 2), 30)


def _decode(levels: Levels) -> Light:
    """Return the light, 0..1, of sRGB levels."""
    x = levels / 255
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def _encode(light: Light) -> Light:
    """Return the sRGB levels, 0..255, of light."""
    return 255 * np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize(("on_stall", "share"), [("hold", 1.0), ("hold_then_source", 0.0), ("source", 0.0)])
def test_stall_does_what_was_chosen(on_stall: str, share: float, start: Start, still: Path) -> None:
    obs, daemon = start(still, {"on_stall": on_stall, "hold_ms": 500})
    obs.wait_painted()
    daemon.hang.set()
    wait_for("waiting", lambda: obs.filter_stats()["state"] == "waiting", 30)
    frames = obs.filter_stats()["processed"]
    wait_for("a second", lambda: obs.filter_stats()["processed"] > frames + 30, 60)
    assert obs.filter_stats()["shown_share"] == share
    assert "does not answer" in obs.filter_stats()["sentence"]
    daemon.hang.clear()
    obs.wait_painted()


def test_alpha_of_the_source_is_kept(start: Start, still: Path, tmp_path: Path) -> None:
    obs, _ = start(still, {"exact_size": True}, invert=False)
    # The camera has no picture of its own here: the filter sits on an image with every alpha.
    across, down = np.meshgrid(np.linspace(0, 255, 320), np.linspace(0, 255, 180))
    pixels = np.stack([down, 255 - across, across * 0 + 200, across], axis=-1).astype(np.uint8)
    Image.fromarray(pixels, "RGBA").save(tmp_path / "alpha.png")
    obs.request("RemoveSourceFilter", sourceName="Cam", filterName="Limner")
    obs.request(
        "CreateInput",
        sceneName="Main",
        inputName="Glass",
        inputKind="image_source",
        inputSettings={"file": str(tmp_path / "alpha.png")},
        sceneItemEnabled=True,
    )
    frames = obs.stats().rendered
    wait_for("the picture", lambda: obs.stats().rendered > frames + 30, 30)
    without = _levels(obs)
    obs.request(
        "CreateSourceFilter",
        sourceName="Glass",
        filterName="Limner",
        filterKind="limner_filter",
        filterSettings={"exact_size": True, "start_daemon": False},
    )
    obs.wait_painted("Glass")
    assert np.abs(_levels(obs) - without).max() <= 2


def test_filters_come_and_go_in_the_middle_of_frames(start: Start, bikes: Path) -> None:  # noqa: F811
    obs, _ = start(bikes, {})
    settings = {"start_daemon": False, "exact_size": True}
    obs.wait_painted()
    for turn in range(20):
        obs.request("RemoveSourceFilter", sourceName="Cam", filterName="Limner")
        frames = obs.stats().rendered
        # At times at once, at times after the removed one's thread has ended.
        if turn % 2:
            wait_for("some frames", lambda frames=frames: obs.stats().rendered > frames + 5, 30)  # type: ignore[misc]
        obs.request(
            "CreateSourceFilter",
            sourceName="Cam",
            filterName="Limner",
            filterKind="limner_filter",
            filterSettings=settings,
        )
        wait_for("its frames", lambda frames=frames: obs.stats().rendered > frames + 15, 30)  # type: ignore[misc]
    obs.wait_painted()


class Late(FakeDaemon):
    """Paints a second behind."""

    def say(self, message: wire.Message) -> None:
        if isinstance(message, protocol.Frame):
            threading.Timer(1.0, super().say, [message]).start()
        else:
            super().say(message)


def test_frames_under_way_are_drawn_where_they_were_cut(start: Start, still: Path) -> None:
    obs, _ = start(still, {"fit": "crop"}, size=(320, 240), invert=False, kind=Late)
    obs.wait_painted()
    source = _source(obs)
    for fit in ("letterbox", "crop"):
        obs.wait_painted()
        whole = float(np.abs(_levels(obs)[:, 110:-110] - source[:, 110:-110]).mean())
        obs.set_filter("Cam", fit=fit)
        # Drawn into the other rectangle it would be a third too large or too small.
        for _ in range(20):
            picture = _levels(obs)[:, 110:-110]
            assert float(np.abs(picture - source[:, 110:-110]).mean()) < whole * 2 + 2


def test_any_name_and_size_is_painted(start: Start, still: Path, tmp_path: Path) -> None:
    hellos: list[protocol.Hello] = []

    def heard(message: wire.Message) -> None:
        if isinstance(message, protocol.Hello):
            hellos.append(message)

    obs, _ = start(still, {}, heard=heard)
    obs.wait_painted()
    # 200 characters end in the middle of what 200 bytes hold.
    obs.request("SetInputName", inputName="Cam", newInputName="x" + "é" * 300)
    wait_for("the new name", lambda: hellos[-1].name == "x" + "é" * 199, 30)
    Image.fromarray(np.zeros((64, 9000, 3), np.uint8)).save(tmp_path / "wide.png")
    obs.request(
        "CreateInput",
        sceneName="Main",
        inputName="Wide",
        inputKind="image_source",
        inputSettings={"file": str(tmp_path / "wide.png")},
        sceneItemEnabled=True,
    )
    obs.request(
        "CreateSourceFilter",
        sourceName="Wide",
        filterName="Limner",
        filterKind="limner_filter",
        filterSettings={"start_daemon": False},
    )
    wait_for("its hello", lambda: hellos[-1].name == "Wide", 30)
    assert (hellos[-1].source_width, hellos[-1].source_height) == (8192, 58)
    obs.wait_painted("Wide")
