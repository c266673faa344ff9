"""From obs-websocket to what rules speak of: which events matter, and how OBS is looked at.

OBS 29 crashes when it is asked for its current scene and has none, as when it ends: it removes everything,
and only then says so. So scenes are asked for when that is safe (on connecting, after a collection was
loaded, a moment after a change), and else taken from the events; after a removal nothing is asked for a
while.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from limner.obs_bridge.state import FilterKey, Needs, ObsState
from limner.obs_bridge.websocket import Event, RequestError

# What makes a look worth while, besides the events with a meaning of their own in `Watcher.heard`.
_RELEVANT = frozenset(
    {
        "SourceFilterCreated",
        "SourceFilterNameChanged",
        "SourceFilterEnableStateChanged",
        "SceneItemCreated",
        "SceneItemEnableStateChanged",
        "InputCreated",
        "InputNameChanged",
    }
)
_REMOVED = frozenset({"SceneRemoved", "SceneItemRemoved", "InputRemoved", "SourceFilterRemoved"})
_NOT_FOUND = (600, 601, 602, 608)
_MOST_SCENES = 200
# OBS sends events from several threads: two scenes in quick succession may come the wrong way round.
CONFIRM_S = 0.1
# An OBS that removes things may be about to end.
AFTER_REMOVAL_S = 1.0
# A scene collection that never says that it has been loaded.
LONGEST_CHANGE_S = 30.0


class Obs(Protocol):
    """Who is asked."""

    def request(self, kind: str, **data: object) -> dict[str, Any]:
        """Ask and return the answer; raises RequestError, ObsError."""


class Watcher:
    """Knows when OBS is to be looked at, and what it showed last."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._state = ObsState()
        self._looked = False
        self._ask_scenes_s: float | None = 0.0
        """When to ask for the scenes; None: they are known."""
        self._look_s: float | None = 0.0
        self._not_before_s = 0.0
        self.leaving = False
        """OBS has said that it ends."""

    @property
    def state(self) -> ObsState | None:
        """OBS as far as it is known: seen at the last look, heard since. None: not seen yet."""
        return self._state if self._looked else None

    @property
    def wait_s(self) -> float | None:
        """Seconds until a look is due; None: none is."""
        times = [time_s for time_s in (self._ask_scenes_s, self._look_s) if time_s is not None]
        return max(0.0, max(min(times), self._not_before_s) - self._now_s()) if times else None

    def look_again(self, after_s: float = 0.0) -> None:
        """Ask for all that rules need: they have changed, or OBS was not ready."""
        self._look_s = self._now_s() + after_s

    def heard(self, events: Iterable[Event]) -> None:
        """Take events in."""
        for kind, data in events:
            self._heard(kind, data)

    def _heard(self, kind: str, data: dict[str, Any]) -> None:
        now_s = self._now_s()
        if kind in _RELEVANT:
            self._look_s = now_s
        elif kind in _REMOVED:
            self._look_s = now_s
            self._not_before_s = max(self._not_before_s, now_s + AFTER_REMOVAL_S)
        elif kind == "ExitStarted":
            self.leaving = True
        elif kind == "CurrentSceneCollectionChanging":
            self._not_before_s = now_s + LONGEST_CHANGE_S
        elif kind == "CurrentSceneCollectionChanged":
            self._not_before_s = self._ask_scenes_s = self._look_s = now_s
        else:
            self._scenes_changed(kind, data, now_s)

    def _scenes_changed(self, kind: str, data: dict[str, Any], now_s: float) -> None:
        scene, preview = self._state.scene, self._state.preview
        if kind == "CurrentProgramSceneChanged":
            scene = str(data.get("sceneName", ""))
        elif kind == "CurrentPreviewSceneChanged":
            preview = str(data.get("sceneName", ""))
        elif kind == "SceneNameChanged":
            names = {data.get("oldSceneName"): str(data.get("sceneName", ""))}
            scene, preview = names.get(scene, scene), names.get(preview, preview)
        elif kind != "StudioModeStateChanged":
            return
        elif not data.get("studioModeEnabled"):
            preview = ""
        self._state = ObsState(
            scene=scene, preview=preview, filters=self._state.filters, shown=self._state.shown
        )
        self._look_s, self._ask_scenes_s = now_s, now_s + CONFIRM_S

    def look(self, obs: Obs, needs: Needs) -> ObsState:
        """Ask, and return OBS as it is now, as far as rules need it; raises ObsError."""
        now_s = self._now_s()
        scene, preview = self._state.scene, self._state.preview
        if self._ask_scenes_s is not None and self._ask_scenes_s <= now_s:
            found = obs.request("GetSceneList")
            scene, preview = (
                str(found.get(name) or "") for name in ("currentProgramSceneName", "currentPreviewSceneName")
            )
            self._ask_scenes_s = None
        filters = {key: on for key in sorted(needs.filters) if (on := _enabled(obs, key)) is not None}
        shown = frozenset(_visible(obs, scene)) & needs.sources if needs.sources else frozenset[str]()
        self._look_s, self._looked = None, True
        self._state = ObsState(scene=scene, preview=preview, filters=filters, shown=shown)
        return self._state


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
        for item in _items(obs, request, name):
            if not item["sceneItemEnabled"]:
                continue
            yield str(item["sourceName"])
            if item.get("isGroup"):
                todo.append(("GetGroupSceneItemList", str(item["sourceName"])))
            elif item.get("sourceType") == "OBS_SOURCE_TYPE_SCENE":
                todo.append(("GetSceneItemList", str(item["sourceName"])))


def _items(obs: Obs, request: str, scene: str) -> list[dict[str, Any]]:
    try:
        items: list[dict[str, Any]] = obs.request(request, sceneName=scene)["sceneItems"]
    except RequestError as error:
        if error.code in _NOT_FOUND:
            # Removed since it was named.
            return []
        raise
    return items
