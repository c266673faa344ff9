"""Control from inside OBS: real key presses, and the vendor requests of stream decks and scripts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import numpy as np
import obsws_python
import pytest
from tests.end_to_end.harness import clips
from tests.end_to_end.harness.builds import Build
from tests.end_to_end.harness.cameras import Camera
from tests.end_to_end.harness.obs import Obs
from tests.end_to_end.harness.waiting import wait_for
from tests.obs_bridge.fake_daemon import STYLES, FakeDaemon
from tests.support.daemon import RunningDaemon, running_daemon

from limner.daemon.client import Client
from limner.daemon.protocol import Change, Reset, Set, Settings
from limner.daemon.wire import Message

pytestmark = [pytest.mark.obs, pytest.mark.timeout(600)]

KEYS = {
    "limner.next_style": "F1",
    "limner.previous_style": "F2",
    "limner.style_1": "F3",
    "limner.style_9": "F4",
    "limner.more_strength": "F5",
    "limner.less_strength": "F6",
    "limner.bypass": "F7",
    "limner.hold_bypass": "F8",
    "limner.panic": "F9",
    "limner.reset": "F10",
} | {f"limner.style_{number}": str(number) for number in range(2, 9)}


@pytest.fixture(scope="module")
def daemon() -> Iterator[RunningDaemon]:
    with running_daemon("echo") as running:
        running.wait_ready()
        yield running


@pytest.fixture(scope="module")
def still(bikes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.still(bikes, tmp_path_factory.mktemp("still") / "still.yuv")


@contextmanager
def live_obs(build: Build, daemon: RunningDaemon, *cameras: Camera) -> Iterator[Obs]:
    with Obs(build, cameras, runtime_dir=daemon.runtime_dir) as obs:
        obs.wait_painted(*(camera.name for camera in cameras))
        yield obs


def camera(name: str, raw_file: Path, **limner: Any) -> Camera:
    keys = {action: f"OBS_KEY_{key}" for action, key in KEYS.items()}
    return Camera(name=name, raw_file=raw_file, limner={"start_daemon": False, **limner}, hotkeys=keys)


def settings_of(daemon: RunningDaemon, name: str = "Cam") -> Settings:
    return next(one.status.settings for one in daemon.query().sessions if one.name == name)


def arrives(daemon: RunningDaemon, what: str, holds: Callable[[Settings], bool]) -> None:
    wait_for(what, lambda: holds(settings_of(daemon)), 20, instead=lambda: settings_of(daemon))


def in_style(name: str) -> Callable[[Settings], bool]:
    return lambda settings: settings.style == name


def test_each_hotkey_does_what_it_says_and_bindings_survive_a_restart(
    obs_build: Build, daemon: RunningDaemon, still: Path
) -> None:
    names = daemon.query().styles
    unpressed = set(KEYS)
    with live_obs(obs_build, daemon, camera("Cam", still)) as obs:

        def press(action: str, what: str, holds: Callable[[Settings], bool], *, held_s: float = 0.15) -> None:
            unpressed.discard(f"limner.{action}")
            obs.press(KEYS[f"limner.{action}"], held_s)
            arrives(daemon, what, holds)

        for number in range(2, 9):
            press(f"style_{number}", f"style {number}", in_style(names[number - 1]))
        press("style_9", "the ninth style", lambda s: s.style == names[8])
        press("next_style", "the tenth", lambda s: s.style == names[9])
        press("previous_style", "the ninth again", lambda s: s.style == names[8])
        press("style_1", "the first", lambda s: s.style == names[0])
        press("previous_style", "the last", lambda s: s.style == names[-1])
        before = settings_of(daemon).strength
        press("more_strength", "more", lambda s: s.strength == pytest.approx(before + 0.05))
        press("less_strength", "less", lambda s: s.strength == pytest.approx(before))
        obs.press(KEYS["limner.next_style"])
        press("next_style", "two quick presses: two on", lambda s: s.style == names[1])
        press("bypass", "bypass", lambda s: s.bypass)
        press("bypass", "no bypass", lambda s: not s.bypass)
        obs.wait_painted("Cam")
        press("panic", "panic", lambda s: s.bypass)
        wait_for("the source", lambda: obs.filter_stats()["shown_share"] == 0, 20)
        press("bypass", "no bypass after a panic", lambda s: not s.bypass)
        # These have tests of their own.
        assert unpressed == {"limner.hold_bypass", "limner.reset"}
        assert len(KEYS) == 17

        assert obs.stop()
        obs.start()
        obs.wait_painted("Cam")
        assert settings_of(daemon).style == names[1]
        press("style_9", "the ninth style after a restart", lambda s: s.style == names[8])
        press("style_4", "the fourth", lambda s: s.style == names[3])
        press("next_style", "the fifth", lambda s: s.style == names[4])
        press("previous_style", "the fourth again", lambda s: s.style == names[3])
        before = settings_of(daemon).strength
        press("less_strength", "less", lambda s: s.strength == pytest.approx(before - 0.05))
        press("panic", "panic", lambda s: s.bypass)
        press("bypass", "no bypass", lambda s: not s.bypass)


def test_a_bypass_comes_back_with_obs_and_one_for_the_moment_does_not(
    obs_build: Build, daemon: RunningDaemon, still: Path
) -> None:
    with live_obs(obs_build, daemon, camera("Cam", still)) as obs:

        def restart() -> bool:
            """Return whether the source is shown after OBS was closed and started again."""
            assert obs.stop()
            obs.start()
            wait_for("a session", lambda: bool(daemon.query().sessions), 20)
            obs.filter_stats()
            return settings_of(daemon).bypass

        obs.press(KEYS["limner.panic"])
        wait_for("panic", lambda: settings_of(daemon).bypass, 20)
        assert not restart(), "a panic is over when OBS is"
        obs.press(KEYS["limner.bypass"])
        wait_for("bypass", lambda: settings_of(daemon).bypass, 20)
        assert restart(), "what was asked for stays"
        assert obs.vendor("GetStatus")["filters"][0]["bypass"] is True
        # Ended from elsewhere: it does not come back either.
        with Client(daemon.runtime_dir) as terminal:
            terminal.set(Change(bypass=False))
        wait_for("no bypass", lambda: obs.vendor("GetStatus")["filters"][0]["bypass"] is False, 20)
        assert not restart()
        obs.wait_painted("Cam")


def test_bypass_lasts_as_long_as_its_key_is_held(
    obs_build: Build, daemon: RunningDaemon, still: Path
) -> None:
    with live_obs(obs_build, daemon, camera("Cam", still)) as obs:
        hold = Thread(target=obs.press, args=(KEYS["limner.hold_bypass"], 3.0))
        hold.start()
        wait_for("bypass", lambda: settings_of(daemon).bypass, 20)
        hold.join()
        wait_for("no bypass", lambda: not settings_of(daemon).bypass, 20)
        obs.wait_painted("Cam")


def test_two_filters_on_one_source_have_hotkeys_of_their_own(
    obs_build: Build, daemon: RunningDaemon, still: Path
) -> None:
    names = daemon.query().styles
    keys = {"limner.style_2": "OBS_KEY_F1", "limner.style_2.2": "OBS_KEY_F2"}
    both = Camera(name="Cam", raw_file=still, limner={"start_daemon": False, "style": names[0]}, hotkeys=keys)
    with live_obs(obs_build, daemon, both) as obs:
        obs.request(
            "CreateSourceFilter",
            sourceName="Cam",
            filterName="On top",
            filterKind="limner_filter",
            filterSettings={"start_daemon": False, "style": names[0], "number": 1},
        )

        def styles_in_order() -> list[str]:
            filters = {one["filter"]: one.get("style", "") for one in obs.vendor("GetStatus")["filters"]}
            return [filters.get("Limner", ""), filters.get("On top", "")]

        for life in ("first", "second"):
            wait_for("both", lambda: styles_in_order() == [names[0]] * 2, 30)
            obs.press("F2")
            wait_for(f"F2 is of the upper one, {life} life", lambda: styles_in_order() == names[:2], 20)
            obs.press("F1")
            wait_for(f"F1 is of the lower one, {life} life", lambda: styles_in_order() == [names[1]] * 2, 20)
            assert obs.vendor("SetStyle", style=names[0])["filters_reached"] == 2
            wait_for("both as before", lambda: styles_in_order() == [names[0]] * 2, 20)
            if life == "first":
                time.sleep(1)  # the page takes over what the styles bring, which is saved
                assert obs.stop()
                obs.start()


def test_a_key_that_is_held_puts_back_what_was(obs_build: Build, daemon: RunningDaemon, still: Path) -> None:
    with live_obs(obs_build, daemon, camera("Cam", still)) as obs:
        obs.press(KEYS["limner.panic"])
        wait_for("panic", lambda: settings_of(daemon).bypass, 20)
        obs.press(KEYS["limner.hold_bypass"])
        obs.press(KEYS["limner.more_strength"])
        arrives(daemon, "a later key", lambda s: s.strength != 0.5)
        assert settings_of(daemon).bypass


def test_the_reset_key_lets_the_daemon_forget_the_past(obs_build: Build, still: Path) -> None:
    resets: Queue[Message] = Queue()

    def hear_resets(message: Message) -> None:
        if isinstance(message, Reset):
            resets.put(message)

    with (
        TemporaryDirectory(prefix="limner-") as folder,
        FakeDaemon(Path(folder), heard=hear_resets),
        Obs(obs_build, (camera("Cam", still),), runtime_dir=Path(folder)) as obs,
    ):
        obs.wait_painted("Cam")
        assert resets.empty()
        obs.press(KEYS["limner.reset"])
        assert resets.get(timeout=20) == Reset()


def test_a_style_by_request_brings_all_of_its_own(obs_build: Build, still: Path) -> None:
    changes: Queue[Change] = Queue()

    def hear_changes(message: Message) -> None:
        if isinstance(message, Set):
            changes.put(message.change)

    old = camera("Cam", still, style=STYLES[0], prompt="rain", strength=0.3, seed=7, steadiness=0.5)
    with (
        TemporaryDirectory(prefix="limner-") as folder,
        FakeDaemon(Path(folder), heard=hear_changes),
        Obs(obs_build, (old,), runtime_dir=Path(folder)) as obs,
    ):
        obs.wait_painted("Cam")
        assert obs.vendor("SetStyle", style=STYLES[1])["success"]
        assert changes.get(timeout=20) == Change(style=STYLES[1])


@contextmanager
def events(obs: Obs) -> Iterator[Queue[dict[str, Any]]]:
    """Limner's events, as a script hears them."""
    heard: Queue[dict[str, Any]] = Queue()

    def on_vendor_event(data: Any) -> None:
        if data.vendor_name == "limner":
            heard.put({"type": data.event_type} | data.event_data)

    websocket = obs.websocket
    client = obsws_python.EventClient(
        host="127.0.0.1",
        port=websocket.port,
        password=websocket.password,
        subs=obsws_python.Subs.VENDORS,
    )
    client.callback.register(on_vendor_event)
    try:
        yield heard
    finally:
        client.disconnect()


def hear(heard: Queue[dict[str, Any]], *wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """Wait for an event like each of those wanted, in any order, and return them in the order wanted."""
    found: dict[int, dict[str, Any]] = {}
    while len(found) < len(wanted):
        event = heard.get(timeout=20)
        for number, one in enumerate(wanted):
            if number not in found and event.items() >= one.items():
                found[number] = event
    return [found[number] for number in range(len(wanted))]


def test_each_vendor_request_does_what_it_says(obs_build: Build, daemon: RunningDaemon, still: Path) -> None:
    names = daemon.query().styles
    with (
        live_obs(obs_build, daemon, camera("Cam", still), camera("Second", still)) as obs,
        events(obs) as heard,
    ):
        (first, second) = obs.vendor("GetStatus")["filters"]
        assert {first["source"], second["source"]} == {"Cam", "Second"}
        assert first["state"] == "live" and first["sentence"].startswith("Live") and first["model"] == "echo"
        assert first["delay_ms"] > 0 and first["dropped"] >= 0 and first["device"] == "CPU"
        assert [style["name"] for style in obs.vendor("ListStyles")["styles"]] == names

        assert obs.vendor("SetStyle", style="noir", source="Cam")["success"]
        arrives(daemon, "noir", lambda s: s.style == "noir")
        assert settings_of(daemon, "Second").style != "noir"
        about = {"source": "Cam", "style": "noir"}
        accepted, applied, _ = hear(
            heard,
            about | {"type": "SettingApplied", "stage": "accepted"},
            about | {"type": "SettingApplied", "stage": "applied"},
            about | {"type": "StyleChanged"},
        )
        assert applied["revision"] == accepted["revision"] and applied["presentation_time_ns"] > 0
        noir = applied["prompt"]
        assert noir and applied["filter"] == "Limner"

        assert obs.vendor("SetPrompt", prompt="a blue sea", source="Cam")["prompt"] == "a blue sea"
        arrives(daemon, "the prompt", lambda s: s.prompt == "a blue sea")
        assert obs.vendor("SetStrength", strength=7)["strength"] == 1
        arrives(daemon, "all strength", lambda s: s.strength == 1)
        wait_for("all strength of both", lambda: settings_of(daemon, "Second").strength == 1, 20)
        assert obs.vendor("SetSteps", steps=2)["steps"] == 2
        arrives(daemon, "two steps", lambda s: s.steps == 2)
        # A style and a strength in one go, as a key of a stream deck has them: whatever the style's own is.
        assert obs.vendor("SetStyle", style="pencil sketch", source="Cam")["success"]
        assert obs.vendor("SetStrength", strength=1, source="Cam")["strength"] == 1
        arrives(daemon, "the style", lambda s: s.style == "pencil sketch")
        arrives(daemon, "with all strength", lambda s: s.strength == 1)
        # A burst: the last one stays, and it is itself.
        for style in [*names[:5], "noir"] * 4:
            assert obs.vendor("SetStyle", style=style, source="Cam")["success"]
        arrives(daemon, "the last style", lambda s: s.style == "noir" and s.prompt == noir)
        assert obs.vendor("Bypass", bypass=True, source="Cam")["bypass"] is True
        arrives(daemon, "bypass", lambda s: s.bypass)
        assert obs.vendor("Bypass", source="Cam")["bypass"] is False
        arrives(daemon, "no bypass", lambda s: not s.bypass)
        assert obs.vendor("Reset")["filters_reached"] == 2
        obs.wait_painted("Cam", "Second")


def test_a_request_may_name_one_of_several_filters_on_a_source(
    obs_build: Build, daemon: RunningDaemon, still: Path
) -> None:
    with live_obs(obs_build, daemon, camera("Cam", still)) as obs:
        obs.request(
            "CreateSourceFilter",
            sourceName="Cam",
            filterName="On top",
            filterKind="limner_filter",
            filterSettings={"start_daemon": False},
        )

        def strengths() -> dict[str, float]:
            return {one["filter"]: one.get("strength", -1) for one in obs.vendor("GetStatus")["filters"]}

        wait_for("both", lambda: -1 not in strengths().values() and len(strengths()) == 2, 30)
        assert obs.vendor("SetStrength", strength=0.25, filter="On top")["filters_reached"] == 1
        assert obs.vendor("SetStrength", strength=0.75, source="Cam", filter="Limner")["filters_reached"] == 1
        wait_for("each its own", lambda: strengths() == {"Limner": 0.75, "On top": 0.25}, 20)
        (one,) = obs.vendor("GetStatus", filter="On top")["filters"]
        assert (one["source"], one["filter"]) == ("Cam", "On top")
        assert obs.vendor("Reset", source="Cam")["filters_reached"] == 2


def test_obs_in_german_speaks_german_and_follows_the_file_of_styles(
    obs_build: Build, still: Path, tmp_path: Path
) -> None:
    own = tmp_path / "styles.toml"
    with (
        running_daemon("echo", LIMNER_CONFIG_DIR=str(tmp_path)) as running,
        Obs(obs_build, (camera("Cam", still),), runtime_dir=running.runtime_dir, language="de-DE") as obs,
        events(obs) as heard,
    ):
        obs.wait_painted("Cam")
        wait_for("the state in German", lambda: "Bilder/s" in sentence_of(obs), 20)
        assert obs.vendor("SetStrength", strength=0)["success"]
        (accepted,) = hear(heard, {"type": "SettingApplied", "stage": "accepted", "strength": 0})
        assert accepted["note"] == "Stärke 0 zeigt die Quelle"
        # In the log, for whoever helps, it stays English.
        assert "settings 1 accepted: strength 0 shows the source" in obs.log.read_text()

        own.write_text('[[styles]]\nname = "dawn over Rome"\nprompt = "a red dawn"\n')
        names = running.query().styles

        def is_listed() -> bool:
            return "dawn over Rome" in [style["name"] for style in obs.vendor("ListStyles")["styles"]]

        wait_for("the new style in OBS", is_listed, 20)
        assert obs.vendor("SetStyle", style="dawn over Rome")["success"]
        wait_for("it in force", lambda: settings_of(running).prompt == "a red dawn", 20)
        own.unlink()
        wait_for("the style gone", lambda: not is_listed(), 20)
        assert [style["name"] for style in obs.vendor("ListStyles")["styles"]] == names


def sentence_of(obs: Obs) -> str:
    sentence: str = obs.vendor("GetStatus")["filters"][0]["sentence"]
    return sentence


WRONG: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("SetStyle", {}, "style is missing"),
    ("SetStyle", {"style": "florb"}, "no style 'florb'"),
    ("SetStrength", {}, "strength is missing"),
    ("SetSteps", {"source": "Cam"}, "steps is missing"),
    ("SetPrompt", {}, "prompt is missing"),
    ("Reset", {"source": "Nobody"}, "'Nobody' has no Limner filter"),
    ("Reset", {"filter": "Blur"}, "no Limner filter 'Blur'"),
    ("Reset", {"source": "Cam", "filter": "Blur"}, "'Cam' has no Limner filter 'Blur'"),
    ("GetStatus", {"filter": 5}, "filter is no text"),
    # What has another type is not taken for 0, "" or false, nor for "all filters".
    ("SetStrength", {"strength": "0.7"}, "strength is missing"),
    ("SetSteps", {"steps": "2"}, "steps is missing"),
    ("SetSteps", {"steps": 2.5}, "steps is missing"),
    ("SetPrompt", {"prompt": 5}, "prompt is missing"),
    ("SetStyle", {"style": 5}, "style is missing"),
    ("Bypass", {"bypass": "true"}, "bypass is neither true nor false"),
    ("Reset", {"source": 5}, "source is no text"),
    ("GetStatus", {"source": 5}, "source is no text"),
    # Cut in the middle of a character: obs-websocket ends OBS over a text that is not UTF-8.
    *(("SetStyle", {"style": "x" * n + "é" * 500}, "no style 'x") for n in (799, 800)),
    *(("Reset", {"source": "x" * n + "é" * 500}, "the source 'x") for n in (799, 800)),
    *(("Reset", {"source": "Cam", "filter": "x" * n + "é" * 500}, "no Limner filter 'x") for n in (399, 400)),
)


def test_a_wrong_vendor_request_says_what_is_wrong(
    obs_build: Build, daemon: RunningDaemon, still: Path
) -> None:
    with live_obs(obs_build, daemon, camera("Cam", still)) as obs:
        for request, data, named in WRONG:
            answer = obs.vendor(request, **data)
            assert answer["success"] is False and named in answer["error"], answer
        assert float(np.std(obs.screenshot("Cam", 160))) > 10
