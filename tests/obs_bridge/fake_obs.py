"""A fake OBS: a server on the loopback that speaks as much of obs-websocket 5 as the control asks for."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import Any, Self

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
AUTHENTICATION_FAILED = 4009
NOT_FOUND, NOT_READY, UNKNOWN = 600, 207, 204


@dataclass
class Scenery:
    """What this OBS shows. `items`: by scene or group, (source, is visible, "input" | "scene" | "group")."""

    scene: str = "Main"
    preview: str = ""
    filters: dict[tuple[str, str], bool] = field(default_factory=dict)
    items: dict[str, list[tuple[str, bool, str]]] = field(default_factory=dict)
    ready: bool = True


class FakeObs:
    """Use as a context, or `start` and `stop` it as a person does; it keeps its port."""

    def __init__(self, password: str = "secret") -> None:
        self.password = password
        self.scenery = Scenery()
        self.requests: list[str] = []
        self.identified = threading.Event()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._server: socket.socket | None = None
        self._peers: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self.identified.clear()
        self._server = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        self._start_thread(self._accept, self._server)

    def stop(self) -> None:
        if self._server is None:
            return
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._server = None
        for peer in self._peers:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._peers, self._threads = [], []

    def emit(self, kind: str, **data: object) -> None:
        """Tell everyone of an event."""
        for peer in list(self._peers):
            with contextlib.suppress(OSError):
                self._say(peer, 5, {"eventType": kind, "eventIntent": 4, "eventData": data})

    def show(self, scene: str) -> None:
        """Put a scene on air."""
        self.scenery.scene = scene
        self.emit("CurrentProgramSceneChanged", sceneName=scene)

    def switch(self, source: str, name: str, enabled: bool) -> None:
        """Switch a filter."""
        self.scenery.filters[source, name] = enabled
        self.emit("SourceFilterEnableStateChanged", sourceName=source, filterName=name, filterEnabled=enabled)

    # ---- the protocol

    def _start_thread(self, target: Any, peer: socket.socket) -> None:
        thread = threading.Thread(target=target, args=(peer,), name="fake OBS")
        self._threads.append(thread)
        thread.start()

    def _accept(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = server.accept()
                self._start_thread(self._serve, peer)

    def _serve(self, peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError, ConnectionError, struct.error):
            self._shake_hands(peer)
            salt, challenge = "c2FsdA==", "Y2hhbGxlbmdl"
            hello: dict[str, Any] = {"obsWebSocketVersion": "5.1.0", "rpcVersion": 1}
            if self.password:
                hello["authentication"] = {"salt": salt, "challenge": challenge}
            self._say(peer, 0, hello)
            identify = json.loads(self._hear(peer) or b'{"d": {}}')["d"]
            if self.password and identify.get("authentication") != _answer(self.password, salt, challenge):
                self._send(peer, _CLOSE, struct.pack(">H", AUTHENTICATION_FAILED) + b"Authentication failed.")
                return
            self._say(peer, 2, {"negotiatedRpcVersion": 1})
            self._peers.append(peer)
            self.identified.set()
            while text := self._hear(peer):
                self._respond(peer, json.loads(text)["d"])

    def _respond(self, peer: socket.socket, request: dict[str, Any]) -> None:
        kind = request["requestType"]
        self.requests.append(kind)
        data, code = self._data_of(kind, request.get("requestData") or {})
        status = {"result": code == 100, "code": code}
        body = {"requestType": kind, "requestId": request["requestId"], "requestStatus": status}
        self._say(peer, 7, body | ({"responseData": data} if data else {}))

    def _data_of(self, kind: str, asked: dict[str, Any]) -> tuple[dict[str, Any], int]:
        now = self.scenery
        key = (asked.get("sourceName", ""), asked.get("filterName", ""))
        items = [_item(*item) for item in now.items.get(asked.get("sceneName", ""), [])]
        answers: dict[str, dict[str, Any]] = {
            "GetVersion": {"obsVersion": "29.0.2"},
            "GetSceneList": {
                "currentProgramSceneName": now.scene,
                "currentPreviewSceneName": now.preview or None,
            },
            "GetSourceFilter": {"filterEnabled": now.filters.get(key)},
            "GetSceneItemList": {"sceneItems": items},
            "GetGroupSceneItemList": {"sceneItems": items},
        }
        if kind not in answers:
            return {}, UNKNOWN
        if not now.ready and kind != "GetVersion":
            return {}, NOT_READY
        missing = kind == "GetSourceFilter" and key not in now.filters
        return ({}, NOT_FOUND) if missing else (answers[kind], 100)

    # ---- frames

    def _shake_hands(self, peer: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            part = peer.recv(1)
            if not part:
                raise ConnectionError
            head += part
        key = next(
            line.split(": ", 1)[1]
            for line in head.decode().split("\r\n")
            if line.startswith("Sec-WebSocket-Key")
        )
        accept = base64.b64encode(hashlib.sha1((key + _GUID).encode()).digest()).decode()
        peer.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept.encode() + b"\r\n\r\n"
        )

    def _say(self, peer: socket.socket, op: int, data: dict[str, Any]) -> None:
        self._send(peer, _TEXT, json.dumps({"op": op, "d": data}).encode())

    def _send(self, peer: socket.socket, kind: int, payload: bytes) -> None:
        size = len(payload)
        head = (
            bytes([0x80 | kind, size]) if size < 126 else bytes([0x80 | kind, 126]) + struct.pack(">H", size)
        )
        with self._lock:
            peer.sendall(head + payload)

    def _hear(self, peer: socket.socket) -> bytes:
        """Return the next text; empty: the peer hung up."""
        while True:
            kind, size = _exactly(peer, 2)
            size &= 0x7F
            if size == 126:
                (size,) = struct.unpack(">H", _exactly(peer, 2))
            mask = _exactly(peer, 4)
            payload = bytes(byte ^ mask[n % 4] for n, byte in enumerate(_exactly(peer, size)))
            if kind & 15 == _CLOSE:
                return b""
            if kind & 15 == _PING:
                self._send(peer, _PONG, payload)
            elif kind & 15 == _TEXT:
                return payload


def _exactly(peer: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = peer.recv(count - len(data))
        if not part:
            raise ConnectionError
        data += part
    return data


def _answer(password: str, salt: str, challenge: str) -> str:
    secret = base64.b64encode(hashlib.sha256((password + salt).encode()).digest())
    return base64.b64encode(hashlib.sha256(secret + challenge.encode()).digest()).decode()


def _item(source: str, enabled: bool, kind: str) -> dict[str, Any]:
    return {
        "sourceName": source,
        "sceneItemEnabled": enabled,
        "isGroup": kind == "group",
        "sourceType": "OBS_SOURCE_TYPE_INPUT" if kind == "input" else "OBS_SOURCE_TYPE_SCENE",
    }
