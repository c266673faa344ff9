"""One connection to a fake OBS, and how it is looked at."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.obs_bridge.fake_obs import FakeObs
from tests.support.daemon import wait_for

from limner.obs_bridge.addresses import Address
from limner.obs_bridge.mapping import AFTER_REMOVAL_S, CONFIRM_S, Watcher
from limner.obs_bridge.state import Needs, ObsState
from limner.obs_bridge.websocket import ObsError, ObsSocket, RequestError

FILE = Path("config.json")


@pytest.fixture
def obs() -> Iterator[FakeObs]:
    with FakeObs() as fake:
        yield fake


def connected(obs: FakeObs) -> ObsSocket:
    return ObsSocket(Address(port=obs.port, password=obs.password, source=FILE))


def test_it_identifies_itself_asks_and_hears(obs: FakeObs) -> None:
    socket = connected(obs)
    assert socket.version == "29.0.2"
    assert socket.events() == []
    obs.show("Gaming")
    assert socket.request("GetSceneList")["currentProgramSceneName"] == "Gaming"
    events = wait_for(socket.events, "the event") or []
    assert events == [("CurrentProgramSceneChanged", {"sceneName": "Gaming"})]
    with pytest.raises(RequestError) as caught:
        socket.request("Nonsense")
    assert caught.value.code == 204
    socket.close()


@pytest.mark.parametrize(
    ("password", "words"),
    [("wrong", "OBS refuses the password of config.json"), ("", "OBS wants a password")],
)
def test_a_wrong_password_is_named_and_never_logged(
    obs: FakeObs, caplog: pytest.LogCaptureFixture, password: str, words: str
) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(ObsError, match=words):
        ObsSocket(Address(port=obs.port, password=password, source=FILE))
    connected(obs).close()
    assert "secret" not in caplog.text and "Traceback" not in caplog.text


def test_nobody_and_somebody_else(obs: FakeObs) -> None:
    port = obs.port
    obs.stop()
    with pytest.raises(ObsError, match=f"nobody answers at 127.0.0.1:{port}; is OBS running"):
        connected(obs)
    obs.start()


def test_an_obs_that_goes_is_noticed(obs: FakeObs) -> None:
    socket = connected(obs)
    obs.stop()
    with pytest.raises(ObsError, match="hung up"):
        socket.request("GetVersion")
    with pytest.raises(ObsError, match="hung up"):
        socket.events()
    socket.close()
    obs.start()


def test_looking_asks_only_for_what_rules_need(obs: FakeObs) -> None:
    obs.scenery.filters = {("Cam", "Dream"): True}
    socket, watcher = connected(obs), Watcher()
    obs.requests.clear()
    obs.scenery.preview = "Next"
    assert watcher.look(socket, Needs()) == ObsState(scene="Main", preview="Next")
    assert obs.requests == ["GetSceneList"]
    needs = Needs(filters=frozenset({("Cam", "Dream"), ("Cam", "Gone")}))
    assert watcher.look(socket, needs).filters == {("Cam", "Dream"): True}
    assert obs.requests == ["GetSceneList", "GetSourceFilter", "GetSourceFilter"]
    socket.close()


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def due(watcher: Watcher) -> float | None:
    return watcher.wait_s


class Asked:
    """An OBS that notes what it is asked; it must not be asked for its scenes without having one."""

    scene = "Main"

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def request(self, kind: str, **_: object) -> dict[str, Any]:
        self.kinds.append(kind)
        assert self.scene != "", "this would have ended OBS 29"
        return {"currentProgramSceneName": self.scene}


def test_scenes_come_from_events_at_once_and_are_confirmed_a_moment_later() -> None:
    clock, obs = Clock(), Asked()
    watcher = Watcher(clock)
    assert due(watcher) == 0 and watcher.look(obs, Needs()).scene == "Main"
    assert due(watcher) is None
    watcher.heard([("InputVolumeChanged", {})])
    assert due(watcher) is None
    # The two came the wrong way round.
    watcher.heard([("CurrentProgramSceneChanged", {"sceneName": name}) for name in ("B", "A")])
    obs.scene = "B"
    assert due(watcher) == 0 and watcher.look(obs, Needs()).scene == "A"
    assert obs.kinds == ["GetSceneList"]
    assert due(watcher) == pytest.approx(CONFIRM_S)
    clock.now_s += CONFIRM_S
    assert due(watcher) == 0 and watcher.look(obs, Needs()).scene == "B"
    watcher.heard([("SceneNameChanged", {"oldSceneName": "B", "sceneName": "C"})])
    assert watcher.look(obs, Needs()).scene == "C"


def test_an_obs_that_ends_is_not_asked() -> None:
    clock, obs = Clock(), Asked()
    watcher = Watcher(clock)
    watcher.look(obs, Needs())
    watcher.heard([("CurrentProgramSceneChanged", {"sceneName": "A"})])
    obs.scene = ""
    # As OBS 29 does: everything goes, and then it says that it ends.
    watcher.heard([("SceneRemoved", {"sceneName": "A"}), ("InputRemoved", {"inputName": "Cam"})])
    clock.now_s += CONFIRM_S
    assert due(watcher) == pytest.approx(AFTER_REMOVAL_S - CONFIRM_S)
    watcher.heard([("ExitStarted", {})])
    assert watcher.leaving


def test_nothing_is_asked_while_a_collection_is_loaded() -> None:
    clock, obs = Clock(), Asked()
    watcher = Watcher(clock)
    watcher.look(obs, Needs())
    watcher.heard(
        [("CurrentSceneCollectionChanging", {}), ("CurrentProgramSceneChanged", {"sceneName": "X"})]
    )
    clock.now_s += 5
    assert (due(watcher) or 0) > 5
    obs.scene = "Y"
    watcher.heard([("CurrentSceneCollectionChanged", {})])
    assert due(watcher) == 0 and watcher.look(obs, Needs()).scene == "Y"


def test_studio_mode_on_and_off() -> None:
    clock, obs = Clock(), Asked()
    watcher = Watcher(clock)
    watcher.look(obs, Needs())
    watcher.heard([("CurrentPreviewSceneChanged", {"sceneName": "P"})])
    assert watcher.look(obs, Needs()).preview == "P"
    watcher.heard([("StudioModeStateChanged", {"studioModeEnabled": False})])
    assert watcher.look(obs, Needs()).preview == ""


def test_visibility_goes_through_groups_and_scenes_in_scenes(obs: FakeObs) -> None:
    obs.scenery.items = {
        "Main": [
            ("Overlay", True, "scene"),
            ("Box", True, "group"),
            ("Off", False, "group"),
            ("a", True, "input"),
        ],
        "Overlay": [("b", True, "input"), ("c", False, "input"), ("Main", True, "scene")],
        "Box": [("d", True, "input")],
        "Off": [("e", True, "input")],
    }
    socket = connected(obs)
    state = Watcher().look(socket, Needs(sources=frozenset("abcdef") | {"Box"}))
    assert state.shown == {"a", "b", "d", "Box"}
    socket.close()
