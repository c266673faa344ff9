"""A hub without sockets, for tests: messages in, messages out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from limner.daemon import protocol as p
from limner.daemon import worker_protocol as w
from limner.daemon.hub import Hub
from limner.daemon.metrics import NS_PER_S
from limner.daemon.sizes import POCKET
from limner.daemon.style_file import load
from limner.daemon.wire import Message, encode

T = TypeVar("T", bound=Message)
SHM = Path("/dev/shm")


class Room:
    """A hub with a clock and two trays for what it sends."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.now_ns = 1000 * NS_PER_S
        self.clients: list[tuple[bytes, Message]] = []
        self.worker: list[Message] = []
        self.hub = Hub(
            outbox=self,
            prefix=prefix,
            engine="pocket",
            traits=POCKET,
            styles=load(),
            now_ns=lambda: self.now_ns,
            version=lambda: "1.2.3",
        )

    def to_client(self, client: bytes, message: Message) -> None:
        self.clients.append((client, message))

    def to_worker(self, message: Message) -> None:
        self.worker.append(message)

    def say(self, message: Message, client: bytes = b"a") -> None:
        self.hub.client_said(client, encode(message))

    def worker_says(self, *messages: Message) -> None:
        for message in messages:
            self.hub.painting.worker_said(encode(message))

    def heard(self, kind: type[T], client: bytes = b"a") -> list[T]:
        """Take from the tray what `client` was sent of this kind."""
        found = [m for c, m in self.clients if c == client and isinstance(m, kind)]
        self.clients = [(c, m) for c, m in self.clients if c != client or not isinstance(m, kind)]
        return found

    def told(self, kind: type[T]) -> list[T]:
        """Take from the tray what the worker was sent of this kind."""
        found = [m for m in self.worker if isinstance(m, kind)]
        self.worker = [m for m in self.worker if not isinstance(m, kind)]
        return found

    def ready_worker(self) -> None:
        self.hub.painting.worker_started(77)
        self.worker_says(w.Ready(model="pocket", device="CPU", frames_per_chunk=4))

    def open(self, name: str = "camera", client: bytes = b"a", **settings: Any) -> p.Welcome:
        self.say(hello(name, **settings), client)
        return self.heard(p.Welcome, client)[0]

    def painting(self, name: str = "camera", client: bytes = b"a") -> p.Welcome:
        """Open a session that a ready worker has mapped."""
        if not self.hub.floor.worker.ready:
            self.ready_worker()
        welcome = self.open(name, client)
        self.worker_says(w.Opened(session=welcome.session))
        return welcome

    def error(self, client: bytes = b"a") -> p.Error:
        (error,) = self.heard(p.Error, client)
        return error

    @property
    def segments(self) -> list[str]:
        return sorted(path.name for path in SHM.glob(f"{self.prefix}*"))


def hello(name: str = "camera", role: Any = "filter", **settings: Any) -> p.Hello:
    return p.Hello(
        client="test",
        name=name,
        role=role,
        pid=1,
        source_width=1280,
        source_height=720,
        fps=30.0,
        settings=p.Change(**settings),
    )


def frame(welcome: p.Welcome, slot: int, sequence: int = 0, pts_ns: int = 0) -> p.Frame:
    return p.Frame(generation=welcome.generation, slot=slot, sequence=sequence, pts_ns=pts_ns)
