"""A generation's commands and reports at a rank's end: filled by the line's thread, worked off by another."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from limner.engine.pipeline.channel import ChannelClosedError
from limner.worker.crew.messages import Gather, Said, Told


class RankChannel:
    """The `Member` of one generation. `gather` says which, and as what this process is in it."""

    def __init__(self, gather: Gather, send: Callable[[Said], None]) -> None:
        self.gather = gather
        self._send = send
        self._commands: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._told = self._said = 0
        self._shown_s = time.monotonic()
        self._closed = False
        self._breaks: Callable[[], None] = lambda: None
        self._waits: Callable[[], bool] = lambda: False

    # ---- the serving thread's side

    def next(self, timeout_s: float) -> bytes | None:
        """As `Member.next`: the next command, or None when none came in this time."""
        try:
            command = self._commands.get(timeout=timeout_s) if timeout_s > 0 else self._commands.get_nowait()
        except queue.Empty:
            return None
        if command is None or self._closed:
            self._commands.put(None)
            raise ChannelClosedError(f"generation {self.gather.generation} is over")
        return command

    def report(self, message: bytes) -> None:
        """Send to rank 0, soon. To be called often: it is the sign of life of the thread that computes."""
        with self._lock:
            self._shown_s = time.monotonic()
            number, self._said = self._said, self._said + 1
            self._send(Said(generation=self.gather.generation, number=number, body=message))

    def attach(self, breaks: Callable[[], None], waits: Callable[[], bool]) -> None:
        """From now on, its end `breaks` what the serving thread may wait for; at once if it is over.

        `waits`: whether it waits for others.
        """
        with self._lock:
            self._breaks, self._waits = breaks, waits
            closed = self._closed
        if closed:
            breaks()

    # ---- the line's side

    def put(self, told: Told) -> bool:
        """Add a command; False: one before it was lost on the way."""
        if told.number != self._told:
            return False
        self._told += 1
        self._commands.put(told.body)
        return True

    def close(self) -> None:
        """No more commands: who waits for one, or for data, is told so."""
        with self._lock:
            closed, self._closed = self._closed, True
        if not closed:
            self._commands.put(None)
            self._breaks()

    @property
    def is_closed(self) -> bool:
        """The generation is over."""
        with self._lock:
            return self._closed

    @property
    def progress(self) -> tuple[int, int]:
        """Reports made, and for how many ms there was none; 0 while it is data of others that is missing."""
        with self._lock:
            silent_ms = int((time.monotonic() - self._shown_s) * 1000)
            if self._waits():
                self._shown_s, silent_ms = time.monotonic(), 0
            return self._said, silent_ms
