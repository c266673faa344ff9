"""A running OBS through obs-websocket: what a script of its user could ask and set."""

from __future__ import annotations

import base64
import io
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import obsws_python
from PIL import Image
from tests.end_to_end.harness.cameras import FILTER_NAME
from tests.end_to_end.harness.clips import HEIGHT, WIDTH

from limner.installer import obs_config

NOT_READY = 207
"""obs-websocket's code of an OBS that starts."""
Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Stats:
    """OBS's own counters since its start."""

    rendered: int
    lagged: int
    fps: float
    cpu_percent: float


class Remote:
    """A connection, made with `connect`; it is lost with OBS, and made anew with the next one."""

    def __init__(self, websocket: obs_config.WebSocket, log: Path) -> None:
        self.websocket = websocket
        """Where scripts reach it."""
        self.log = log
        """OBS's own."""
        self._client: obsws_python.ReqClient | None = None

    # ---- the connection

    def connect(self) -> bool:
        """Return whether it could: a starting OBS does not listen yet."""
        # A probe first: the client logs every refused connection with a traceback.
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self.websocket.port)) != 0:
                return False
        self._client = obsws_python.ReqClient(
            host="127.0.0.1", port=self.websocket.port, password=self.websocket.password, timeout=30
        )
        return True

    def is_ready(self) -> bool:
        """Whether it answers: from version 30 on it listens before it does."""
        answer = self.client.base_client.req("GetStats")["requestStatus"]
        assert answer["result"] or answer["code"] == NOT_READY, answer
        return bool(answer["result"])

    def hang_up(self) -> None:
        """Disconnect, and wait until OBS has seen it: stopped while a client left, obs-websocket hung."""
        if self._client is None:
            return
        left = "has disconnected with code"
        before = self.log.read_text(errors="replace").count(left)
        self._client.disconnect()
        self._client = None
        deadline = time.monotonic() + 2.0
        while self.log.read_text(errors="replace").count(left) == before and time.monotonic() < deadline:
            time.sleep(0.02)

    def drop(self) -> None:
        """Disconnect from an OBS that is gone."""
        if self._client is not None:
            self._client.disconnect()
            self._client = None

    @property
    def client(self) -> obsws_python.ReqClient:
        assert self._client is not None, "OBS is not running"
        return self._client

    def request(self, name: str, **data: object) -> dict[str, Any]:
        """Send a request of obs-websocket and return its answer."""
        answer: dict[str, Any] | None = self.client.send(name, data or None, raw=True)
        return answer or {}

    # ---- what it shows

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

    # ---- what it does

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

    def vendor(self, request: str, **data: object) -> dict[str, Any]:
        """Send a request to Limner's vendor interface of obs-websocket and return its answer."""
        # An empty object would be refused.
        asked = {"requestData": data} if data else {}
        answer = self.request("CallVendorRequest", vendorName="limner", requestType=request, **asked)
        found: dict[str, Any] = answer["responseData"]
        return found
