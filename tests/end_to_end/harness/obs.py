"""A real OBS for a test: private configuration, virtual display, websocket on the loopback."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.end_to_end.harness import server
from tests.end_to_end.harness.builds import Build
from tests.end_to_end.harness.cameras import CAMERA, Camera
from tests.end_to_end.harness.configuration import configure
from tests.end_to_end.harness.leaks import Leftovers
from tests.end_to_end.harness.remote import Remote
from tests.end_to_end.harness.waiting import wait_for

from limner.installer import obs_config, obs_process


class Obs(Remote):
    """Use as a context: OBS runs inside; the end closes it, and the folder goes when nothing is left.

    What its websocket offers is in `Remote`.
    """

    def __init__(
        self,
        build: Build,
        cameras: tuple[Camera, ...],
        *,
        limner_command: str = "/nonexistent/limner",
        preview: bool = False,
        runtime_dir: Path | None = None,
        language: str = "en-US",
        geometry: str = "1280x800x24",
    ) -> None:
        # Short: sockets live below it, and their paths hold 107 bytes.
        self.home = Path(tempfile.mkdtemp(prefix="limner-e2e-", dir="/tmp"))
        websocket = obs_config.WebSocket(port=_free_port(), password=secrets.token_hex(8))
        super().__init__(websocket, self.home / "obs.log")
        self.runtime_dir = runtime_dir or self.home / "limner"
        self._build = build
        self._cameras = cameras
        self._command = limner_command
        self._preview, self._language, self._geometry = preview, language, geometry
        self._serves = True
        self._stack = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self.ended = ""
        """How it ended, the last time."""

    # ---- life

    def __enter__(self) -> Self:
        try:
            configure(
                self.home,
                self._build,
                self._cameras,
                websocket=self.websocket,
                preview=self._preview,
                language=self._language,
            )
            self._display = self._stack.enter_context(
                obs_process.virtual_display(self.home / "xvfb.log", self._geometry)
            )
            self.start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            clean = self.stop()
        finally:
            self._stack.close()
        if kind is not None:
            print(f"OBS's log ({self.log}):\n{obs_process.tail(self.log, 40)}")
            return
        assert clean, f"OBS ended badly: {self.ended}; see {self.log}"
        shutil.rmtree(self.home)

    def start(self) -> None:
        """Start OBS (again, after `kill`) with the same configuration, and connect if its server is on."""
        shutil.rmtree(self.stats_dir, ignore_errors=True)
        self.stats_dir.mkdir()
        environment = {
            "LIMNER_RUNTIME_DIR": str(self.runtime_dir),
            "LIMNER_FILTER_STATS": str(self.stats_dir),
            "LIMNER_COMMAND": self._command,
        }
        launch = obs_process.ObsLaunch(
            home=self.home,
            display=self._display,
            environment=environment,
            preload=self._build.shim,
        )
        self._process = obs_process.start_obs(launch)
        if not self._serves:
            return
        wait_for("obs-websocket", self.connect, 20)
        wait_for("OBS to be ready", self.is_ready, 20)

    def stop(self) -> bool:
        """Close OBS as a person does; False when it crashed, or had to be killed."""
        self.hang_up()
        if self._process is None:
            return True
        process, self._process = self._process, None
        clean = obs_process.stop_obs(process)
        self.ended = f"code {process.returncode}, {obs_process.tail(self.log, 3)}"
        return clean or (process.returncode == -signal.SIGSEGV and self._crashes_by_itself)

    @property
    def _crashes_by_itself(self) -> bool:
        """Some OBS do so at their very end, without any filter of ours, after all is saved.

        29 with a source that has sound: 2 times of 20, in Qt. 32 with sources that it did not clear: 3 of 12.
        """
        log = self.log.read_text(errors="replace")
        has_sound = any(camera.tone for camera in self._cameras)
        return has_sound or ("OBS 32." in log and "source(s) were remaining" in log)

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._process = None
        self.drop()

    def reconfigure(self, *, password: str | None = None, serves: bool = True) -> None:
        """Give obs-websocket another password, or switch it on or off, as it is from the next start on."""
        assert self._process is None, "OBS would write over it when it ends"
        self._serves = serves
        self.websocket = dataclasses.replace(self.websocket, password=password or self.websocket.password)
        server.rewrite(self.home / "obs-studio", self.websocket, enabled=serves)

    @property
    def display(self) -> str:
        """DISPLAY of its own screen."""
        return self._display

    # ---- what it shows

    @property
    def stats_dir(self) -> Path:
        """Where each filter writes what it measures of itself, once a second."""
        return self.home / "filter-stats"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def filter_stats(self, camera: str = CAMERA) -> dict[str, Any]:
        """Return what the camera's filter says of itself from now on (it writes once a second)."""
        path = self.stats_dir / f"{camera}.json"
        asked_ns = time.time_ns()
        wait_for(
            f"figures of the filter on {camera}",
            lambda: path.exists() and path.stat().st_mtime_ns > asked_ns,
            20,
            instead=lambda: f"OBS's code: {self._process and self._process.poll()}",
        )
        stats: dict[str, Any] = json.loads(path.read_text())
        return stats

    def wait_painted(self, *cameras: str, timeout_s: float = 60.0) -> None:
        """Wait until nothing but new painted frames is shown of each camera (default: the first)."""
        for camera in cameras or (self._cameras[0].name,):
            self._wait_painted(camera, timeout_s)

    def _wait_painted(self, camera: str, timeout_s: float) -> None:
        before = now = self.filter_stats(camera)

        def painted() -> bool:
            nonlocal now
            now = self.filter_stats(camera)
            return bool(now["painted_shown"] > before["painted_shown"] and now["shown_share"] == 1)

        wait_for(f"painted frames of {camera}", painted, timeout_s, instead=lambda: now)

    def press(self, key: str, held_s: float = 0.15) -> None:
        """Press a key of the display's keyboard (xdotool's name of it), hold it and let it go."""
        environment = os.environ | {"DISPLAY": self._display}
        subprocess.run(["xdotool", "keydown", key], env=environment, check=True)
        time.sleep(held_s)  # OBS looks at the keyboard 40 times a second
        subprocess.run(["xdotool", "keyup", key], env=environment, check=True)
        time.sleep(held_s)

    def leftovers(self) -> Leftovers:
        return Leftovers.of(self.runtime_dir)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
