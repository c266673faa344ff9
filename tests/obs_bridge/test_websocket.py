"""One connection to a fake OBS, and how it is looked at."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.obs_bridge.fake_obs import FakeObs
from tests.support.daemon import wait_for

from limner.obs_bridge.addresses import Address
from limner.obs_bridge.mapping import look, relevant
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
    assert socket.request("GetCurrentProgramScene") == {"currentProgramSceneName": "Gaming"}
    events = wait_for(socket.events, "the event") or []
    assert events == [("CurrentProgramSceneChanged", {"sceneName": "Gaming"})]
    assert relevant(events) and not relevant([("InputVolumeChanged", {})])
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
    socket = connected(obs)
    obs.requests.clear()
    assert look(socket, Needs()) == ObsState(scene="Main")
    assert obs.requests == ["GetCurrentProgramScene", "GetStudioModeEnabled"]
    needs = Needs(filters=frozenset({("Cam", "Dream"), ("Cam", "Gone")}))
    obs.scenery.preview = "Next"
    assert look(socket, needs) == ObsState(scene="Main", preview="Next", filters={("Cam", "Dream"): True})
    socket.close()


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
    state = look(socket, Needs(sources=frozenset("abcdef") | {"Box"}))
    assert state.shown == {"a", "b", "d", "Box"}
    socket.close()
