"""A real OBS in control: its scenes, filters and sources choose the look by the user's rules."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.end_to_end.harness import bursts, scenes
from tests.end_to_end.harness.builds import Build
from tests.end_to_end.harness.cameras import Camera
from tests.end_to_end.harness.looks import Eye, Look, steady_look
from tests.end_to_end.harness.obs import Obs
from tests.end_to_end.harness.waiting import wait_for
from tests.support.daemon import RunningDaemon, private_runtime_dir

pytestmark = [pytest.mark.obs, pytest.mark.slow, pytest.mark.timeout(600)]

RULES = """
[[rules]]
scene = "Main"
style = "pencil sketch"

[[rules]]
scene = "Gaming"
style = "neon"

[[rules]]
source = "Cam"
filter = "Dream"
strength = 0.25

[[rules]]
source = "Cam"
shown = false
bypass = true
"""
PATIENCE_S = 60.0


def camera(raw_file: Path) -> Camera:
    return Camera(name="Cam", raw_file=raw_file, limner={"start_daemon": False, "style": "sepia"})


def settled(obs: Obs, daemon: RunningDaemon, scene: str, style: str) -> Look:
    """Put a scene on air, and return its look once it has been painted for a while."""
    obs.show_scene(scene)
    wait_for(
        style,
        lambda: scenes.settings_of(daemon, "Cam").style == style,
        PATIENCE_S,
        instead=lambda: daemon.query().obs,
    )
    wait_for_frames(obs, 25)
    return steady_look(obs, scene)


def wait_for_frames(obs: Obs, count: int) -> None:
    """Wait until so many more painted frames were shown."""
    start = obs.filter_stats()["painted_shown"]
    wait_for("frames", lambda: obs.filter_stats()["painted_shown"] > start + count, PATIENCE_S)


def test_a_scene_shows_its_look_and_never_another(obs_build: Build, street: Path) -> None:
    with private_runtime_dir() as folder:
        obs = Obs(obs_build, (camera(street),), runtime_dir=folder / "run")
        with scenes.ruled_daemon(obs, RULES, engine="pocket", threads=2) as daemon, obs:
            daemon.wait_ready()
            scenes.add_scene(obs, "Gaming", "Cam")
            looks = {"neon": settled(obs, daemon, "Gaming", "neon")}
            looks["pencil sketch"] = settled(obs, daemon, "Main", "pencil sketch")
            eye = Eye(obs, "Gaming", looks)
            obs.show_scene("Gaming")
            seen = {sight.name for sight in eye.watch_until("neon", PATIENCE_S)}
            assert seen <= {"pencil sketch", "neon"}, "neither black nor another look in between"


def test_filters_visibility_and_studio_mode(obs_build: Build, street: Path) -> None:
    with private_runtime_dir() as folder:
        obs = Obs(obs_build, (camera(street),), runtime_dir=folder / "run")
        with scenes.ruled_daemon(obs, RULES, engine="echo") as daemon, obs:
            obs.wait_painted()

            def look() -> tuple[str, float, bool]:
                now = scenes.settings_of(daemon, "Cam")
                return now.style, now.strength, now.bypass

            def arrives(style: str, strength: float, bypass: bool) -> None:
                wait_for(
                    f"{style} {strength}",
                    lambda: look() == (style, strength, bypass),
                    PATIENCE_S,
                    instead=daemon.query,
                )

            arrives("pencil sketch", 0.5, False)
            items = scenes.add_scene(obs, "Gaming", "Cam")
            scenes.add_filter(obs, "Cam", "Dream")
            scenes.switch(obs, "Cam", "Dream", True)
            arrives("pencil sketch", 0.25, False)
            obs.show_scene("Gaming")
            arrives("neon", 0.25, False)
            scenes.switch(obs, "Cam", "Dream", False)
            arrives("neon", 0.5, False)
            obs.request(
                "SetSceneItemEnabled", sceneName="Gaming", sceneItemId=items["Cam"], sceneItemEnabled=False
            )
            arrives("neon", 0.5, True)
            obs.request("SetStudioModeEnabled", studioModeEnabled=True)
            obs.request("SetCurrentPreviewScene", sceneName="Main")
            wait_for("the preview", lambda: (i := daemon.query().obs) is not None and i.preview == "Main", 20)
            assert look() == ("neon", 0.5, True), "what is in the preview is not on air"
            obs.request("TriggerStudioModeTransition")
            arrives("pencil sketch", 0.5, False)
            # Also because OBS 29 now and then crashes in Qt when it is closed in studio mode.
            obs.request("SetStudioModeEnabled", studioModeEnabled=False)
            wait_for("no preview", lambda: (i := daemon.query().obs) is not None and not i.preview, 20)
            assert look() == ("pencil sketch", 0.5, False)
            obs.show_scene("Empty")
            wait_for("off air", lambda: not scenes.settings_of(daemon, "Cam").on_air, 20)
            obs.show_scene("Main")
            wait_for("on air", lambda: scenes.settings_of(daemon, "Cam").on_air, 20)


def in_step(obs: Obs, daemon: RunningDaemon) -> None:
    """Wait until OBS and daemon have found each other, and the picture is painted as the scene wants."""
    obs.wait_painted()
    scenes.wait_connected(daemon, "Main")
    wait_for("the look", lambda: scenes.settings_of(daemon, "Cam").style == "pencil sketch", PATIENCE_S)


def test_of_200_changes_in_10_s_the_last_stays(obs_build: Build, street: Path) -> None:
    with private_runtime_dir() as folder:
        obs = Obs(obs_build, (camera(street),), runtime_dir=folder / "run")
        with scenes.ruled_daemon(obs, RULES, engine="echo") as daemon, obs:
            obs.wait_painted()
            scenes.add_scene(obs, "Gaming", "Cam")
            scenes.add_filter(obs, "Cam", "Dream")
            bursts.burst(obs, daemon, 20)
            usual = bursts.lagged_share(obs, lambda: time.sleep(5))
            before_bytes = bursts.memory_bytes(daemon)
            lagged = bursts.lagged_share(obs, lambda: bursts.burst(obs, daemon, 200))
            # The wish of the end, and nothing left on its way that could still change it.
            for _ in range(2):
                wait_for(
                    "the last one",
                    lambda: (s := scenes.settings_of(daemon, "Cam")).style == "neon" and s.strength == 0.25,
                    PATIENCE_S,
                    instead=daemon.query,
                )
                wait_for_frames(obs, 10)
            # What else runs on this machine makes OBS lag, too. tests/benchmarks/obs_scenes.py holds the 1 %.
            assert lagged <= usual + 0.03, (lagged, usual)
            assert bursts.memory_bytes(daemon) - before_bytes < 4 * 2**20


def test_other_collections_other_names_and_scenes_that_go(obs_build: Build, street: Path) -> None:
    with private_runtime_dir() as folder:
        obs = Obs(obs_build, (camera(street),), runtime_dir=folder / "run")
        with scenes.ruled_daemon(obs, RULES, engine="echo") as daemon, obs:
            in_step(obs, daemon)
            obs.request("CreateSceneCollection", sceneCollectionName="Other")
            for _ in range(3):
                scenes.wait_connected(daemon, "Scene")
                obs.request("SetCurrentSceneCollection", sceneCollectionName="Test")
                scenes.wait_connected(daemon, "Main")
                obs.request("SetCurrentSceneCollection", sceneCollectionName="Other")
            obs.request("SetCurrentSceneCollection", sceneCollectionName="Test")
            in_step(obs, daemon)
            obs.request("SetSceneName", sceneName="Main", newSceneName="Gaming")
            wait_for("neon", lambda: scenes.settings_of(daemon, "Cam").style == "neon", PATIENCE_S)
            obs.request("RemoveScene", sceneName="Gaming")
            scenes.wait_connected(daemon, "Empty")


EVERYTHING = {
    "style": "neon",
    "prompt": "neon rain",
    "strength": 0.65,
    "steps": 3,
    "transition_ms": 250,
    "mix": 0.9,
    "seed": 77,
    "steadiness": 0.5,
    "motion_aware": False,
    "motion_low": 0.6,
    "motion_high": 1.2,
    "mode": "latency",
    "hold_ms": 900,
    "fit": "crop",
    "on_stall": "hold",
    "sound_in_step": False,
    "sound_source": "Cam",
    "bypass": False,
}


def test_a_scene_collection_brings_every_setting_back(obs_build: Build, street: Path) -> None:
    filter_of = {"sourceName": "Cam", "filterName": "Limner"}
    with private_runtime_dir() as folder:
        obs = Obs(obs_build, (camera(street),), runtime_dir=folder / "run")
        with scenes.ruled_daemon(obs, "", engine="echo") as daemon, obs:
            obs.wait_painted()
            obs.request("SetSourceFilterSettings", **filter_of, filterSettings=EVERYTHING)

            def in_force() -> dict[str, object]:
                now = scenes.settings_of(daemon, "Cam")
                return {
                    name: getattr(now, name) for name in EVERYTHING if hasattr(now, name) and name != "mix"
                }

            wanted = {name: EVERYTHING[name] for name in in_force()}
            wait_for("the settings", lambda: in_force() == wanted, PATIENCE_S, instead=in_force)
            obs.request("CreateSceneCollection", sceneCollectionName="Other")
            wait_for("no session", lambda: not daemon.query().sessions, PATIENCE_S)
            obs.request("SetCurrentSceneCollection", sceneCollectionName="Test")
            wait_for("a session", lambda: bool(daemon.query().sessions), PATIENCE_S)
            wait_for("the settings again", lambda: in_force() == wanted, PATIENCE_S, instead=in_force)
            kept = obs.request("GetSourceFilter", **filter_of)["filterSettings"]
            assert {name: kept.get(name) for name in EVERYTHING} == EVERYTHING
