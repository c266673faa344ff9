"""The daemon's two sockets: one for clients, one for the worker."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

import zmq

from limner.daemon.paths import DAEMON_SOCKET, WORKER_SOCKET, PathError, endpoint
from limner.daemon.wire import MAX_MESSAGE_BYTES, Message, encode

log = logging.getLogger("limner.daemon")
# Messages taken from a socket before the other has its turn.
_BATCH = 256
_LINGER_MS = 200


class Sockets:
    """Both ROUTERs; is the hub's outbox."""

    def __init__(self, folder: Path, worker_identity: Callable[[], bytes]) -> None:
        self._context = zmq.Context()
        self._worker_identity = worker_identity
        self.clients = self._bind(endpoint(DAEMON_SOCKET, folder))
        self.worker = self._bind(endpoint(WORKER_SOCKET, folder))

    def _bind(self, address: str) -> zmq.Socket[bytes]:
        router = self._context.socket(zmq.ROUTER)
        router.linger = _LINGER_MS
        # A little above our own limit, so that a message too large gets an answer.
        router.setsockopt(zmq.MAXMSGSIZE, 16 * MAX_MESSAGE_BYTES)
        try:
            router.bind(address)
        except zmq.ZMQError as error:
            self.close()
            raise PathError(f"cannot listen at {address}: {error.strerror or error}") from error
        return router

    def to_client(self, client: bytes, message: Message) -> None:
        """Send to a client; one that is gone or does not read loses the message."""
        self._send(self.clients, client, message)

    def to_worker(self, message: Message) -> None:
        """Send to the worker of now."""
        self._send(self.worker, self._worker_identity(), message)

    @staticmethod
    def _send(router: zmq.Socket[bytes], peer: bytes, message: Message) -> None:
        with contextlib.suppress(zmq.Again):
            router.send_multipart([peer, encode(message)], zmq.NOBLOCK)

    def close(self) -> None:
        """Close both and wait a moment for what is on its way."""
        self._context.destroy(linger=_LINGER_MS)


def drain(router: zmq.Socket[bytes], handle: Callable[[bytes, list[bytes]], None]) -> None:
    """Let `handle(peer, parts)` have what has come to a socket, a batch of it at the most."""
    for _ in range(_BATCH):
        try:
            peer, *parts = router.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return
        try:
            handle(peer, parts)
        except Exception:
            # The top of the loop: one message that we mishandle must not end everybody's picture.
            log.exception("cannot handle a message")
