"""What waits for the painter: frames, slots and settings of a session."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from limner.daemon.worker_protocol import Give, Open, Update
from limner.worker.pacing import pick_evenly, thin_out

NS_PER_MS = 1_000_000
# Input slots that stay with the client, so that it always has one to write its next frame into.
SPARE_SLOTS = 2
# So many frames may wait at least; what waits longer than chunk and slack comes late.
LEAST_CAPACITY = 6
# A chunk that is not full waits this long for another frame, or three frame times: a clip may be at its end.
PATIENCE_NS = 150 * NS_PER_MS
PATIENCE_FRAMES = 3
MAX_PATIENCE_NS = 2000 * NS_PER_MS


@dataclass
class Intake:
    """One session's queue. Not thread-safe: the desk holds its lock around each call."""

    opening: Open
    frames_per_chunk: int
    frame_step: int = 1
    """Every how manieth frame is kept; the others go back as they come."""
    slack: int = 1
    """Frames beyond a chunk that may wait for the next one: jitter, or a hiccup, not overload."""
    waiting: list[Give] = field(default_factory=list)
    outputs: deque[int] = field(default_factory=deque)
    """Output slots that are free to paint into."""
    update: Update | None = None
    """The newest settings that no chunk has yet."""
    failed: bool = False
    waits: bool = False
    """For its first prompts."""
    held: bool = False
    """The painter is full."""
    last_pts_ns: int | None = None
    """Of the last frame taken."""
    _last_arrival_ns: int = 0
    _owes_flush: bool = False
    _passed_over: int = 0
    """Frames since the last that was kept."""

    @property
    def _capacity(self) -> int:
        wanted = max(LEAST_CAPACITY, self.frames_per_chunk + self.slack + 1)
        return max(self.frames_per_chunk, min(wanted, self.opening.input.slots - SPARE_SLOTS))

    @property
    def patience_ns(self) -> int:
        """How long a chunk waits for its missing frames."""
        return int(min(MAX_PATIENCE_NS, max(PATIENCE_NS, PATIENCE_FRAMES * 1e9 / self.opening.fps)))

    def pace(self, frames_per_chunk: int, frame_step: int, slack: int) -> list[Give]:
        """Gather so many frames for the next chunk, of those that `frame_step` leaves.

        Return what waits and is passed over now: when the step grows, frames that wait would otherwise be
        more than the new pace has time for.
        """
        grows = frame_step > self.frame_step
        self.frames_per_chunk, self.frame_step, self.slack = frames_per_chunk, frame_step, slack
        return self._passed_over_at_once() if grows else []

    def _passed_over_at_once(self) -> list[Give]:
        least_ns = (self.frame_step - 0.5) * 1e9 / self.opening.fps
        kept: list[Give] = []
        over: list[Give] = []
        last_ns = self.last_pts_ns
        for give in self.waiting:
            if last_ns is None or give.pts_ns - last_ns >= least_ns:
                kept.append(give)
                last_ns = give.pts_ns
            else:
                over.append(give)
        self.waiting = kept
        return over

    def add(self, give: Give, now_ns: int) -> list[Give]:
        """Take a frame in; return those that will not be painted."""
        self._last_arrival_ns = now_ns
        self._passed_over += 1
        if self._passed_over < self.frame_step:
            return [give]
        self._passed_over = 0
        if self.waiting and give.pts_ns < self.waiting[-1].pts_ns:
            # Time went back: a seek or a new source. What waited is of no use any more.
            surplus, self.waiting = self.waiting, [give]
            self.last_pts_ns = None
            return surplus
        self.waiting.append(give)
        if len(self.waiting) <= self._capacity:
            return []
        return [self.waiting.pop(thin_out(self._times(), last_ns=self.last_pts_ns))]

    def take(self, now_ns: int) -> tuple[list[Give], list[Give]]:
        """Return the frames of the next chunk and those dropped for it; both empty: not yet.

        Fewer frames than a chunk come back when the rest did not arrive in time.
        """
        count = self.frames_per_chunk
        if len(self.waiting) < count:
            if not self.waiting or now_ns - self._last_arrival_ns < self.patience_ns:
                return [], []
            chosen, self.waiting = self.waiting, []
            dropped: list[Give] = []
        elif len(self.waiting) <= count + self.slack:
            chosen, self.waiting = self.waiting[:count], self.waiting[count:]
            dropped = []
        else:
            picked = set(pick_evenly(self._times(), count, last_ns=self.last_pts_ns))
            chosen = [give for i, give in enumerate(self.waiting) if i in picked]
            dropped = [give for i, give in enumerate(self.waiting) if i not in picked]
            self.waiting = []
        self.last_pts_ns = chosen[-1].pts_ns
        self._owes_flush = True
        return chosen, dropped

    def flush_due(self, now_ns: int) -> bool:
        """True once when no frame follows: what the engine still holds should come out."""
        due = self._owes_flush and not self.waiting and now_ns - self._last_arrival_ns >= self.patience_ns
        if due:
            self._owes_flush = False
        return due

    def next_look_ns(self) -> int | None:
        """When patience runs out, or None when nothing is owed."""
        if self.waiting or self._owes_flush:
            return self._last_arrival_ns + self.patience_ns
        return None

    def _times(self) -> list[int]:
        return [give.pts_ns for give in self.waiting]
