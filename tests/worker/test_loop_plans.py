"""The loop follows the plan: settings to the painter, pace to the intake, figures to the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from tests.worker.fakes import FakeEngine, FakeStream
from tests.worker.sessions import give, open_message, outputs

from limner.daemon.protocol import Settings
from limner.daemon.session import SegmentPair
from limner.daemon.sizes import POCKET
from limner.daemon.wire import Message
from limner.daemon.worker_protocol import Give, Open, Report, Return, Update
from limner.engine.slo_cost import Profile
from limner.engine.slo_plan import Plan
from limner.worker.desk import Desk, Job
from limner.worker.engines import Abilities, Painted, PaintStream, Pixels
from limner.worker.loop import Loop
from limner.worker.stats import Stats

MakeSegments = Callable[..., SegmentPair]


class PlannedStream(FakeStream):
    """Says that it took what the profile says, times the load of that chunk; lags as its plan does."""

    def __init__(self, engine: PlannedEngine, opening: Open, plan: Plan) -> None:
        super().__init__(opening.settings, opening.rev)
        self.engine, self.plan = engine, plan
        self.inside: list[tuple[int, int]] = []
        engine.plans.append(plan)

    @property
    def frames_per_chunk(self) -> int:  # type: ignore[override]
        return self.plan.frames

    def update(self, settings: Settings, rev: int, plan: Plan | None) -> None:
        assert plan is not None
        super().update(settings, rev, plan)
        self.plan = plan
        self.engine.plans.append(plan)

    def push(self, frames: Sequence[Pixels], taken: Callable[[], None]) -> Painted | None:
        taken()
        self.chunk += 1
        self.engine.pushed.append(len(frames))
        self.inside.append((self.chunk, len(frames)))
        return self._out(self.plan.lag_chunks)

    def flush(self) -> list[Painted]:
        self.engine.flushes += 1
        out = self._out(0)
        return [out] if out else []

    def _out(self, kept: int) -> Painted | None:
        out = self.inside[: len(self.inside) - kept]
        if not out:
            return None
        self.inside = self.inside[len(out) :]
        load = self.engine.loads.pop(0) if self.engine.loads else 1.0
        stages = {str(stage): load * ms for stage, ms in Profile().stages_ms(self.plan).items()}
        value = len(out)
        return Painted(
            out[0][0],
            self.rev,
            lambda _, slot_HW4: slot_HW4.fill(value),
            chunks=len(out),
            stages_ms=stages,
            strength=0.25,
        )


class PlannedEngine(FakeEngine):
    abilities = Abilities(sizes=((320, 176),), most_chunk=3)

    def __init__(self, loads: Sequence[float] = ()) -> None:
        self.loads = list(loads)
        self.plans: list[Plan] = []
        self.pushed: list[int] = []
        self.flushes = 0
        self.stream: PlannedStream | None = None

    def open_stream(self, opening: Open, plan: Plan | None) -> PaintStream:
        assert plan is not None
        self.stream = PlannedStream(self, opening, plan)
        return self.stream


class Camera(Desk):
    """A desk on which a chunk's frames lie whenever the loop asks for work; what is shown comes back."""

    def __init__(self, segments: SegmentPair, engine: PlannedEngine, chunks: int, **settings: Any) -> None:
        super().__init__()
        self.opening = open_message(segments, **settings)
        self.engine, self.stats, self.chunks = engine, Stats(), chunks
        self.frames_per_chunk = engine.frames_per_chunk
        self.updates: dict[int, Message] = {}
        """Before the chunk of that number."""
        self.reports: list[Report] = []
        self.shown: list[Give] = []
        self.passed_over: list[int] = []
        self.sent = 0

    def run(self) -> None:
        for message in (self.opening, *outputs(self.opening)):
            self.put(message)
        Loop(engine=self.engine, desk=self, stats=self.stats, send=self._heard).run()

    def next_job(self) -> Job | None:
        if self.engine.plans and self.engine.stream is not None:
            self.reports.append(self.stats.report())
            self._feed(self.engine.stream)
        return super().next_job()

    def _feed(self, stream: PlannedStream) -> None:
        if (done := len(self.engine.pushed)) == self.chunks:
            self.stop()
        if done in self.updates:
            self.put(self.updates.pop(done))
        for _ in range(stream.frames_per_chunk * stream.plan.frame_step):
            slot = self.sent % self.opening.input.slots
            frame = give(self.opening, slot, self.sent)
            self.sent += 1
            self.passed_over += [back.sequence for back in self.put(frame)]

    def _heard(self, message: Message) -> None:
        if isinstance(message, Give):
            self.shown.append(message)
            for freed in outputs(self.opening, message.slot):
                self.put(freed)


class Hoarder(Camera):
    """Some frames more than a chunk always wait, and what comes back is counted."""

    def __init__(self, segments: SegmentPair, engine: PlannedEngine, chunks: int, **settings: Any) -> None:
        super().__init__(segments, engine, chunks, **settings)
        self.returned = self.dropped = 0
        self.waiting: list[Give] = []

    def pace(self, *told: Any, **pace: Any) -> list[Give]:
        if not self.sent:
            for _ in range(3):
                self.put(give(self.opening, self.sent, self.sent))
                self.sent += 1
        over = super().pace(*told, **pace)
        self.waiting = self._intakes["camera"].waiting
        return over

    def _heard(self, message: Message) -> None:
        super()._heard(message)
        if isinstance(message, Return):
            self.returned += 1
            self.dropped += message.dropped


def shown(camera: Camera) -> list[int]:
    return [frame.sequence for frame in camera.shown]


def test_the_painter_gets_the_plan_and_the_report_says_it(make_segments: MakeSegments) -> None:
    camera = Camera(make_segments(320, 176), PlannedEngine(), 3, steps=2)
    camera.run()
    told = camera.reports[-1]
    assert told.plans["camera"].steps == 2
    assert told.plans["camera"].sentence == ""
    assert told.strengths == {"camera": 0.25}
    assert camera.stats.report().plans == {}, "a session that is closed is not reported"
    assert camera.engine.plans == [Plan(steps=2, stream_batch=False, chunk_latents=1, size=(320, 176))]


def test_load_makes_the_painter_do_less_and_frames_keep_their_times(make_segments: MakeSegments) -> None:
    engine = PlannedEngine([1.0] * 5 + [2.2] * 20)
    camera = Camera(make_segments(320, 176), engine, 20, steps=2)
    camera.run()
    assert engine.plans[-1].steps == 1
    assert shown(camera) == sorted(shown(camera))
    assert all(one.pts_ns == give(camera.opening, 0, one.sequence).pts_ns for one in camera.shown)
    assert camera.reports[-1].plans["camera"].sentence == "1 of 2 steps"


def test_frames_that_the_plan_passes_over_go_back_at_once_and_evenly(make_segments: MakeSegments) -> None:
    engine = PlannedEngine([9.0] * 100)
    camera = Camera(make_segments(320, 176), engine, 30, mode="latency", chunk=1)
    camera.run()
    step = engine.plans[-1].frame_step
    assert step > 1
    assert [after - before for before, after in pairwise(shown(camera)[-8:])] == [step] * 7
    assert set(camera.passed_over).isdisjoint(shown(camera))


def test_no_slot_is_kept_of_what_a_slower_pace_passes_over(make_segments: MakeSegments) -> None:
    """Frames wait while the plan goes from every frame to every few: each goes back once."""
    engine = PlannedEngine([1.0] * 4 + [9.0] * 4)
    camera = Hoarder(make_segments(320, 176), engine, 7, mode="latency", chunk=1)
    camera.run()
    assert engine.plans[-1].frame_step > 1
    assert camera.dropped > 0
    still_there = len(camera.waiting)
    assert camera.returned + len(camera.passed_over) + still_there == camera.sent


def test_a_new_chunk_length_begins_with_the_next_chunk_and_loses_nothing(make_segments: MakeSegments) -> None:
    engine = PlannedEngine()
    camera = Camera(make_segments(320, 176, traits=POCKET), engine, 8, chunk=1)
    camera.updates[3] = Update(session="camera", rev=5, settings=Settings(chunk=3))
    camera.run()
    # The settings come with the fourth chunk, which has its frames already.
    assert engine.pushed == [4, 4, 4, 4, 12, 12, 12, 12]
    assert shown(camera) == list(range(sum(engine.pushed)))


def test_chunks_between_their_steps_come_out_before_a_plan_with_less_lag(make_segments: MakeSegments) -> None:
    engine = PlannedEngine()
    camera = Camera(make_segments(320, 176), engine, 6, steps=2, mode="throughput")
    camera.updates[3] = Update(session="camera", rev=5, settings=Settings(steps=2, mode="latency"))
    camera.run()
    assert engine.flushes == 1
    assert shown(camera) == list(range(24))
