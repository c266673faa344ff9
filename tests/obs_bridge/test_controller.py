"""The control of OBS as the daemon runs it: a real daemon and its process, a fake OBS, filters' sessions."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.obs_bridge.fake_obs import FakeObs
from tests.support.daemon import RunningDaemon, private_runtime_dir, running_daemon, start_daemon, wait_for

from limner.daemon.client import Client, DaemonLostError, NoDaemonError
from limner.daemon.client_session import ClientSession, hello_for
from limner.daemon.protocol import Change, ObsInfo, Settings
from limner.installer import obs_config

RULES = """
[[styles]]
name = "mine"
prompt = "fog"
strength = 0.7

[[rules]]
scene = "Gaming"
style = "neon"

[[rules]]
source = "Cam"
filter = "Dream"
strength = 0.25

[[rules]]
source = "Logo"
shown = true
bypass = true
session = "Cam"
"""


class Home:
    """A user's folders: OBS's configuration, Limner's, and what its processes see of them."""

    def __init__(self, folder: Path) -> None:
        self.rules = folder / "limner" / "styles.toml"
        self.rules.parent.mkdir()
        self.rules.write_text(RULES)
        self.obs = folder / ".config" / "obs-studio" / "plugin_config" / "obs-websocket" / "config.json"
        self.obs.parent.mkdir(parents=True)
        self.environment = {
            "HOME": str(folder),
            "XDG_CONFIG_HOME": "",
            "LIMNER_CONFIG_DIR": str(self.rules.parent),
            "LIMNER_STATE_DIR": str(folder / "state"),
        }

    def server(self, obs: FakeObs, *, password: str = "", enabled: bool = True) -> None:
        """Write what OBS writes of its server."""
        text = obs_config.websocket_json(
            obs_config.WebSocket(port=obs.port, password=password or obs.password)
        )
        self.obs.write_text(json.dumps(json.loads(text) | {"server_enabled": enabled}))


class Filter:
    """A filter of OBS without a picture: it opens its session again whenever the daemon comes back."""

    def __init__(self, runtime_dir: Path, name: str) -> None:
        self._runtime_dir, self.name = runtime_dir, name
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"filter {name}")
        self._thread.start()

    def _run(self) -> None:
        hello = hello_for(self.name, "filter", (64, 48), 30.0, Change(style="sepia"), exact_size=True)
        while not self._over.wait(0.05):
            with (
                contextlib.suppress(DaemonLostError, NoDaemonError),
                ClientSession(hello, self._runtime_dir) as session,
            ):
                while not self._over.is_set():
                    session.receive(0.1)

    def close(self) -> None:
        self._over.set()
        self._thread.join()


def start(home: Home, folder: Path) -> RunningDaemon:
    return start_daemon(folder, engine="echo", threads=1, **home.environment)


def painting(home: Home) -> contextlib.AbstractContextManager[RunningDaemon]:
    return running_daemon("echo", threads=1, **home.environment)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def obs(home: Home) -> Iterator[FakeObs]:
    with FakeObs() as fake:
        home.server(fake)
        yield fake


@contextlib.contextmanager
def filters(runtime_dir: Path, *names: str) -> Iterator[None]:
    open_now = [Filter(runtime_dir, name) for name in names]
    try:
        yield
    finally:
        for one in open_now:
            one.close()


def settings(daemon: RunningDaemon, name: str = "Cam") -> Settings | None:
    with contextlib.suppress(NoDaemonError, DaemonLostError):
        return next((s.status.settings for s in daemon.query().sessions if s.name == name), None)
    return None


def wait_for_look(daemon: RunningDaemon, style: str, strength: float, name: str = "Cam") -> None:
    def looks() -> bool:
        now = settings(daemon, name)
        return now is not None and (now.style, now.strength) == (style, strength)

    wait_for(looks, f"{name} in {style}", log=daemon.log)


def wait_for_obs(daemon: RunningDaemon, words: str) -> ObsInfo:
    def told() -> ObsInfo | None:
        info = daemon.query().obs
        return info if info and words in info.sentence else None

    return wait_for(told, f"OBS: {words}", log=lambda: f"{daemon.query().obs}\n{daemon.log()}")


def test_scenes_filters_and_sources_change_the_look_and_give_it_back(home: Home, obs: FakeObs) -> None:
    with painting(home) as daemon, filters(daemon.runtime_dir, "Cam", "Other"):
        wait_for_look(daemon, "sepia", 0.5)
        wait_for_obs(daemon, "connected to 29.0.2, scene 'Main'")
        obs.show("Gaming")
        wait_for_look(daemon, "neon", 0.5)
        wait_for_look(daemon, "neon", 0.5, "Other")
        info = wait_for_obs(daemon, "scene 'Gaming'")
        wait_for(
            lambda: (
                (daemon.query().obs or info).reasons.get("Cam") == "style neon: rule 1, scene is 'Gaming'"
            ),
            "the reason",
        )
        obs.switch("Cam", "Dream", True)
        wait_for_look(daemon, "neon", 0.25)
        obs.scenery.items["Gaming"] = [("Logo", True, "input")]
        obs.emit("SceneItemEnableStateChanged", sceneName="Gaming", sceneItemId=1, sceneItemEnabled=True)
        wait_for(lambda: (s := settings(daemon)) and s.bypass, "the bypass")
        other = settings(daemon, "Other")
        assert other is not None and not other.bypass, "the rule is for Cam only"
        obs.switch("Cam", "Dream", False)
        obs.show("Main")
        wait_for_look(daemon, "sepia", 0.5)
        wait_for(lambda: (s := settings(daemon)) and not s.bypass, "the end of the bypass")


def test_studio_mode_the_programme_counts(home: Home, obs: FakeObs) -> None:
    with painting(home) as daemon, filters(daemon.runtime_dir, "Cam"):
        wait_for_obs(daemon, "scene 'Main'")
        obs.scenery.preview = "Gaming"
        obs.emit("StudioModeStateChanged", studioModeEnabled=True)
        wait_for_obs(daemon, "scene 'Main', preview 'Gaming'")
        wait_for_look(daemon, "sepia", 0.5)
        obs.scenery.scene, obs.scenery.preview = "Gaming", "Main"
        obs.emit("CurrentProgramSceneChanged", sceneName="Gaming")
        wait_for_look(daemon, "neon", 0.5)


def test_of_a_burst_the_last_stays(home: Home, obs: FakeObs) -> None:
    with painting(home) as daemon, filters(daemon.runtime_dir, "Cam"):
        wait_for_obs(daemon, "scene 'Main'")
        wait_for_look(daemon, "sepia", 0.5)
        obs.requests.clear()
        for number in range(400):
            obs.show("Gaming" if number % 2 else "Main")
            obs.switch("Cam", "Dream", number % 2 == 0)
        wait_for_obs(daemon, "scene 'Gaming'")
        wait_for_look(daemon, "neon", 0.5)
        looks = obs.requests.count("GetSourceFilter")
        assert looks < 200, "a burst is looked at now and then, not event by event"


def test_it_always_says_what_it_waits_for(home: Home, obs: FakeObs) -> None:
    obs.stop()
    home.obs.unlink()
    with painting(home) as daemon, filters(daemon.runtime_dir, "Cam"):
        wait_for_obs(daemon, "waiting for OBS: no configuration of OBS on this machine")
        home.server(obs, enabled=False)
        wait_for_obs(daemon, "Tools → WebSocket Server Settings")
        home.server(obs)
        wait_for_obs(daemon, f"nobody answers at 127.0.0.1:{obs.port}")
        obs.password = "another"
        obs.start()
        wait_for_obs(daemon, "OBS refuses the password of ")
        obs.scenery.ready = False
        home.server(obs)
        obs.identified.wait(20)
        obs.scenery.ready = True
        obs.scenery.scene = "Gaming"
        wait_for_obs(daemon, "connected to 29.0.2, scene 'Gaming'")
        wait_for_look(daemon, "neon", 0.5)


def test_obs_and_the_daemon_come_and_go_in_any_order(home: Home, obs: FakeObs) -> None:
    with private_runtime_dir() as folder, filters(folder, "Cam"):
        daemon = start(home, folder)
        for number in range(3):
            obs.show("Gaming")
            wait_for_look(daemon, "neon", 0.5)
            obs.stop()
            wait_for_obs(daemon, "waiting for OBS")
            if number == 1:
                assert daemon.stop() == 0
                daemon = start(home, folder)
            obs.scenery.scene = "Main"
            obs.start()
            wait_for_obs(daemon, "connected to")
            wait_for_look(daemon, "sepia", 0.5)
        assert daemon.stop() == 0


def test_a_style_that_is_not_there_is_named_and_taken_when_it_comes(home: Home, obs: FakeObs) -> None:
    home.rules.write_text('[[rules]]\nscene = "Main"\nstyle = "later"\n')
    with painting(home) as daemon, filters(daemon.runtime_dir, "Cam"):
        wait_for(
            lambda: (info := daemon.query().obs) and "unknown style 'later'" in info.reasons.get("Cam", ""),
            "the refusal",
        )
        home.rules.write_text(home.rules.read_text() + '[[styles]]\nname = "later"\nprompt = "x"\n')
        wait_for_look(daemon, "later", 0.5)


def controls(daemon: RunningDaemon) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(daemon.pid).children():
        # One that has just ended has no command line any more.
        with contextlib.suppress(psutil.Error):
            if "limner.obs_bridge" in child.cmdline():
                found.append(child)
    return found


def test_it_is_there_as_long_as_there_are_rules_and_comes_back(home: Home, obs: FakeObs) -> None:
    rules = home.rules.read_text()
    home.rules.write_text("")
    with painting(home) as daemon:
        daemon.wait_ready()
        assert controls(daemon) == [] and daemon.query().obs is None
        home.rules.write_text(rules)
        wait_for_obs(daemon, "connected to")
        (first,) = controls(daemon)
        os.kill(first.pid, signal.SIGKILL)
        wait_for(lambda: any(one.pid != first.pid for one in controls(daemon)), "another one")
        wait_for_obs(daemon, "connected to")
        home.rules.write_text("")
        wait_for(lambda: daemon.query().obs is None and not controls(daemon), "its end")


def test_a_demo_is_nobodys_scene(home: Home, obs: FakeObs) -> None:
    obs.scenery.scene = "Gaming"
    with painting(home) as daemon, filters(daemon.runtime_dir, "Cam"):
        wait_for_look(daemon, "neon", 0.5)
        hello = hello_for("clip", "demo", (64, 48), 30.0, Change(style="sepia"), exact_size=True)
        with ClientSession(hello, daemon.runtime_dir) as session, Client(daemon.runtime_dir) as client:
            obs.show("Main")
            wait_for_look(daemon, "sepia", 0.5)
            session.receive(0.1)
            obs.show("Gaming")
            wait_for_look(daemon, "neon", 0.5)
            styles = {one.name: one.status.settings.style for one in client.query().sessions}
            assert styles == {"Cam": "neon", "clip": "sepia"}
