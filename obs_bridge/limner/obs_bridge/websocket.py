"""One connection to obs-websocket (protocol 5): requests are answered, events are counted as they come.

obsws-python connects and identifies. Requests and events share the one connection here, so nothing needs a
thread of its own, and the socket can be waited for together with others.
"""

from __future__ import annotations

import json
import logging
import select
from typing import Any, Literal

from obsws_python.baseclient import ObsClient
from obsws_python.error import OBSSDKError
from websocket import WebSocketException

from limner.obs_bridge.addresses import SWITCH_IT_ON, Address

TIMEOUT_S = 3.0
# obs-websocket's EventSubscription: General, Config, Scenes, Inputs, Filters, SceneItems, Ui.
SUBSCRIPTIONS = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 7 | 1 << 10
_EVENT, _REQUEST, _ANSWER = 5, 6, 7
_NOT_READY = 207
# It writes passwords and tracebacks into the log.
logging.getLogger("obsws_python").setLevel(logging.CRITICAL + 1)

Event = tuple[str, dict[str, Any]]


class ObsError(Exception):
    """OBS cannot be asked now; the message says why, for people."""


class RequestError(ObsError):
    """OBS refused one request. `code` is obs-websocket's RequestStatus."""

    def __init__(self, kind: str, code: int, comment: str) -> None:
        super().__init__(f"OBS refused {kind}: {comment or code}")
        self.code = code

    @property
    def not_ready(self) -> bool:
        """OBS is starting, or loads another scene collection."""
        return self.code == _NOT_READY


class ObsSocket:
    """A connection that has identified itself. Not thread-safe; raises ObsError when OBS is gone."""

    def __init__(self, address: Address) -> None:
        where = f"{address.host}:{address.port}"
        try:
            self._client = ObsClient(
                host=address.host,
                port=address.port,
                password=address.password,
                subs=SUBSCRIPTIONS,
                timeout=TIMEOUT_S,
            )
        except (OSError, WebSocketException, ValueError) as error:
            hint = (
                "is OBS running, and its WebSocket server on?" if isinstance(error, OSError) else str(error)
            )
            raise ObsError(f"nobody answers at {where}; {hint}") from error
        self._ws = self._client.ws
        # The client forgets its socket when the other side hangs up.
        self._socket = self._ws.sock
        self._events: list[Event] = []
        self._count = 0
        try:
            self._identify(address)
            self.version = str(self.request("GetVersion").get("obsVersion", ""))
        except BaseException:
            self.close()
            raise

    def _identify(self, address: Address) -> None:
        try:
            self._client.authenticate()
        except OBSSDKError as error:
            why = "OBS wants a password" if not address.password else "OBS refuses the password"
            raise ObsError(
                f"{why} of {address.source}; see OBS's Tools → WebSocket Server Settings"
            ) from error
        except (OSError, WebSocketException, KeyError, ValueError) as error:
            raise ObsError(f"what answers at {address.host}:{address.port} is no OBS: {error}") from error

    def fileno(self) -> int:
        """Return what can be waited for: readable when an event has come."""
        return int(self._socket.fileno())

    def request(self, kind: str, **data: object) -> dict[str, Any]:
        """Ask and return the answer; raises RequestError, ObsError."""
        self._count += 1
        number = str(self._count)
        message = {"requestType": kind, "requestId": number, "requestData": data}
        try:
            self._ws.send(json.dumps({"op": _REQUEST, "d": message}))
        except (OSError, WebSocketException) as error:
            raise ObsError("OBS hung up") from error
        while (answer := self._receive()) is None or answer.get("requestId") != number:
            pass
        status = answer["requestStatus"]
        if not status["result"]:
            raise RequestError(kind, int(status["code"]), str(status.get("comment", "")))
        return answer.get("responseData") or {}

    def events(self) -> list[Event]:
        """Return the events that have come, without waiting."""
        while self._ws.connected and select.select([self._socket], [], [], 0)[0]:
            self._receive()
        if not self._ws.connected:
            raise ObsError("OBS hung up")
        events, self._events = self._events, []
        return events

    def _receive(self) -> dict[str, Any] | None:
        """Take one message; return it if it is an answer."""
        try:
            text = self._ws.recv()
        except (OSError, WebSocketException) as error:
            raise ObsError("OBS hung up, or does not answer") from error
        if not text:
            raise ObsError(f"OBS hung up; if it runs, {SWITCH_IT_ON}")
        try:
            message = json.loads(text)
            body: dict[str, Any] = message["d"]
            kind: Literal[5, 7] | int = message["op"]
        except (ValueError, KeyError, TypeError) as error:
            raise ObsError("OBS said something strange") from error
        if kind == _EVENT:
            self._events.append((str(body.get("eventType")), body.get("eventData") or {}))
        return body if kind == _ANSWER else None

    def close(self) -> None:
        """Hang up. Harmless when done already."""
        self._ws.close(timeout=0)
        self._socket.close()
