"""A second scene, filters and studio mode in a running OBS, and a daemon that follows them by rules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.end_to_end.harness.obs import Obs
from tests.support.daemon import RunningDaemon, start_daemon, wait_for

from limner.daemon.protocol import ObsInfo, Settings


@contextmanager
def ruled_daemon(obs: Obs, rules: str, *, engine: str, threads: int = 1) -> Iterator[RunningDaemon]:
    """A daemon for this OBS (which need not run yet) with rules of its own."""
    daemon = start_ruled(obs, rules, engine=engine, threads=threads)
    try:
        yield daemon
    finally:
        if daemon.process.poll() is None:
            assert daemon.stop() == 0, daemon.log()


def start_ruled(obs: Obs, rules: str, *, engine: str, threads: int = 1) -> RunningDaemon:
    """Start a daemon that finds this OBS as it would its user's."""
    file = rules_file(obs)
    folder = file.parent
    folder.mkdir(exist_ok=True)
    file.write_text(rules)
    obs.runtime_dir.mkdir(mode=0o700, exist_ok=True)
    return start_daemon(
        obs.runtime_dir,
        engine=engine,
        threads=threads,
        HOME=str(obs.home),
        XDG_CONFIG_HOME=str(obs.home),
        LIMNER_CONFIG_DIR=str(folder),
        LIMNER_STATE_DIR=str(folder),
    )


def rules_file(obs: Obs) -> Path:
    """Return where the styles and rules are of the daemon for this OBS."""
    return obs.runtime_dir.parent / f"{obs.runtime_dir.name}-settings" / "styles.toml"


def add_scene(obs: Obs, name: str, *sources: str) -> dict[str, int]:
    """Make a scene that shows these sources, and return the ids of its items."""
    obs.request("CreateScene", sceneName=name)
    return {
        source: int(obs.request("CreateSceneItem", sceneName=name, sourceName=source)["sceneItemId"])
        for source in sources
    }


def add_filter(obs: Obs, source: str, name: str) -> None:
    """Give a source a filter of OBS's own, switched off."""
    obs.request(
        "CreateSourceFilter",
        sourceName=source,
        filterName=name,
        filterKind="color_filter_v2",
        filterSettings={},
    )
    switch(obs, source, name, False)


def switch(obs: Obs, source: str, name: str, enabled: bool) -> None:
    """Switch a filter on or off."""
    obs.request("SetSourceFilterEnabled", sourceName=source, filterName=name, filterEnabled=enabled)


def settings_of(daemon: RunningDaemon, name: str) -> Settings:
    """Return what is in force for a filter's session."""
    return next(one.status.settings for one in daemon.query().sessions if one.name == name)


def wait_connected(daemon: RunningDaemon, scene: str = "") -> ObsInfo:
    """Wait until the control has found OBS."""

    def connected() -> ObsInfo | None:
        info = daemon.query().obs
        return info if info and info.connected and scene in ("", info.scene) else None

    return wait_for(
        connected, "the control of OBS", log=lambda: f"{daemon.query().obs}\n{_log(daemon.runtime_dir)}"
    )


def _log(runtime_dir: Path) -> str:
    path = runtime_dir / "obs.log"
    return path.read_text() if path.exists() else ""
