"""What the parts of the daemon share: the sessions, the worker as it is seen, the clock, the way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from limner.daemon import protocol as p
from limner.daemon.registry import Registry
from limner.daemon.session import Session
from limner.daemon.wire import Message
from limner.daemon.worker_view import WorkerView


class Outbox(Protocol):
    """Where messages go. Sending never waits."""

    def to_client(self, client: bytes, message: Message) -> None:
        """Send to a client."""

    def to_worker(self, message: Message) -> None:
        """Send to the worker of now."""


class Floor:
    """`now_ns` is the monotonic clock that presentation times use."""

    def __init__(self, outbox: Outbox, now_ns: Callable[[], int]) -> None:
        self.out, self.now_ns = outbox, now_ns
        self.sessions = Registry()
        self.worker = WorkerView()
        self._rev = 0

    def next_rev(self) -> int:
        """Return the next of the daemon's own counts of changes."""
        self._rev += 1
        return self._rev

    def status(self, session: Session) -> p.Status:
        """Return how a session is."""
        return session.status(self.now_ns(), self.worker.info, self.worker.progress)

    def say_status(self, session: Session) -> None:
        """Tell the client at once that something changed."""
        self.out.to_client(session.client, self.status(session))

    def free_inputs(self, session: Session, slots: list[int]) -> None:
        """Tell the client that these input slots are its own again."""
        for slot in slots:
            free = p.Free(generation=session.segments.generation, slot=slot)
            self.out.to_client(session.client, free)
