"""The worker's sockets to its ranks: one for this machine, one, with keys, for others."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque

import zmq
from zmq.auth.thread import ThreadAuthenticator

from limner.daemon.rank_keys import Keys
from limner.daemon.wire import Message, encode


class Switchboard:
    """`put` from any thread; everything else from the one that polls."""

    def __init__(self, endpoint: str, listen: str = "", keys: Keys | None = None) -> None:
        """`endpoint`: of this machine's ranks. `listen`: HOST:PORT for others', which need `keys`.

        Raises zmq.ZMQError when an address cannot be had.
        """
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._authenticator: ThreadAuthenticator | None = None
        self.wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._outgoing: deque[tuple[bytes, bytes]] = deque()
        self._routers: list[zmq.Socket[bytes]] = []
        self._of_peer: dict[bytes, zmq.Socket[bytes]] = {}
        self._waking = threading.Lock()
        self.poller = zmq.Poller()
        self.poller.register(self.wake, zmq.POLLIN)
        try:
            self._bind(endpoint, None)
            if listen:
                assert keys is not None, "other machines' ranks need keys"
                self._bind(f"tcp://{listen}", keys)
        except BaseException:
            self.close()
            raise

    def _bind(self, address: str, keys: Keys | None) -> None:
        router = self._context.socket(zmq.ROUTER)
        self._routers.append(router)
        router.linger = 200
        router.sndhwm = router.rcvhwm = 0
        router.setsockopt(zmq.ROUTER_HANDOVER, 1)
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        if keys is not None:
            self._let_in(keys)
            router.curve_server = True
            router.curve_publickey = keys.worker.public.encode()
            router.curve_secretkey = keys.worker.secret.encode()
        router.bind(address)
        self.poller.register(router, zmq.POLLIN)

    def _let_in(self, keys: Keys) -> None:
        """Let nobody in but who has the rank's key."""
        authenticator = ThreadAuthenticator(self._context)
        authenticator.start()
        self._authenticator = authenticator
        authenticator.configure_curve_callback(credentials_provider=_OneKey(keys.rank.public))

    def put(self, peer: bytes, message: Message) -> None:
        """Send soon; never waits. To a peer that is gone it goes nowhere."""
        self.put_bytes(peer, encode(message))

    def put_bytes(self, peer: bytes, data: bytes) -> None:
        """As `put`, of what is no message of ours."""
        self._outgoing.append((peer, data))
        self.wake_up()

    def wake_up(self) -> None:
        """Let the thread that polls look around."""
        with self._waking:
            if self.wake >= 0:
                os.eventfd_write(self.wake, 1)

    def flush(self) -> None:
        """Send what was put."""
        while self._outgoing:
            peer, data = self._outgoing.popleft()
            router = self._of_peer.get(peer)
            if router is None:
                continue
            try:
                router.send_multipart([peer, data], zmq.NOBLOCK)
            except zmq.ZMQError:
                # It is gone; who watches its beats will notice.
                continue

    def hear(self) -> list[tuple[bytes, bytes, bool]]:
        """What came: (peer, message, whether over the local socket)."""
        # Until it is read, whoever polls does not sleep.
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.wake)
        heard = []
        for router in self._routers:
            while router.poll(0):
                parts = router.recv_multipart(zmq.NOBLOCK)
                if len(parts) == 2:
                    self._of_peer[parts[0]] = router
                    heard.append((parts[0], parts[1], router is self._routers[0]))
        return heard

    def forget(self, peer: bytes) -> None:
        """A peer will not be spoken to any more."""
        self._of_peer.pop(peer, None)

    def close(self) -> None:
        """Send what was put and end all sockets."""
        self.flush()
        if self._authenticator is not None:
            self._authenticator.stop()
        self._context.destroy(linger=200)
        with self._waking:
            wake, self.wake = self.wake, -1
        os.close(wake)


class _OneKey:
    def __init__(self, public: str) -> None:
        self._key = public.encode()

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether this key may come in (the name is pyzmq's)."""
        return key == self._key
