"""The worker's line to the daemon: a thread that listens all the time, so that no frame waits in a socket."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import zmq

from limner.daemon.segment import unlink_segment
from limner.daemon.wire import Message, WireError, encode
from limner.daemon.worker_protocol import Close, Give, Open, Report, Return, Stop, from_daemon

log = logging.getLogger("limner.worker")
REPORT_S = 0.5
EXIT_ORPHAN = 5
_LINGER_MS = 500


def memory_bytes() -> int:
    """Return the resident memory of this process, without what it shares with others (the segments)."""
    _, resident, shared, *_ = Path("/proc/self/statm").read_text().split()
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGESIZE")


class Link:
    """Thread-safe `send`; `on_message` gets what arrives and returns the frames that go back at once."""

    def __init__(
        self,
        *,
        endpoint: str,
        identity: str,
        parent_pid: int,
        on_message: Callable[[Message], list[Give]],
        report: Callable[[], Report],
    ) -> None:
        self._endpoint, self._identity, self._parent_pid = endpoint, identity, parent_pid
        self._on_message, self._report = on_message, report
        self._outgoing: deque[Message] = deque()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._closing = False
        self._segments: dict[str, tuple[str, str]] = {}
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def send(self, message: Message) -> None:
        """Send soon; never waits."""
        self._outgoing.append(message)
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Send what is left and end the thread."""
        self._closing = True
        os.eventfd_write(self._wake, 1)
        self._thread.join(2)

    def _run(self) -> None:
        context = zmq.Context()
        dealer = context.socket(zmq.DEALER)
        dealer.linger = _LINGER_MS
        dealer.setsockopt(zmq.IDENTITY, self._identity.encode())
        dealer.connect(self._endpoint)
        try:
            self._loop(dealer)
        except Exception:
            # Without its line the worker is of no use: end it, the daemon starts another.
            log.exception("the line to the daemon broke")
            os._exit(EXIT_ORPHAN)
        dealer.close()
        context.term()

    def _loop(self, dealer: zmq.Socket[bytes]) -> None:
        parent = self._watch_parent()
        poller = zmq.Poller()
        for what in (dealer, self._wake, parent):
            poller.register(what, zmq.POLLIN)
        next_report_s = time.monotonic()
        while not self._closing or self._outgoing:
            ready = dict(poller.poll(max(0, int((next_report_s - time.monotonic()) * 1000) + 1)))
            if parent in ready:
                self._orphaned()
            if self._wake in ready:
                os.eventfd_read(self._wake)
            self._hear(dealer)
            if time.monotonic() >= next_report_s:
                next_report_s = time.monotonic() + REPORT_S
                self._outgoing.append(self._report())
            while self._outgoing:
                dealer.send(encode(self._outgoing.popleft()))
        os.close(parent)

    def _watch_parent(self) -> int:
        try:
            parent = os.pidfd_open(self._parent_pid)
        except ProcessLookupError:
            self._orphaned()
        if os.getppid() != self._parent_pid:
            self._orphaned()
        return parent

    def _hear(self, dealer: zmq.Socket[bytes]) -> None:
        while dealer.poll(0):
            try:
                message = from_daemon.decode(dealer.recv())
            except WireError as error:
                log.error("the daemon sent something wrong: %s", error)
                continue
            match message:
                case Open():
                    self._segments[message.session] = (message.input.name, message.output.name)
                case Close():
                    self._segments.pop(message.session, None)
                case Stop():
                    log.info("told to stop")
            for give in self._on_message(message):
                self._outgoing.append(
                    Return(session=give.session, generation=give.generation, slot=give.slot, dropped=True)
                )

    def _orphaned(self) -> None:
        """Without a daemon nobody would remove the segments, nor the worker."""
        for names in self._segments.values():
            for name in names:
                unlink_segment(name)
        log.error("the daemon is gone: ending")
        os._exit(EXIT_ORPHAN)
