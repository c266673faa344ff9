"""An OBS and a daemon that come and go, in any order; each must say what it waits for, and find the other."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from tests.end_to_end.harness import scenes
from tests.end_to_end.harness.cameras import Camera
from tests.end_to_end.harness.obs import Obs
from tests.end_to_end.harness.waiting import wait_for
from tests.support.daemon import RunningDaemon

from limner.daemon.protocol import ObsInfo

SCENE, STYLE = "Main", "pencil sketch"
RULES = f'[[rules]]\nscene = "{SCENE}"\nstyle = "{STYLE}"\n'
PATIENCE_S = 60.0
Round = Literal["obs, daemon", "daemon, obs", "both, obs first", "both, daemon first"]
ROUNDS: tuple[Round, ...] = ("obs, daemon", "daemon, obs", "both, obs first", "both, daemon first")


@dataclass
class Pair:
    """A running OBS, whose first camera has a Limner filter, and a daemon with RULES."""

    obs: Obs
    camera: Camera
    daemon: RunningDaemon
    engine: str = "echo"
    threads: int = 1

    def restart(self, order: Round) -> dict[str, float]:
        """Restart each once; return the seconds that each took to be in step again."""
        match order:
            case "obs, daemon":
                return {"obs": self._restart_obs(), "daemon": self._restart_daemon()}
            case "daemon, obs":
                return {"daemon": self._restart_daemon(), "obs": self._restart_obs()}
            case "both, obs first":
                self._stop_obs()
                assert self.daemon.stop() == 0, self.daemon.log()
                self.obs.start()
                self._filter_waits()
                return {"both": self._start_daemon()}
            case "both, daemon first":
                assert self.daemon.stop() == 0, self.daemon.log()
                self._filter_waits()
                assert self.obs.stop()
                self.daemon = self._new_daemon()
                self.control_waits("waiting for OBS")
                return {"both": self._start_obs()}

    def in_step(self) -> float:
        """Wait until OBS and daemon have found each other and the scene's look is painted; return seconds."""
        begin_s = time.monotonic()
        self.obs.wait_painted(self.camera.name, timeout_s=PATIENCE_S)
        scenes.wait_connected(self.daemon, SCENE)
        wait_for("the look", self._has_the_look, PATIENCE_S, instead=self.what_is)
        return time.monotonic() - begin_s

    def control_waits(self, *words: str) -> ObsInfo:
        """Wait until the daemon says in all these words that, and why, it has no OBS."""

        def says() -> bool:
            info = self.daemon.query().obs
            return info is not None and not info.connected and all(word in info.sentence for word in words)

        wait_for(f"{words} in what the control says", says, PATIENCE_S, instead=self.what_is)
        info = self.daemon.query().obs
        assert info is not None
        return info

    def what_is(self) -> str:
        """Return what both sides say of themselves."""
        overview = self.daemon.query()
        said = [
            f"{one.name}: {one.status.sentence}, {one.status.settings.style}" for one in overview.sessions
        ]
        return f"{overview.obs}; {said}"

    def _has_the_look(self) -> bool:
        return scenes.settings_of(self.daemon, self.camera.name).style == STYLE

    def _stop_obs(self) -> None:
        assert self.obs.stop()
        self.control_waits("waiting for OBS")

    def _start_obs(self) -> float:
        self.obs.start()
        return self.in_step()

    def _restart_obs(self) -> float:
        self._stop_obs()
        return self._start_obs()

    def _restart_daemon(self) -> float:
        assert self.daemon.stop() == 0, self.daemon.log()
        self._filter_waits()
        return self._start_daemon()

    def _start_daemon(self) -> float:
        self.daemon = self._new_daemon()
        return self.in_step()

    def _new_daemon(self) -> RunningDaemon:
        return scenes.start_ruled(self.obs, RULES, engine=self.engine, threads=self.threads)

    def _filter_waits(self) -> None:
        """Wait until the filter says that it has no daemon."""
        said: list[str] = []

        def says() -> bool:
            stats = self.obs.filter_stats(self.camera.name)
            said.append(f"{stats['state']}: {stats['sentence']}")
            return stats["state"] == "waiting" and "daemon" in stats["sentence"]

        wait_for("a filter that waits for the daemon", says, PATIENCE_S, instead=lambda: said[-1:])
