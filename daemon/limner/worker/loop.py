"""The painting loop: take a chunk of a session, paint it, hand the frames over, next session."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from limner.daemon.segment import SegmentError
from limner.daemon.wire import Message
from limner.daemon.worker_protocol import Failed, Give, Open, Opened, Update
from limner.engine.slo_plan import Plan
from limner.worker.behind import Behind
from limner.worker.blank import BlankError
from limner.worker.desk import (
    CloseJob,
    CollectJob,
    Desk,
    FlushJob,
    LookJob,
    OpenJob,
    PaintJob,
    PrepareJob,
    ResetJob,
    SessionJob,
)
from limner.worker.engines import FatalEngineError, Painted, PaintEngine
from limner.worker.frames_out import FramesOut
from limner.worker.governor import governor_of
from limner.worker.measure import NS_PER_MS, measured
from limner.worker.room import NoPlaceError, Room
from limner.worker.stats import Stats
from limner.worker.streams import SessionStream, map_segments

log = logging.getLogger("limner.worker")
# After a gap like this the picture before it is no past of the picture after it.
GAP_NS = 2_000_000_000
WAITS = "waiting for the text encoder to read the prompt"


class Loop:
    """Runs the jobs of a desk until it is stopped. A fault in one session ends that session only."""

    def __init__(
        self, *, engine: PaintEngine, desk: Desk, stats: Stats, send: Callable[[Message], None]
    ) -> None:
        self._desk, self._stats, self._send = desk, stats, send
        self._out = FramesOut(desk, stats, send)
        self._prepare = engine.prepare
        self._governor = governor_of(engine)
        self._engine = engine
        self._room = Room(engine, self._governor, stats)
        self._streams: dict[str, SessionStream] = {}

    def run(self) -> None:
        """Work until the desk says stop; raises FatalEngineError or MemoryError when the process must end."""
        while (job := self._desk.next_job()) is not None:
            self._stats.begin()
            if isinstance(job, PrepareJob):
                self._prepare(job.prompts)
            else:
                self._do(job)
            self._stats.end(working=any(stream.painter.is_working for stream in self._streams.values()))
        for session in list(self._streams):
            self._close(session)

    def _do(self, job: SessionJob) -> None:
        session = job.opening.session if isinstance(job, OpenJob) else job.session
        generation = self._generation_of(job)
        try:
            if not self._had_memory_for(job, session):
                self._make_room(self._streams[session])
        except FatalEngineError:
            raise
        except MemoryError as error:
            # A session for which there is no room (any more) must not end another one's picture.
            if not self._streams.keys() - {session}:
                raise
            self._fail(session, generation, str(error))
        except (SegmentError, BlankError, NoPlaceError) as error:
            self._fail(session, generation, str(error))
        except Exception as error:
            # Whatever the engine met in this stream: the other sessions go on.
            log.exception("session %r failed", session)
            self._fail(session, generation, f"Painting failed: {type(error).__name__}: {error}")

    def _had_memory_for(self, job: SessionJob, session: str) -> bool:
        """Do a job; return whether memory was enough. Raises MemoryError where it is not a stream's fault."""
        try:
            match job:
                case OpenJob():
                    self._open(job.opening)
                case CloseJob():
                    self._close(session)
                case ResetJob():
                    self._reset(session)
                case PaintJob():
                    self._paint(job)
                case FlushJob():
                    self._finish(session)
                case LookJob():
                    self._look(session)
                case CollectJob():
                    self._collect(session)
        except MemoryError as error:
            if session not in self._streams:
                raise
            log.warning("session %r is out of memory: %s", session, error)
            return False
        return True

    def _make_room(self, stream: SessionStream) -> None:
        self._room.make(stream)
        stream.painter.on_painted = partial(self._desk.painted, stream.opening.session)
        self._set_pace(stream)

    def _generation_of(self, job: SessionJob) -> int:
        """Return the generation of the segments that a job is about, 0 when there are none (any more)."""
        if isinstance(job, OpenJob):
            return job.opening.generation
        stream = self._streams.get(job.session)
        return stream.opening.generation if stream else 0

    def _fail(self, session: str, generation: int, message: str) -> None:
        self._desk.fail(session, generation)
        self._close(session)
        self._send(Failed(session=session, generation=generation, message=message))

    # ---- sessions

    def _open(self, opening: Open) -> None:
        source, painted = map_segments(opening)
        try:
            painter, plan = self._room.open(opening)
        except BaseException:
            source.close()
            painted.close()
            raise
        stream = SessionStream(opening, source, painted, painter, opening.settings, opening.rev, plan)
        stream.behind = Behind(self._engine.abilities.frames_behind if self._engine.abilities else 0)
        stream.unlock = self._engine.lock_pages(source.memory)
        self._streams[opening.session] = stream
        painter.on_painted = partial(self._desk.painted, opening.session)
        self._set_pace(stream)
        if self._governor:
            self._stats.limited(opening.session, self._governor.memory_words(opening.session))
        self._look(opening.session)

    def _look(self, session: str) -> None:
        """Let a session begin when its prompts can be painted: until then its source is shown as it is."""
        stream = self._streams.get(session)
        if stream is None or stream.begun:
            return
        generation = stream.opening.generation
        update = self._desk.wait(session, generation, waits=True)
        stream.ask(self._engine, (update or stream.opening).settings, partial(self._desk.look, session))
        if not stream.prompts_are_there():
            self._stats.noted(session, WAITS)
            return
        self._desk.wait(session, generation, waits=False)
        self._stats.noted(session, "")
        stream.begun = True
        self._send(Opened(session=session))

    def _close(self, session: str) -> None:
        stream = self._streams.pop(session, None)
        if stream:
            stream.close()
        if self._governor:
            self._governor.close(session)
        self._stats.forget(session)

    # ---- painting

    def _paint(self, job: PaintJob) -> None:
        stream = self._streams.get(job.session)
        if stream is None:
            return
        began_ns = time.monotonic_ns()
        self._out.give_back(job.dropped, dropped=True)
        self._reset_after_gap(stream, job.frames)
        if job.update:
            self._take_settings(stream, job.update)
        on_loan = list(job.frames)

        def taken() -> None:
            self._out.give_back(on_loan, dropped=False)
            on_loan.clear()

        try:
            painted = stream.painter.push(stream.take_in(job.frames), taken)
        except MemoryError:
            self._out.give_back(on_loan, dropped=True)
            raise
        if painted:
            self._come_out(stream, painted, began_ns, is_collected=False)
        taken()
        self._follow_plan(stream)

    def _collect(self, session: str) -> None:
        stream = self._streams.get(session)
        if stream is None:
            return
        for painted in stream.painter.collect():
            self._come_out(stream, painted, time.monotonic_ns(), is_collected=True)
        self._follow_plan(stream)

    def _come_out(
        self, stream: SessionStream, painted: Painted, began_ns: int, *, is_collected: bool
    ) -> None:
        """Hand over what was painted, and measure it; `began_ns`: when the loop began with it."""
        self._out.hand_over(stream, painted)
        took_ms = (time.monotonic_ns() - began_ns) / NS_PER_MS
        pts_ns = [give.pts_ns for give in stream.made_of]
        chunk = measured(painted, pts_ns, took_ms=took_ms, is_collected=is_collected)
        # What the plan before took says nothing of the plan of now.
        if self._governor and chunk and stream.plan == self._governor.plan(stream.opening.session):
            self._governor.measured(stream.opening.session, chunk, painted.together)

    def _follow_plan(self, stream: SessionStream) -> None:
        """Paint by the plan of now from the next chunk on, and gather for it."""
        if self._governor:
            plan = self._governor.plan(stream.opening.session)
            if plan != stream.plan:
                self._let_out(stream, plan)
                stream.plan = plan
                stream.painter.update(stream.settings, stream.rev, plan)
        self._set_pace(stream)

    def _take_settings(self, stream: SessionStream, update: Update) -> None:
        """From this chunk on; but its frames are gathered, so a new chunk length begins with the next."""
        stream.settings, stream.rev = update.settings, update.rev
        plan = stream.plan
        if self._governor and plan:
            wanted = self._governor.wish(update.session, update.settings)
            self._stats.limited(update.session, self._governor.memory_words(update.session))
            plan = replace(wanted, chunk_latents=plan.chunk_latents)
            self._let_out(stream, plan)
        stream.plan = plan
        stream.painter.update(stream.settings, stream.rev, plan)

    def _let_out(self, stream: SessionStream, plan: Plan) -> None:
        """Finish the chunks that are inside before another plan does: they need wait no more.

        And what is measured next is of the new plan.
        """
        old = stream.plan
        if old and replace(plan, frame_step=old.frame_step) != old:
            self._flush(stream.opening.session)

    def _set_pace(self, stream: SessionStream) -> None:
        session, generation, plan = stream.opening.session, stream.opening.generation, stream.plan
        self._desk.hold(session, generation, held=stream.painter.is_full)
        if self._governor is None or plan is None:
            return
        passed_over = self._desk.pace(
            session,
            generation,
            frames=stream.painter.frames_per_chunk,
            frame_step=plan.frame_step,
            slack=self._governor.slack(session),
        )
        self._out.give_back(passed_over, dropped=True)
        self._stats.planned(session, self._governor.describe(session))

    def _reset_after_gap(self, stream: SessionStream, frames: list[Give]) -> None:
        last_ns, first_ns = stream.last_pts_ns, frames[0].pts_ns
        if last_ns is not None and not 0 <= first_ns - last_ns < GAP_NS:
            # Who jumps in time has given these frames, and nobody counted them as dropped.
            self._reset(stream.opening.session)
        stream.last_pts_ns = frames[-1].pts_ns

    def _reset(self, session: str) -> None:
        """Begin anew, after what is inside has come out."""
        self._flush(session)
        stream = self._streams.get(session)
        if stream is not None:
            stream.begin_anew()

    def _finish(self, session: str) -> None:
        """No frame follows for now: bring out all, also what a painter shows only when others come after."""
        self._flush(session)
        stream = self._streams.get(session)
        if stream is None or not stream.behind.owes():
            return
        painted = stream.painter.push(stream.take_in_again(), lambda: None)
        if painted is not None:
            self._out.hand_over(stream, painted)
        self._flush(session)

    def _flush(self, session: str) -> None:
        stream = self._streams.get(session)
        if stream is None:
            return
        for painted in stream.painter.flush():
            self._out.hand_over(stream, painted)
        self._desk.hold(session, stream.opening.generation, held=stream.painter.is_full)
