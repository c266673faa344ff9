"""Where an unseen run happens: its folder, its daemon, and what filter and OBS say while it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from limner.daemon.client import Client, ClientError
from limner.daemon.protocol import Overview
from limner.installer import figures
from limner.installer.command import run_limner
from limner.installer.obs_process import ObsError, tail

READY_TIMEOUT_S = 120.0
LIVE_TIMEOUT_S = 60.0
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """An unseen run. `home` is short, because sockets lie below it; `clip` plays the camera."""

    limner: Path
    home: Path
    clip: Path

    @property
    def runtime(self) -> Path:
        """Folder of this run's own daemon."""
        return self.home / "limner"

    @property
    def stats(self) -> Path:
        """Where the filter writes its counters."""
        return self.home / "filter-stats.json"

    @property
    def script(self) -> Path:
        """The script that runs inside OBS; its files lie beside it."""
        return self.home / "recorder.lua"

    @property
    def recordings(self) -> Path:
        """Where OBS records."""
        return self.home / "recordings"

    @property
    def obs_log(self) -> Path:
        """What OBS says."""
        return self.home / "obs.log"

    @property
    def environment(self) -> dict[str, str]:
        """What leads OBS and the commands to this run's daemon."""
        return {
            "LIMNER_RUNTIME_DIR": str(self.runtime),
            "LIMNER_FILTER_STATS": str(self.stats),
            "LIMNER_COMMAND": str(self.limner),
        }

    def command(self, *arguments: str) -> str:
        """Run `limner` against this run's daemon; raises CommandError."""
        return run_limner(self.limner, *arguments, environment=self.environment)

    def wait_ready(self) -> Overview:
        """Return what the daemon says when its model is loaded; raises ObsError with the reason why not."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        sentence = "the daemon does not answer"
        while time.monotonic() < deadline:
            try:
                with Client(self.runtime) as client:
                    overview = client.query()
            except ClientError as error:
                sentence = str(error)
            else:
                if overview.worker.state == "ready":
                    return overview
                sentence = overview.worker.sentence
            time.sleep(0.1)
        raise ObsError(f"The model was not ready after {READY_TIMEOUT_S:.0f} s: {sentence}")

    def wait_painted(self) -> figures.FilterCounts:
        """Return the filter's counters as soon as it has shown a painted frame."""

        def painted() -> figures.FilterCounts | None:
            counts = figures.read_filter_stats(self.stats, time.monotonic())
            return counts if counts and counts.painted_shown > 0 else None

        return self._wait("A painted frame", painted)

    def filter_counts(self) -> figures.FilterCounts:
        """Return what the filter writes next (once a second), so that count and time belong together."""
        written = self.stats.stat().st_mtime_ns

        def fresh() -> figures.FilterCounts | None:
            if self.stats.stat().st_mtime_ns == written:
                return None
            return figures.read_filter_stats(self.stats, time.monotonic())

        return self._wait("The filter's figures", fresh)

    def obs_counts(self) -> figures.ObsCounts:
        """Return OBS's own counters, at most a tenth of a second old."""
        path = self.home / "obs-counters.json"
        return self._wait("OBS's figures", lambda: figures.read_obs_counts(path))

    def end_recording(self) -> float:
        """Have OBS finish the recording; return when it was told to (time.monotonic, s)."""
        told_s = time.monotonic()
        (self.home / "stop").touch()
        self._wait("The end of the recording", lambda: not self.obs_counts().recording or None)
        return told_s

    def _wait(self, what: str, look: Callable[[], T | None]) -> T:
        """Return the first thing that `look` finds; raises ObsError with the end of OBS's log."""
        deadline = time.monotonic() + LIVE_TIMEOUT_S
        while time.monotonic() < deadline:
            if (found := look()) is not None:
                return found
            time.sleep(0.05)
        raise ObsError(
            f"{what} did not come in {LIVE_TIMEOUT_S:.0f} s; the end of OBS's log:\n{tail(self.obs_log)}"
        )
