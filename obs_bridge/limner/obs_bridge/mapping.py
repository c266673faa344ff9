"""From obs-websocket to what rules speak of: which events matter, and how OBS is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from limner.obs_bridge.state import FilterKey, Needs, ObsState
from limner.obs_bridge.websocket import Event, RequestError

# An event only says that it is time to look: what OBS then answers is the truth, whatever came before it.
RELEVANT = frozenset(
    {
        "CurrentProgramSceneChanged",
        "CurrentPreviewSceneChanged",
        "StudioModeStateChanged",
        "SceneNameChanged",
        "CurrentSceneCollectionChanged",
        "SourceFilterCreated",
        "SourceFilterRemoved",
        "SourceFilterNameChanged",
        "SourceFilterEnableStateChanged",
        "SceneItemCreated",
        "SceneItemRemoved",
        "SceneItemEnableStateChanged",
        "InputCreated",
        "InputRemoved",
        "InputNameChanged",
    }
)
# OBS must not be asked from the first to the second.
CHANGING, CHANGED = "CurrentSceneCollectionChanging", "CurrentSceneCollectionChanged"
_NOT_FOUND = (600, 601, 602, 608)
_MOST_SCENES = 200


class Obs(Protocol):
    """Who is asked."""

    def request(self, kind: str, **data: object) -> dict[str, Any]:
        """Ask and return the answer; raises RequestError, ObsError."""


def relevant(events: list[Event]) -> bool:
    """Whether one of these may have changed what rules see."""
    return any(kind in RELEVANT for kind, _ in events)


def look(obs: Obs, needs: Needs) -> ObsState:
    """Return OBS as it is now, as far as rules need it; raises ObsError."""
    scene = str(obs.request("GetCurrentProgramScene")["currentProgramSceneName"])
    preview = ""
    if obs.request("GetStudioModeEnabled")["studioModeEnabled"]:
        preview = str(obs.request("GetCurrentPreviewScene")["currentPreviewSceneName"])
    filters = {key: on for key in sorted(needs.filters) if (on := _enabled(obs, key)) is not None}
    shown = frozenset(_visible(obs, scene)) & needs.sources if needs.sources else frozenset[str]()
    return ObsState(scene=scene, preview=preview, filters=filters, shown=shown)


def _enabled(obs: Obs, key: FilterKey) -> bool | None:
    source, name = key
    try:
        return bool(obs.request("GetSourceFilter", sourceName=source, filterName=name)["filterEnabled"])
    except RequestError as error:
        if error.code in _NOT_FOUND:
            return None
        raise


def _visible(obs: Obs, scene: str) -> Iterator[str]:
    """Give all sources that are switched on in a scene, in its groups and in the scenes in it."""
    todo, done = [("GetSceneItemList", scene)], set[str]()
    while todo and len(done) < _MOST_SCENES:
        request, name = todo.pop()
        if name in done:
            continue
        done.add(name)
        try:
            items = obs.request(request, sceneName=name)["sceneItems"]
        except RequestError as error:
            if error.code in _NOT_FOUND:
                # Removed since it was named.
                continue
            raise
        for item in items:
            if not item["sceneItemEnabled"]:
                continue
            yield str(item["sourceName"])
            if item.get("isGroup"):
                todo.append(("GetGroupSceneItemList", str(item["sourceName"])))
            elif item.get("sourceType") == "OBS_SOURCE_TYPE_SCENE":
                todo.append(("GetSceneItemList", str(item["sourceName"])))
