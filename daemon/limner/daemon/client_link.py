"""The client's end of the socket: connect, heartbeat, and noticing at once that the daemon is gone."""

from __future__ import annotations

import math
import socket as unix
import time
from pathlib import Path

import zmq

from limner.daemon.paths import DAEMON_SOCKET, PathError, endpoint, runtime_dir
from limner.daemon.protocol import HEARTBEAT_S, SILENCE_S, Ping, from_daemon
from limner.daemon.wire import Message, WireError, encode

CLOSE_LINGER_MS = 200


class ClientError(Exception):
    """What goes wrong between a client and the daemon; the message is one sentence for people."""


class NoDaemonError(ClientError):
    """No daemon runs, or none that answers."""


class DaemonLostError(ClientError):
    """The daemon went away in the middle."""


class RefusedError(ClientError):
    """The daemon refused a message. `code` is for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def probe(folder: Path) -> None:
    """Raise NoDaemonError unless something listens on the daemon's socket (ZeroMQ would just wait)."""
    path = folder / DAEMON_SOCKET
    with unix.socket(unix.AF_UNIX, unix.SOCK_STREAM) as peer:
        peer.settimeout(SILENCE_S)
        try:
            peer.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            raise NoDaemonError("no daemon is running; start one with: limner daemon --detach") from error
        except OSError as error:
            raise NoDaemonError(f"cannot reach the daemon at {path}: {error.strerror or error}") from error


class Link:
    """A DEALER socket to the daemon. Not thread-safe."""

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or runtime_dir()
        try:
            address = endpoint(DAEMON_SOCKET, folder)
        except PathError as error:
            raise NoDaemonError(str(error)) from error
        probe(folder)
        self.lost = False
        self.heartbeat_expected = False
        self.closed = False
        self._context = zmq.Context(io_threads=1)
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, CLOSE_LINGER_MS)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._socket.connect(address)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        self._heard_at = self._said_at = time.monotonic()

    def send(self, message: Message) -> None:
        """Hand a message to the socket; never waits. A full queue means that the daemon no longer reads."""
        try:
            self._socket.send(encode(message), zmq.DONTWAIT)
        except zmq.Again as error:
            raise self._gone("the daemon no longer reads what it is sent") from error
        self._said_at = time.monotonic()

    def receive(self, timeout_s: float) -> Message | None:
        """Return the next message, None after `timeout_s`; says the heartbeat while it waits.

        Raises DaemonLostError when the daemon hung up or has been silent for SILENCE_S.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                data = self._socket.recv(zmq.DONTWAIT)
            except zmq.Again:
                if not self._wait(deadline):
                    return None
            else:
                self._heard_at = time.monotonic()
                return self._decode(data)

    def _wait(self, deadline: float) -> bool:
        """Wait a moment for something to read; False after `deadline`. Speaks and checks the pulse."""
        now = time.monotonic()
        if self.heartbeat_expected and now - self._said_at >= HEARTBEAT_S:
            self.send(Ping())
        # The queue is empty here, so a caller who was busy for seconds has not missed a heartbeat.
        if self.heartbeat_expected and now - self._heard_at > SILENCE_S:
            raise self._gone(f"the daemon has been silent for {SILENCE_S:g} s")
        left_s = max(0.0, deadline - now)
        ready = dict(self._poller.poll(math.ceil(min(left_s, HEARTBEAT_S / 2) * 1000)))
        if self._monitor in ready and self._socket not in ready:
            raise self._gone("the daemon ended")
        return left_s > 0 or bool(ready)

    def _decode(self, data: bytes) -> Message:
        try:
            return from_daemon.decode(data)
        except WireError as error:
            raise ClientError(f"the daemon said something strange: {error}") from error

    def _gone(self, why: str) -> DaemonLostError:
        self.lost = True
        return DaemonLostError(why)

    def close(self) -> None:
        """Hang up; the last messages have CLOSE_LINGER_MS to leave. Harmless when done already."""
        if self.closed:
            return
        self.closed = True
        self._poller.unregister(self._monitor)
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0 if self.lost else None)
        self._context.term()
