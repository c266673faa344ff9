"""A rank's line to the worker: a thread that shows life, whatever the rank computes meanwhile."""

from __future__ import annotations

import logging
import os
import queue
import secrets
import threading
import time
from collections import deque

import zmq
from msgspec import structs

from limner.daemon.rank_keys import Keys
from limner.daemon.wire import Message, WireError, encode
from limner.engine.pipeline.channel import ChannelClosedError
from limner.worker.crew.messages import (
    BEAT_S,
    Anew,
    Beat,
    Dismiss,
    Drop,
    Fallen,
    Gather,
    Hello,
    Knows,
    Load,
    Loaded,
    Pulse,
    Told,
    Welcome,
    from_worker,
)
from limner.worker.crew.rank_channel import RankChannel
from limner.worker.link import memory_bytes

log = logging.getLogger("limner.worker")
WORKER_SILENCE_S = 3.0
"""Longer than the worker waits for a rank: who is cut off is given up there first."""
HELLO_S = 1.0
EXIT_DISMISSED = 6
EXIT_ORPHAN = 5


class RankLine:
    """Says hello until it is welcome, then beats and hears orders; begins anew when the link was cut."""

    def __init__(
        self, *, endpoint: str, hello: Hello, keys: Keys | None = None, parent_pid: int | None = None
    ) -> None:
        """`keys`: to a worker on another machine. `parent_pid`: the process to end with."""
        self._endpoint, self._hello, self._keys, self._parent_pid = endpoint, hello, keys, parent_pid
        self._outgoing: deque[Message] = deque()
        self._orders: queue.SimpleQueue[RankChannel | Load | None] = queue.SimpleQueue()
        self._welcome: queue.SimpleQueue[Welcome | None] = queue.SimpleQueue()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._closing = False
        self._channel: RankChannel | None = None
        self._serving: RankChannel | None = None
        self._waits = False
        self._welcomed = False
        self._knows: Knows | None = None
        self._heard_s = self._beat_s = self._hello_s = 0.0
        self._thread = threading.Thread(target=self._run, name="rank-line", daemon=True)

    # ---- the rank's side

    def start(self) -> None:
        """Begin to say hello."""
        self._thread.start()

    def welcome(self, timeout_s: float | None = None) -> Welcome:
        """Wait for the worker's welcome; raises ChannelClosedError when it does not come."""
        try:
            welcome = self._welcome.get(timeout=timeout_s)
        except queue.Empty:
            welcome = None
        if welcome is None:
            raise ChannelClosedError("the worker does not answer")
        return welcome

    def knows(self, digest: str) -> None:
        """Say which weights are here, before the first `order`; said again whenever the link was cut."""
        self._knows = Knows(digest=digest)
        self._send(self._knows)

    def order(self) -> RankChannel | Load:
        """Wait for what to do next: join a generation, or get ready for one.

        Raises ChannelClosedError when there will be nothing.
        """
        self._serving, self._waits = None, True
        self._wake_up()
        while (order := self._orders.get()) is not None:
            # Of several that came while we were busy, only the last one is still about to be done.
            if self._orders.empty():
                self._serving, self._waits = (order if isinstance(order, RankChannel) else None), False
                return order
        raise ChannelClosedError("the worker has ended")

    def loaded(self, order: Load, fault: str = "") -> None:
        """Say that an order to load was carried out, or why not."""
        self._send(Loaded(first=order.first, end=order.end, fault=fault[:500]))

    def fallen(self, channel: RankChannel, why: str, *, is_own: bool = True, no_memory: bool = False) -> None:
        """Say that this rank cannot go on in a generation.

        `is_own`: for a fault of its own; `no_memory`: for want of memory, so that it could with less to hold.
        """
        generation = channel.gather.generation
        self._send(Fallen(generation=generation, why=why[:500], is_own=is_own, no_memory=no_memory))

    def close(self) -> None:
        """End the thread."""
        self._closing = True
        self._wake_up()
        self._thread.join(2)
        os.close(self._wake)

    def _send(self, message: Message) -> None:
        self._outgoing.append(message)
        self._wake_up()

    def _wake_up(self) -> None:
        os.eventfd_write(self._wake, 1)

    # ---- the thread

    def _run(self) -> None:
        context = zmq.Context()
        try:
            while not self._closing:
                self._session(context)
        except Exception:
            log.exception("the line to the worker broke")
            os._exit(EXIT_ORPHAN)
        finally:
            self._end_generation()
            self._orders.put(None)
            self._welcome.put(None)
            context.destroy(linger=200)

    def _session(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        """Be known under one name, until the link is cut or the worker says that it gave us up."""
        dealer = self._connected(context)
        poller = zmq.Poller()
        poller.register(dealer, zmq.POLLIN)
        poller.register(self._wake, zmq.POLLIN)
        parent = self._watch_parent()
        if parent >= 0:
            poller.register(parent, zmq.POLLIN)
        self._welcomed, self._heard_s, self._beat_s, self._hello_s = False, time.monotonic(), 0.0, 0.0
        self._outgoing.clear()
        try:
            while not self._closing and not self._is_cut_off():
                ready = dict(poller.poll(int(BEAT_S * 500)))
                if parent in ready:
                    os._exit(EXIT_ORPHAN)
                if self._wake in ready:
                    os.eventfd_read(self._wake)
                if not (self._hear(dealer) and self._say(dealer)):
                    break
        finally:
            self._end_generation()
            dealer.close(linger=200)
            if parent >= 0:
                os.close(parent)

    def _connected(self, context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
        dealer = context.socket(zmq.DEALER)
        dealer.setsockopt(zmq.IDENTITY, b"rank-" + secrets.token_hex(8).encode())
        dealer.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        # Nothing waits here for a link that may come back: the worker would have given us up by then.
        dealer.setsockopt(zmq.IMMEDIATE, 1)
        if self._keys is not None:
            dealer.curve_serverkey = self._keys.worker.public.encode()
            dealer.curve_publickey = self._keys.rank.public.encode()
            dealer.curve_secretkey = self._keys.rank.secret.encode()
        dealer.connect(self._endpoint)
        return dealer

    def _watch_parent(self) -> int:
        if self._parent_pid is None:
            return -1
        try:
            parent = os.pidfd_open(self._parent_pid)
        except ProcessLookupError:
            os._exit(EXIT_ORPHAN)
        if os.getppid() != self._parent_pid:
            os._exit(EXIT_ORPHAN)
        return parent

    def _is_cut_off(self) -> bool:
        cut = self._welcomed and time.monotonic() - self._heard_s > WORKER_SILENCE_S
        if cut:
            log.warning("the worker said nothing for %.0f s: looking for it again", WORKER_SILENCE_S)
        return cut

    def _end_generation(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _hear(self, dealer: zmq.Socket[bytes]) -> bool:
        """Take what came; False: begin anew under another name."""
        while dealer.poll(0):
            try:
                message = from_worker.decode(dealer.recv())
            except WireError as error:
                log.error("the worker sent something wrong: %s", error)
                continue
            self._heard_s = time.monotonic()
            if isinstance(message, Anew) or not self._take(message):
                return False
        return True

    def _take(self, message: Message) -> bool:
        """Do what a message says; False: something before it was lost."""
        match message:
            case Pulse():
                self._outgoing.append(self._beat(message.clock_ns))
            case Told() if self._channel and message.generation == self._channel.gather.generation:
                return self._channel.put(message)
            case Load():
                self._orders.put(message)
            case Gather():
                self._end_generation()
                self._channel = RankChannel(message, self._send)
                self._orders.put(self._channel)
            case Drop() if self._channel and message.generation == self._channel.gather.generation:
                self._end_generation()
            case Welcome():
                self._welcomed = True
                self._welcome.put(message)
                if self._knows is not None:
                    self._outgoing.append(self._knows)
            case Dismiss():
                log.warning("dismissed: %s", message.why)
                os._exit(EXIT_DISMISSED)
        return True

    def _say(self, dealer: zmq.Socket[bytes]) -> bool:
        """Send what is to be sent; False: it cannot be, as the link is cut."""
        now_s = time.monotonic()
        if not self._welcomed:
            if now_s - self._hello_s > HELLO_S and _sent(dealer, self._hello):
                self._hello_s = now_s
            return True
        if now_s - self._beat_s >= BEAT_S:
            self._outgoing.append(self._beat(0))
        while self._outgoing:
            if not _sent(dealer, self._outgoing.popleft()):
                return False
        return True

    def _beat(self, echo_ns: int) -> Beat:
        beat = Beat(
            clock_ns=time.monotonic_ns(), echo_ns=echo_ns, waits=self._waits, memory_bytes=memory_bytes()
        )
        self._beat_s = time.monotonic()
        if (channel := self._serving) is None:
            return beat
        reports, silent_ms = channel.progress
        return structs.replace(
            beat, generation=channel.gather.generation, reports=reports, silent_ms=silent_ms
        )


def _sent(dealer: zmq.Socket[bytes], message: Message) -> bool:
    try:
        dealer.send(encode(message), zmq.NOBLOCK)
    except zmq.Again:
        return False
    return True
