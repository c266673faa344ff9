"""Sends pictures through a session and takes the painted ones, live or as fast as they are painted.

frames_HWC: uint8 RGBA at the session's working size.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from limner.cli.errors import CliError
from limner.cli.figures import Figures
from limner.daemon.client_session import ClientSession, PaintedFrame
from limner.daemon.protocol import Applied, Error, Status

# A clip that falls behind this much (a slow decoder) goes on from there instead of racing.
LATE_S = 0.25
# A longer pause than this is a broken clock in the file: nobody waits for it.
LONGEST_PAUSE_S = 10.0
# Nothing painted for so long: what is on its way was lost (a worker that died) or dropped by design.
STALL_S = 2.5
# On a slow machine a chunk takes longer than that: so many times the delay of the last ones ...
STALL_DELAYS = 5
# ... and this long when none has come yet.
FIRST_STALL_S = 10.0
# The worker takes a longer gap between presentation times for a cut, and forgets the past.
LONGEST_GAP_NS = 1_000_000_000
MAX_STALLS = 12
# The daemon tries a session that failed again after 5 s; longer, it is given up.
FAILED_S = 6.0
READY_TIMEOUT_S = 180.0
READY_POLL_S = 0.05
KEPT_PICTURES = 64


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A frame to paint, `time_s` after the first one."""

    index: int
    time_s: float
    pixels: NDArray[np.uint8]


def wait_until_ready(session: ClientSession, note: Callable[[str], None]) -> tuple[str, str]:
    """Wait for the worker; return its (model, device). Raises CliError when it fails to start."""
    said, deadline = "", time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        overview = session.query()
        worker = overview.worker
        own = [one for one in overview.sessions if one.status.session == session.welcome.session]
        # A ready worker maps the segments a moment later; what is sent before is dropped.
        if worker.state == "ready" and own and own[0].status.state == "live":
            return worker.model, worker.device
        if worker.state == "failed":
            raise CliError(f"the worker failed: {worker.sentence}")
        if own and own[0].status.state == "failed":
            raise CliError(own[0].status.sentence)
        of_session = own[0].status.sentence if worker.state == "ready" and own else ""
        sentence = of_session or worker.sentence or "waiting for the worker"
        note(sentence)
        if sentence != said:
            # A large model loads for minutes, and says how far it is.
            said, deadline = sentence, time.monotonic() + READY_TIMEOUT_S
        end = time.monotonic() + READY_POLL_S
        while (left := end - time.monotonic()) > 0:
            event = session.receive(left)
            if isinstance(event, Error):
                raise CliError(event.message)
            if isinstance(event, PaintedFrame):
                event.release()
    stuck = f"the worker has said nothing new for {READY_TIMEOUT_S:g} s ({said})"
    raise CliError(f"{stuck}; see worker.log beside the socket")


def take(
    session: ClientSession,
    timeout_s: float,
    on_painted: Callable[[PaintedFrame], None],
    on_message: Callable[[Status | Applied], None],
) -> None:
    """Take in all that is there, after waiting up to `timeout_s` for the first; raises CliError."""
    while (event := session.receive(timeout_s)) is not None:
        timeout_s = 0.0
        if isinstance(event, PaintedFrame):
            with event:
                on_painted(event)
        elif isinstance(event, Status | Applied):
            on_message(event)
        elif isinstance(event, Error):
            raise CliError(event.message)


class Streamer:
    """Drives one session. `realtime`: drop what comes too fast; else wait for slots, nothing is lost."""

    def __init__(
        self,
        session: ClientSession,
        on_painted: Callable[[int, NDArray[np.uint8]], None],
        figures: Figures,
        *,
        realtime: bool,
    ) -> None:
        self._session = session
        self._on_painted = on_painted
        self._figures = figures
        self._realtime = realtime
        self._size = (session.welcome.height, session.welcome.width, 4)
        self._start_s: float | None = None
        self._waiting: deque[Picture] = deque(maxlen=KEPT_PICTURES)
        """Handed over, neither painted nor overtaken by a painted one."""
        self._last_painted = -1
        self._sent_ns: dict[int, int] = {}
        self._last_pts_ns = 0
        self._moved_at = time.monotonic()
        self._stalls = 0
        self._failed_at = 0.0
        self.status: Status | None = None
        self.notes: list[str] = []
        """What the model said of the settings, once each."""

    def run(self, pictures: Iterable[Picture]) -> None:
        """Send all pictures and wait for the last painted one; raises CliError, DaemonLostError."""
        for picture in pictures:
            self._figures.frames_in += 1
            if self._realtime:
                self._wait_until_due(picture)
                self._send(picture)
                if self._waiting:
                    self._stalled()
            else:
                self._send_in_turn([picture])
        self._drain()

    # ---- sending

    def _wait_until_due(self, picture: Picture) -> None:
        now = time.monotonic()
        if self._start_s is None:
            self._start_s = now - picture.time_s
        late_s = now - self._start_s - picture.time_s
        if late_s > LATE_S or late_s < -LONGEST_PAUSE_S:
            self._start_s += late_s
        self._take(0.0)
        while (left := self._start_s + picture.time_s - time.monotonic()) > 0:
            self._take(left)

    def _send(self, picture: Picture) -> None:
        now_ns = time.monotonic_ns()
        if self._session.send_frame(picture.pixels.data, self._pts_ns(now_ns), sequence=picture.index):
            self._figures.handed_over()
            self._sent_ns[picture.index] = now_ns
            if not self._waiting:
                self._moved_at = time.monotonic()
            self._waiting.append(picture)

    def _pts_ns(self, now_ns: int) -> int:
        """Return the presentation time of the next frame: now, but at leisure a wait is no cut."""
        if self._realtime or not self._last_pts_ns:
            self._last_pts_ns = now_ns
        else:
            self._last_pts_ns = min(now_ns, self._last_pts_ns + LONGEST_GAP_NS)
        return self._last_pts_ns

    def _send_in_turn(self, pictures: list[Picture]) -> None:
        """Send each as soon as the worker is sure to take it, and again what was lost on the way."""
        todo = deque(pictures)
        while todo:
            if self.has_room():
                self._send(todo.popleft())
                self._take(0.0)
                continue
            self._take(0.1)
            todo.extendleft(reversed(self._lost()))

    def has_room(self) -> bool:
        """Whether a frame more would be painted: a worker that finds more than a chunk drops the surplus."""
        chunk = self._session.welcome.frames_per_chunk
        steps = self._session.welcome.settings.steps
        if self.status:
            plan = self.status.plan
            steps = plan.steps if plan else self.status.settings.steps
            chunk *= plan.chunk if plan else 1
        # With n steps the painted frames lag n - 1 chunks behind; two more are painted at the same time.
        on_the_way = min(chunk * (steps + 2), KEPT_PICTURES)
        return self._session.in_flight < chunk and len(self._waiting) < on_the_way

    def _lost(self) -> list[Picture]:
        """Return (and no longer wait for) what was handed over long ago and will not come."""
        if not self._waiting or not self._stalled():
            return []
        lost = list(self._waiting)
        self._waiting.clear()
        return lost

    def _stalled(self) -> bool:
        """Whether nothing came for long though the worker is there; raises CliError when that goes on."""
        delay_s = self._figures.recent_latency_ms() / 1000
        patience_s = max(STALL_S, STALL_DELAYS * delay_s) if self._last_painted >= 0 else FIRST_STALL_S
        if time.monotonic() - self._moved_at < patience_s:
            return False
        self._moved_at = time.monotonic()
        self._stalls += 1
        if self._stalls > MAX_STALLS:
            sentence = self.status.sentence if self.status else "no status came"
            raise CliError(f"nothing is painted any more: {sentence}")
        return self.status is None or self.status.state not in ("waiting", "loading")

    # ---- taking

    def _take(self, timeout_s: float) -> None:
        """Take in all that is there, after waiting up to `timeout_s` for the first."""
        take(self._session, timeout_s, self._painted, self._told)

    def _told(self, message: Status | Applied) -> None:
        if isinstance(message, Applied):
            self.notes += [note for note in message.notes if note not in self.notes]
            return
        status = self.status = message
        self._figures.stages_ms = status.stages_ms or self._figures.stages_ms
        self._give_up_if_failed(status)

    def _give_up_if_failed(self, status: Status) -> None:
        now = time.monotonic()
        if status.state == "failed":
            self._failed_at = self._failed_at or now
            if now - self._failed_at > FAILED_S:
                raise CliError(status.sentence)

    def _painted(self, frame: PaintedFrame) -> None:
        self._moved_at, self._stalls, self._failed_at = time.monotonic(), 0, 0.0
        while self._waiting and self._waiting[0].index <= frame.sequence:
            self._waiting.popleft()
        if frame.sequence <= self._last_painted:
            return
        self._last_painted = frame.sequence
        sent_ns = self._sent_ns.get(frame.sequence, frame.pts_ns)
        self._sent_ns = {number: sent for number, sent in self._sent_ns.items() if number > frame.sequence}
        self._figures.painted(frame.received_ns - sent_ns, frame.received_ns)
        self._on_painted(frame.sequence, np.frombuffer(frame.pixels, np.uint8).reshape(self._size).copy())

    def _settled(self, before: Status | None) -> bool:
        """Whether a status newer than `before` says that nothing is on its way any more."""
        now = self.status
        return now is not None and now is not before and now.painted + now.dropped >= now.received

    def _drain(self) -> None:
        """Wait for what is on its way. Live, the last frames may have been dropped by design."""
        before = self.status
        while self._waiting:
            self._take(0.1)
            if self._settled(before):
                lost, before = list(self._waiting), self.status
                self._waiting.clear()
            else:
                lost = self._lost()
            # A clip of a single frame, dropped while the worker got ready, is still to be painted.
            if not self._realtime or self._last_painted < 0:
                self._send_in_turn(lost)
