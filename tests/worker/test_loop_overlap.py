"""A painter whose chunks come later: the loop collects them, and gives it no more than it takes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import msgspec
import pytest
from tests.worker.fakes import FakeEngine
from tests.worker.sessions import give, open_message, outputs

from limner.daemon.protocol import Settings
from limner.daemon.session import SegmentPair
from limner.daemon.wire import Message
from limner.daemon.worker_protocol import Failed, Give, Open, Return, Update
from limner.engine.slo_plan import Plan
from limner.worker.desk import Desk
from limner.worker.engines import Painted, PaintStream, Pixels
from limner.worker.loop import GAP_NS, Loop
from limner.worker.stats import Stats

MakeSegments = Callable[..., SegmentPair]
T = TypeVar("T", bound=Message)
PATIENCE_S = 20.0
CHUNK = 4


class LatePainter:
    """Takes two chunks; what is inside is painted when the test says so, on the test's thread."""

    frames_per_chunk = CHUNK

    def __init__(self, rev: int) -> None:
        self.on_painted: Callable[[], None] = lambda: None
        self.rev, self.pushed = rev, 0
        self.inside: deque[int] = deque()
        self.ready: deque[Painted] = deque()
        self.came = threading.Semaphore(0)
        self.fault: Exception | None = None

    @property
    def is_full(self) -> bool:
        return len(self.inside) + len(self.ready) >= 2

    @property
    def is_working(self) -> bool:
        return bool(self.inside or self.ready)

    def push(self, frames: Sequence[Pixels], taken: Callable[[], None]) -> Painted | None:
        assert not self.is_full, "the loop pushed into a full painter"
        taken()
        self.inside.append(self.pushed)
        self.pushed += 1
        self.came.release()
        return None

    def paint_one(self) -> None:
        chunk = self.inside.popleft()
        self.ready.append(
            Painted(chunk, self.rev, lambda i, slot_HW4: slot_HW4.fill(i), stages_ms={"other": 1})
        )
        self.on_painted()

    def collect(self) -> list[Painted]:
        if self.fault:
            raise self.fault
        return [self.ready.popleft() for _ in range(len(self.ready))]

    def update(self, settings: Settings, rev: int, plan: Plan | None) -> None:
        self.rev = rev

    def flush(self) -> list[Painted]:
        while self.inside:
            self.paint_one()
        return self.collect()

    def reset(self) -> None:
        self.inside.clear()
        self.ready.clear()
        self.pushed = 0


class LateEngine(FakeEngine):
    painter: LatePainter

    def open_stream(self, opening: Open, plan: Plan | None) -> PaintStream:
        self.painter = LatePainter(opening.rev)
        self.opened.set()
        return self.painter

    def __init__(self) -> None:
        self.opened = threading.Event()


class Stage:
    """A loop on a thread of its own, and what it sent."""

    def __init__(self, segments: SegmentPair) -> None:
        self.engine, self.desk, self.stats = LateEngine(), Desk(), Stats()
        self.opening = open_message(segments)
        self.sent: list[Message] = []
        self._news = threading.Condition()
        self.desk.frames_per_chunk = CHUNK
        loop = Loop(engine=self.engine, desk=self.desk, stats=self.stats, send=self._heard)
        self.thread = threading.Thread(target=loop.run)
        for message in (self.opening, *outputs(self.opening)):
            self.desk.put(message)
        self.thread.start()
        assert self.engine.opened.wait(PATIENCE_S)

    @property
    def painter(self) -> LatePainter:
        return self.engine.painter

    def _heard(self, message: Message) -> None:
        with self._news:
            self.sent.append(message)
            self._news.notify_all()

    def feed(self, chunk: int, *, later_ns: int = 0) -> None:
        for number in range(chunk * CHUNK, (chunk + 1) * CHUNK):
            frame = give(self.opening, number % self.opening.input.slots, number)
            self.desk.put(msgspec.structs.replace(frame, pts_ns=frame.pts_ns + later_ns))

    def wait_for(self, kind: type[T], count: int) -> list[T]:
        with self._news:
            assert self._news.wait_for(lambda: len(self.of(kind)) >= count, PATIENCE_S), self.sent
        return self.of(kind)

    def of(self, kind: type[T]) -> list[T]:
        return [message for message in self.sent if isinstance(message, kind)]


@pytest.fixture
def stage(make_segments: MakeSegments) -> Iterator[Stage]:
    stage = Stage(make_segments())
    yield stage
    stage.desk.stop()
    stage.thread.join(PATIENCE_S)
    assert not stage.thread.is_alive()


def fill(stage: Stage) -> None:
    """Two chunks in, which is all that the painter takes."""
    for chunk in range(2):
        stage.feed(chunk)
        assert stage.painter.came.acquire(timeout=PATIENCE_S)
        stage.wait_for(Return, CHUNK * (chunk + 1))


def test_chunks_that_come_late_are_handed_over_in_order(stage: Stage) -> None:
    fill(stage)
    assert not stage.of(Give)
    stage.painter.paint_one()
    stage.wait_for(Give, CHUNK)
    stage.painter.paint_one()
    shown = stage.wait_for(Give, 2 * CHUNK)
    assert [message.sequence for message in shown] == list(range(2 * CHUNK))


def test_a_full_painter_is_given_nothing_until_something_is_collected(stage: Stage) -> None:
    fill(stage)
    stage.feed(2)
    assert not stage.painter.came.acquire(timeout=0.2)
    stage.painter.paint_one()
    assert stage.painter.came.acquire(timeout=PATIENCE_S)
    assert stage.painter.pushed == 3


def test_other_messages_are_served_meanwhile(stage: Stage) -> None:
    fill(stage)
    stage.desk.put(Update(session="camera", rev=9, settings=Settings(seed=1)))
    stage.painter.paint_one()
    stage.feed(2)
    assert stage.painter.came.acquire(timeout=PATIENCE_S)
    assert stage.painter.rev == 9


def test_a_fault_ends_the_session(stage: Stage) -> None:
    fill(stage)
    stage.painter.fault = RuntimeError("the lane broke")
    stage.painter.paint_one()
    (failed,) = stage.wait_for(Failed, 1)
    assert "the lane broke" in failed.message


def test_a_painter_that_never_finishes_counts_as_busy(stage: Stage) -> None:
    """So the daemon sees that it hangs."""
    fill(stage)
    stage.feed(2)
    assert not stage.painter.came.acquire(timeout=0.2), "by now the loop waits"
    assert stage.stats.report().busy
    stage.painter.flush()


def test_a_jump_in_time_loses_nothing_that_is_inside(stage: Stage) -> None:
    stage.feed(0)
    assert stage.painter.came.acquire(timeout=PATIENCE_S)
    stage.feed(1, later_ns=GAP_NS)
    shown = stage.wait_for(Give, 2 * CHUNK)
    assert [message.sequence for message in shown] == list(range(2 * CHUNK))


def test_the_last_frames_come_out_when_no_more_follow(stage: Stage) -> None:
    stage.feed(0)
    assert stage.painter.came.acquire(timeout=PATIENCE_S)
    shown = stage.wait_for(Give, CHUNK)
    assert [message.sequence for message in shown] == list(range(CHUNK))
