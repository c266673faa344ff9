"""A real OBS for a test: private configuration, virtual display, websocket on the loopback."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import obsws_python
from PIL import Image
from tests.end_to_end.harness import server
from tests.end_to_end.harness.clips import HEIGHT, WIDTH
from tests.end_to_end.harness.leaks import Leftovers

from limner.installer import obs_config, obs_process

FPS = 30
FILTER_NAME = "Limner"
CAMERA = "Cam"
NOT_READY = 207
"""obs-websocket's code of an OBS that starts."""
Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A live source; `limner` are the settings of its Limner filter, None for no filter."""

    name: str
    raw_file: Path
    limner: dict[str, Any] | None = field(default_factory=dict)
    hotkeys: dict[str, str] = field(default_factory=dict)
    """OBS's name of a key by the hotkey's name."""
    tone: bool = False
    """Has a microphone that hears a tone while the picture is bright."""

    def source(self) -> obs_config.Source:
        settings = {"width": WIDTH, "height": HEIGHT, "fps": FPS, "raw_file": str(self.raw_file)}
        filters = []
        if self.limner is not None:
            filters.append(obs_config.Filter(id="limner_filter", name=FILTER_NAME, settings=self.limner))
        return obs_config.Source(
            id="test_camera_with_sound" if self.tone else "test_camera",
            name=self.name,
            settings=settings,
            filters=tuple(filters),
            hotkeys=self.hotkeys,
        )


@dataclass(frozen=True, kw_only=True)
class Stats:
    """OBS's own counters since its start."""

    rendered: int
    lagged: int
    fps: float
    cpu_percent: float


@dataclass(frozen=True)
class Build:
    """What was built for the session: the installed plugin's folder, the camera, the shim."""

    plugin: Path
    camera: Path
    shim: Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(
    what: str,
    condition: Callable[[], bool],
    timeout_s: float,
    poll_s: float = 0.05,
    instead: Callable[[], object] = str,
) -> float:
    """Return the seconds until `condition` held; fails the test when it does not in time.

    `instead` tells what there is then.
    """
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > timeout_s:
            raise AssertionError(f"{what}: not within {timeout_s} s {instead()}")
        time.sleep(poll_s)
    return time.monotonic() - start


class Obs:
    """Use as a context: OBS runs inside; the end closes it, and the folder goes when nothing is left."""

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
        self.runtime_dir = runtime_dir or self.home / "limner"
        self._build = build
        self._cameras = cameras
        self._command = limner_command
        self._preview, self._language, self._geometry = preview, language, geometry
        self._websocket = obs_config.WebSocket(port=free_port(), password=secrets.token_hex(8))
        self._serves = True
        self._stack = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._client: obsws_python.ReqClient | None = None
        self.ended = ""
        """How it ended, the last time."""

    # ---- life

    def __enter__(self) -> Self:
        try:
            self._configure()
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
        wait_for("obs-websocket", self._connect, 20)
        wait_for("OBS to be ready", self._is_ready, 20)

    def stop(self) -> bool:
        """Close OBS as a person does; False when it crashed, or had to be killed."""
        self._hang_up()
        if self._process is None:
            return True
        process, self._process = self._process, None
        clean = obs_process.stop_obs(process)
        self.ended = f"code {process.returncode}, {obs_process.tail(self.log, 3)}"
        return clean or (process.returncode == -signal.SIGSEGV and self._crashes_by_itself)

    def _hang_up(self) -> None:
        """obs-websocket was seen to hang when it was stopped while a client left: wait until it has."""
        if self._client is None:
            return
        left = "has disconnected with code"
        before = self.log.read_text(errors="replace").count(left)
        self._client.disconnect()
        self._client = None
        deadline = time.monotonic() + 2.0
        while self.log.read_text(errors="replace").count(left) == before and time.monotonic() < deadline:
            time.sleep(0.02)

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
        if self._client is not None:
            self._client.disconnect()
            self._client = None

    def _configure(self) -> None:
        obs_dir = self.home / "obs-studio"
        profile = obs_config.Profile(
            name="Test", width=WIDTH, height=HEIGHT, fps=FPS, recordings=self.home / "recordings"
        )
        split = WIDTH / len(self._cameras)
        items = tuple(
            obs_config.Item(source=camera.name, x=number * split, y=0, width=split, height=HEIGHT)
            for number, camera in enumerate(self._cameras)
        )
        scenes = (obs_config.Scene(name="Main", items=items), obs_config.Scene(name="Empty", items=()))
        sources = tuple(camera.source() for camera in self._cameras)
        collection = obs_config.scene_collection("Test", sources, scenes)
        obs_config.write_private_config(
            obs_dir, profile, collection, websocket=self._websocket, preview=self._preview
        )
        _speak(obs_dir / "global.ini", self._language)
        self._install_plugins(obs_dir / "plugins")

    def _install_plugins(self, plugins: Path) -> None:
        shutil.copytree(self._build.plugin, plugins / "limner")
        camera = plugins / "test_camera" / "bin" / "64bit"
        camera.mkdir(parents=True)
        (plugins / "test_camera" / "data").mkdir()
        shutil.copy2(self._build.camera, camera)

    def _connect(self) -> bool:
        # A probe first: the client logs every refused connection with a traceback.
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self._websocket.port)) != 0:
                return False
        self._client = obsws_python.ReqClient(
            host="127.0.0.1", port=self._websocket.port, password=self._websocket.password, timeout=30
        )
        return True

    def _is_ready(self) -> bool:
        """Whether it answers: from version 30 on it listens before it does."""
        answer = self.client.base_client.req("GetStats")["requestStatus"]
        assert answer["result"] or answer["code"] == NOT_READY, answer
        return bool(answer["result"])

    def reconfigure(self, *, password: str | None = None, serves: bool = True) -> None:
        """Give obs-websocket another password, or switch it on or off, as it is from the next start on."""
        assert self._process is None, "OBS would write over it when it ends"
        self._serves = serves
        self._websocket = dataclasses.replace(self._websocket, password=password or self._websocket.password)
        server.rewrite(self.home / "obs-studio", self._websocket, enabled=serves)

    @property
    def display(self) -> str:
        """DISPLAY of its own screen."""
        return self._display

    @property
    def websocket(self) -> obs_config.WebSocket:
        """Where scripts reach it."""
        return self._websocket

    # ---- what it shows

    @property
    def log(self) -> Path:
        return self.home / "obs.log"

    @property
    def stats_dir(self) -> Path:
        """Where each filter writes what it measures of itself, once a second."""
        return self.home / "filter-stats"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def client(self) -> obsws_python.ReqClient:
        assert self._client is not None, "OBS is not running"
        return self._client

    def request(self, name: str, **data: object) -> dict[str, Any]:
        """Send a request of obs-websocket and return its answer."""
        answer: dict[str, Any] | None = self.client.send(name, data or None, raw=True)
        return answer or {}

    def screenshot(self, source: str = "Main", width: int = WIDTH) -> Picture:
        """Return the picture of a source or scene as it is now, height × width × 3."""
        height = width * HEIGHT // WIDTH
        answer = self.request(
            "GetSourceScreenshot",
            sourceName=source,
            imageFormat="png",
            imageWidth=width,
            imageHeight=height,
        )
        encoded = answer["imageData"].partition(",")[2]
        with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
            return np.asarray(image.convert("RGB"))

    def stats(self) -> Stats:
        answer = self.request("GetStats")
        return Stats(
            rendered=answer["renderTotalFrames"],
            lagged=answer["renderSkippedFrames"],
            fps=answer["activeFps"],
            cpu_percent=answer["cpuUsage"],
        )

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

    def set_filter(self, camera: str, **settings: object) -> None:
        """Change the filter's settings as its properties dialogue would."""
        self.request(
            "SetSourceFilterSettings",
            sourceName=camera,
            filterName=FILTER_NAME,
            filterSettings=settings,
            overlay=True,
        )

    def enable_filter(self, camera: str, enabled: bool) -> None:
        self.request(
            "SetSourceFilterEnabled", sourceName=camera, filterName=FILTER_NAME, filterEnabled=enabled
        )

    def play(self, camera: str, raw_file: Path) -> None:
        """Let the camera see something else."""
        self.request("SetInputSettings", inputName=camera, inputSettings={"raw_file": str(raw_file)})

    def show_scene(self, name: str) -> None:
        self.request("SetCurrentProgramScene", sceneName=name)

    def press(self, key: str, held_s: float = 0.15) -> None:
        """Press a key of the display's keyboard (xdotool's name of it), hold it and let it go."""
        environment = os.environ | {"DISPLAY": self._display}
        subprocess.run(["xdotool", "keydown", key], env=environment, check=True)
        time.sleep(held_s)  # OBS looks at the keyboard 40 times a second
        subprocess.run(["xdotool", "keyup", key], env=environment, check=True)
        time.sleep(held_s)

    def vendor(self, request: str, **data: object) -> dict[str, Any]:
        """Send a request to Limner's vendor interface of obs-websocket and return its answer."""
        # An empty object would be refused.
        asked = {"requestData": data} if data else {}
        answer = self.request("CallVendorRequest", vendorName="limner", requestType=request, **asked)
        found: dict[str, Any] = answer["responseData"]
        return found

    def leftovers(self) -> Leftovers:
        return Leftovers.of(self.runtime_dir)


def _speak(global_ini: Path, language: str) -> None:
    text = global_ini.read_text(encoding="utf-8")
    assert "[General]\n" in text
    global_ini.write_text(
        text.replace("[General]\n", f"[General]\nLanguage={language}\n", 1), encoding="utf-8"
    )


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
