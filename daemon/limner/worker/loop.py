"""The painting loop: take a chunk of a session, paint it, hand the frames over, next session."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from limner.daemon.segment import PAGE_BYTES, Segment, SegmentError
from limner.daemon.wire import Message
from limner.daemon.worker_protocol import Done, Failed, Give, Open, Opened, Return
from limner.worker.desk import CloseJob, Desk, FlushJob, Job, OpenJob, PaintJob
from limner.worker.engines import FatalEngineError, Painted, PaintEngine, PaintStream, Pixels
from limner.worker.stats import Stats

log = logging.getLogger("limner.worker")
# After a gap like this the picture before it is no past of the picture after it.
GAP_NS = 2_000_000_000
NO_ROOM = "painted frames are lost: nobody gives their slots back"


@dataclass
class _Stream:
    """What the loop holds of a session."""

    opening: Open
    input: Segment
    output: Segment
    painter: PaintStream
    pushed: int = 0
    """Chunks since the painter was opened or reset."""
    first_chunk: int = 0
    """Chunks before that."""
    tags: dict[int, list[Give]] = field(default_factory=dict)
    """The real frames of each chunk that is inside the engine."""
    done_rev: int = -1
    last_pts_ns: int | None = None

    def pixels(self, segment: Segment, slot: int) -> Pixels:
        """Return frame_HW4, a view of a slot."""
        flat = np.frombuffer(segment.pixels(slot), dtype=np.uint8)
        return flat.reshape(self.opening.height, self.opening.width, 4)

    def close(self) -> None:
        """Unmap both segments."""
        self.input.close()
        self.output.close()


class Loop:
    """Runs the jobs of a desk until it is stopped. A fault in one session ends that session only."""

    def __init__(
        self, *, engine: PaintEngine, desk: Desk, stats: Stats, send: Callable[[Message], None]
    ) -> None:
        self._engine, self._desk, self._stats, self._send = engine, desk, stats, send
        self._streams: dict[str, _Stream] = {}

    def run(self) -> None:
        """Work until the desk says stop; raises FatalEngineError or MemoryError when the process must end."""
        while (job := self._desk.next_job()) is not None:
            self._stats.begin()
            self._do(job)
            self._stats.end()
        for session in list(self._streams):
            self._close(session)

    def _do(self, job: Job) -> None:
        session = job.opening.session if isinstance(job, OpenJob) else job.session
        generation = self._generation_of(job)
        try:
            match job:
                case OpenJob():
                    self._open(job.opening)
                case CloseJob():
                    self._close(session)
                case PaintJob():
                    self._paint(job)
                case FlushJob():
                    self._flush(session)
        except (FatalEngineError, MemoryError):
            raise
        except SegmentError as error:
            self._fail(session, generation, str(error))
        except Exception as error:
            # Whatever the engine met in this stream: the other sessions go on.
            log.exception("session %r failed", session)
            self._fail(session, generation, f"Painting failed: {type(error).__name__}: {error}")

    def _generation_of(self, job: Job) -> int:
        """Return the generation of the segments that a job is about, 0 when there are none (any more)."""
        if isinstance(job, OpenJob):
            return job.opening.generation
        stream = self._streams.get(job.session)
        return stream.opening.generation if stream else 0

    def _fail(self, session: str, generation: int, message: str) -> None:
        self._desk.fail(session, generation)
        self._close(session)
        self._send(Failed(session=session, generation=generation, message=message))

    def _open(self, opening: Open) -> None:
        source = Segment.open(opening.input.name)
        try:
            painted = Segment.open(opening.output.name)
        except SegmentError:
            source.close()
            raise
        try:
            _check(opening, source, painted)
            _touch(source)
            _touch(painted)
            painter = self._engine.open_stream(
                opening.settings, opening.rev, width=opening.width, height=opening.height
            )
        except BaseException:
            source.close()
            painted.close()
            raise
        self._streams[opening.session] = _Stream(opening, source, painted, painter)
        self._send(Opened(session=opening.session))

    def _close(self, session: str) -> None:
        stream = self._streams.pop(session, None)
        if stream:
            stream.close()
        self._stats.forget(session)

    def _paint(self, job: PaintJob) -> None:
        stream = self._streams.get(job.session)
        if stream is None:
            return
        self._give_back(job.dropped, dropped=True)
        if job.update:
            stream.painter.update(job.update.settings, job.update.rev)
        self._reset_after_gap(stream, job.frames)
        frames = [stream.pixels(stream.input, give.slot) for give in job.frames]
        # A clip's last chunk may be short: its last frame stands in for those that do not come.
        frames += [frames[-1]] * (self._engine.frames_per_chunk - len(frames))
        stream.tags[stream.pushed] = job.frames
        stream.pushed += 1
        on_loan = list(job.frames)

        def taken() -> None:
            self._give_back(on_loan, dropped=False)
            on_loan.clear()

        painted = stream.painter.push(frames, taken)
        if painted:
            self._hand_over(stream, painted)
        taken()

    def _reset_after_gap(self, stream: _Stream, frames: list[Give]) -> None:
        last_ns, first_ns = stream.last_pts_ns, frames[0].pts_ns
        if last_ns is not None and not 0 <= first_ns - last_ns < GAP_NS:
            stream.painter.reset()
            # What was inside is gone with the past, and chunks are counted from 0 again.
            stream.tags.clear()
            stream.first_chunk += stream.pushed
            stream.pushed = 0
        stream.last_pts_ns = frames[-1].pts_ns

    def _flush(self, session: str) -> None:
        stream = self._streams.get(session)
        painted = stream.painter.flush() if stream else None
        if stream and painted:
            self._hand_over(stream, painted)

    def _give_back(self, frames: list[Give], *, dropped: bool) -> None:
        for give in frames:
            self._send(
                Return(session=give.session, generation=give.generation, slot=give.slot, dropped=dropped)
            )

    def _hand_over(self, stream: _Stream, painted: Painted) -> None:
        per_chunk = self._engine.frames_per_chunk
        chunks = [stream.tags.pop(painted.chunk + number, []) for number in range(painted.chunks)]
        # A chunk that was short has fewer real frames than painted ones: the rest is not shown.
        real = [(n * per_chunk + i, give) for n, tags in enumerate(chunks) for i, give in enumerate(tags)]
        opening = stream.opening
        slots = self._desk.take_outputs(opening.session, opening.generation, len(real))
        # Where there is no room for all, the newest count.
        newest = real[len(real) - len(slots) :]
        for slot, (number, give) in zip(slots, newest, strict=True):
            self._show(stream, painted, number, give, slot)
        # Several chunks at once (fewer steps than before) may be more than there are slots: nobody's fault.
        lost = len(slots) < len(real) and painted.chunks == 1
        self._stats.painted(opening.session, painted.stages_ms, NO_ROOM if lost else painted.note)
        if real and painted.rev != stream.done_rev:
            stream.done_rev = painted.rev
            self._say_done(stream, painted, chunks[-1] or chunks[0])

    def _show(self, stream: _Stream, painted: Painted, number: int, give: Give, slot: int) -> None:
        """Write a painted frame into a slot and hand it over."""
        painted.write(number, stream.pixels(stream.output, slot))
        stream.output.write_slot_header(slot, sequence=give.sequence, pts_ns=give.pts_ns)
        self._send(
            Give(
                session=give.session,
                generation=give.generation,
                slot=slot,
                sequence=give.sequence,
                pts_ns=give.pts_ns,
            )
        )

    def _say_done(self, stream: _Stream, painted: Painted, frames: list[Give]) -> None:
        """The revision is in the last of the chunks: those before it were begun under an older one."""
        self._send(
            Done(
                session=stream.opening.session,
                rev=painted.rev,
                chunk=stream.first_chunk + painted.chunk + painted.chunks - 1,
                pts_ns=frames[0].pts_ns,
                note=painted.note,
            )
        )


def _touch(segment: Segment) -> None:
    """Map every page now, not in the middle of the first frames."""
    for slot in range(segment.layout.slot_count):
        np.frombuffer(segment.pixels(slot), dtype=np.uint8)[::PAGE_BYTES].max()


def _check(opening: Open, *segments: Segment) -> None:
    """Hold the segments against what the daemon said of them."""
    for segment in segments:
        layout = segment.layout
        found = (layout.width, layout.height, layout.generation)
        said = (opening.width, opening.height, opening.generation)
        if found != said:
            raise SegmentError(
                f"segment {segment.name}: width, height, generation are {found}, the daemon said {said}"
            )
