"""`limner bench bridge`: what the way client → daemon → worker → client adds, with an engine that echoes.

Every frame crosses shared memory twice and three processes, as a painted one does. Two latencies are
reported: from handing a frame over to its return, and the same with the client's own copy into the slot.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from limner.cli.bench.pattern import Pattern
from limner.cli.console import say
from limner.cli.errors import CliError
from limner.cli.figures import Figures, check_report, percentiles, write_report
from limner.cli.private_daemon import private_daemon
from limner.cli.progress import Progress
from limner.cli.stream import take, wait_until_ready
from limner.daemon.client_session import ClientSession, PaintedFrame, hello_for
from limner.daemon.protocol import Applied, Change, Status

# Waiting for the first painted frame is no part of the measurement; nor are the last ones on their way.
SETTLE_S = 1.0
DRAIN_S = 3.0


@dataclass(frozen=True, kw_only=True)
class BridgeJob:
    """What to measure. Size in pixels."""

    size: tuple[int, int]
    fps: float
    seconds: float
    report: str | None


@dataclass
class Losses:
    """Where frames went that did not come back."""

    no_slot: int = 0
    """By design: all input slots were taken, so the client dropped the frame."""
    overtaken: int = 0
    """By design: a newer frame won (counted by the daemon)."""
    damaged: int = 0
    """Came back with other pixels."""
    disordered: int = 0
    """Came back twice, or after a newer one."""


@dataclass
class Run:
    """One measurement while it runs."""

    session: ClientSession
    pattern: Pattern
    figures: Figures = field(default_factory=Figures)
    losses: Losses = field(default_factory=Losses)
    with_write_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    _write_ns: dict[int, int] = field(default_factory=dict)
    _newest: int = -1
    _base: Status | None = None
    status: Status | None = None

    def send(self, sequence: int) -> None:
        """Write and hand over frame `sequence`, or drop it by design."""
        self.figures.frames_in += 1
        slot = self.session.acquire()
        if slot is None:
            self.losses.no_slot += 1
            return
        begun_ns = time.monotonic_ns()
        welcome = self.session.welcome
        pixels_HWC = np.frombuffer(self.session.input_pixels(slot), np.uint8)
        self.pattern.write(sequence, pixels_HWC.reshape(welcome.height, welcome.width, 4))
        given_ns = time.monotonic_ns()
        self._write_ns[sequence] = given_ns - begun_ns
        self.session.give(slot, sequence=sequence, pts_ns=given_ns)
        self.figures.handed_over()

    def take(self, timeout_s: float) -> None:
        """Take in what comes, after waiting up to `timeout_s` for the first."""
        take(self.session, timeout_s, self._painted, self._told)

    def _told(self, message: Status | Applied) -> None:
        if isinstance(message, Status):
            self.status = message

    def _painted(self, frame: PaintedFrame) -> None:
        write_ns = self._write_ns.pop(frame.sequence, None)
        if write_ns is None:
            if frame.sequence >= 0 and frame.sequence <= self._newest:
                self.losses.disordered += 1
            return
        self.losses.disordered += frame.sequence < self._newest
        self._newest = max(self._newest, frame.sequence)
        self.figures.painted(frame.latency_ns, frame.received_ns)
        self.with_write_ms.append((frame.latency_ns + write_ns) / 1e6)
        welcome = self.session.welcome
        pixels_HWC = np.frombuffer(frame.pixels, np.uint8).reshape(welcome.height, welcome.width, 4)
        self.losses.damaged += not self.pattern.intact(frame.sequence, pixels_HWC)

    @property
    def missing(self) -> int:
        """Frames handed over that have not come back (yet)."""
        return len(self._write_ns)

    def restart(self) -> None:
        """Forget the warm-up; what the daemon has counted so far is subtracted at the end."""
        self._write_ns.clear()
        self._base = self.status
        self.figures, self.losses = Figures(), Losses()
        self.with_write_ms.clear()
        self.late_ms.clear()

    def finish(self) -> None:
        """Wait for the last frames and for the daemon's final count of drops."""
        end = time.monotonic() + DRAIN_S
        before = self.status
        while time.monotonic() < end:
            self.take(0.05)
            last = self.status
            if last is not None and last is not before and last.painted + last.dropped >= last.received:
                break
        self.take(0.0)
        if self.status is not None:
            self.losses.overtaken = self.status.dropped - (self._base.dropped if self._base else 0)
            self.figures.stages_ms = self.status.stages_ms


def measure(job: BridgeJob) -> None:
    """Run the measurement, print its figures, write the report; raises CliError."""
    if not (0 < job.fps <= 1000) or not job.seconds > 0:
        raise CliError("--fps must be above 0 and at most 1000, --seconds above 0", exit_code=2)
    check_report(job.report)
    with private_daemon("echo") as folder:
        hello = hello_for("bench bridge", "bench", job.size, job.fps, Change(bypass=False), exact_size=True)
        with (
            ClientSession(hello, folder) as session,
            Progress("bridge", round(job.fps * job.seconds)) as progress,
        ):
            if (session.welcome.width, session.welcome.height) != job.size:
                raise CliError(f"the daemon paints at {session.welcome.width}×{session.welcome.height}")
            model, device = wait_until_ready(session, progress.note)
            run = Run(session, Pattern(*job.size))
            _stream(run, job.fps, round(job.fps * SETTLE_S), first=0, progress=None)
            run.finish()
            run.restart()
            count = round(job.fps * job.seconds)
            _stream(run, job.fps, count, first=round(job.fps * SETTLE_S), progress=progress)
            run.finish()
    _conclude(job, run, model, device)


def _stream(run: Run, fps: float, count: int, *, first: int, progress: Progress | None) -> None:
    """Hand `count` frames over at `fps`; a late one does not push the later ones back."""
    start = time.monotonic()
    for number in range(count):
        due = start + number / fps
        while (left := due - time.monotonic()) > 0:
            run.take(left)
        run.late_ms.append((time.monotonic() - due) * 1000)
        run.send(first + number)
        run.take(0.0)
        if progress and number % 10 == 0:
            progress.update(number, run.figures)


def _conclude(job: BridgeJob, run: Run, model: str, device: str) -> None:
    losses, figures = run.losses, run.figures
    unexplained = max(0, run.missing - losses.overtaken)
    details: dict[str, Any] = {
        "size": list(job.size),
        "fps_asked": job.fps,
        "seconds": job.seconds,
        "latency_with_write_ms": percentiles(run.with_write_ms),
        "late_ms": percentiles(run.late_ms),
        "lost_by_design": {"no_slot": losses.no_slot, "overtaken": losses.overtaken},
        "lost_otherwise": unexplained,
        "damaged": losses.damaged,
        "disordered": losses.disordered,
    }
    write_report(job.report, figures.report(model=model, device=device) | details)
    ms, whole = percentiles(figures.latencies_ms), details["latency_with_write_ms"]
    say(
        f"{job.size[0]}×{job.size[1]} at {job.fps:g} fps for {job.seconds:g} s: {figures.frames_out} of "
        f"{figures.frames_in} frames came back; the bridge adds p50 {ms['p50']} ms, p95 {ms['p95']} ms, "
        f"p99 {ms['p99']} ms (with the client's copy p99 {whole['p99']} ms)"
    )
    say(
        f"lost by design {losses.no_slot + losses.overtaken}, lost otherwise {unexplained}, "
        f"damaged {losses.damaged}, out of order {losses.disordered}"
    )
    if unexplained or losses.damaged or losses.disordered:
        raise CliError("the bridge lost or damaged frames that it should not have")
