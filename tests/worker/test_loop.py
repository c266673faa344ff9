"""The painting loop over real segments, with engines that do what the test wants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import pytest
from tests.worker.fakes import FakeEngine, FakeStream
from tests.worker.sessions import give, open_message, outputs, run_loop

from limner.daemon.protocol import SegmentRef, Settings
from limner.daemon.segment import Segment
from limner.daemon.session import SegmentPair
from limner.daemon.wire import Message
from limner.daemon.worker_protocol import Close, Done, Failed, Give, Open, Opened, Reset, Return, Update
from limner.engine.slo_plan import Plan
from limner.worker.desk import Desk
from limner.worker.engines import EchoEngine, FatalEngineError, Painted, PaintStream, Pixels
from limner.worker.loop import Loop
from limner.worker.stats import Stats

MakeSegments = Callable[..., SegmentPair]
T = TypeVar("T", bound=Message)


def of(kind: type[T], messages: list[Message]) -> list[T]:
    return [message for message in messages if isinstance(message, kind)]


def count(kind: type[Message], number: int) -> Callable[[list[Message]], bool]:
    return lambda sent: len(of(kind, sent)) >= number


def pixel(segments: SegmentPair, slot: int) -> int:
    """Return the value of an output slot that is all of one value."""
    segment = Segment.open(segments.output.name)
    with segment.pixels(slot) as pixels:
        values = set(pixels)
    segment.close()
    assert len(values) == 1
    return values.pop()


def test_echo_gives_back_each_frame_with_its_time(make_segments: MakeSegments) -> None:
    segments = make_segments()
    opening = open_message(segments)
    source = Segment.open(segments.input.name)
    for slot in range(3):
        np.frombuffer(source.pixels(slot), dtype=np.uint8)[:] = 50 + slot
    frames = [give(opening, slot, slot) for slot in range(3)]
    sent = run_loop(EchoEngine(), [opening, *outputs(opening), *frames], count(Return, 3))
    assert of(Opened, sent) == [Opened(session="camera")]
    painted = of(Give, sent)
    # Three wait at once, so latest wins for one of them; the newest is there.
    assert painted[-1].sequence == 2
    for shown in painted:
        assert shown.pts_ns == frames[shown.sequence].pts_ns
        assert pixel(segments, shown.slot) == 50 + shown.sequence
    assert of(Done, sent)[0].rev == 1
    source.close()


def test_the_inputs_pages_are_locked_as_long_as_the_session_is(make_segments: MakeSegments) -> None:
    locked: list[int] = []

    class Locking(EchoEngine):
        def lock_pages(self, memory: memoryview) -> Callable[[], None]:
            locked.append(len(memory))
            return locked.clear

    segments = make_segments()
    opening = open_message(segments)
    sizes: list[int] = []

    def opened(sent: list[Message]) -> bool:
        sizes[:] = locked
        return count(Opened, 1)(sent)

    run_loop(Locking(), [opening], opened)
    source = Segment.open(segments.input.name)
    assert sizes == [source.layout.size_bytes]
    source.close()
    assert not locked


def test_a_short_chunk_gives_back_only_real_frames(make_segments: MakeSegments) -> None:
    opening = open_message(make_segments(), seed=9)
    sent = run_loop(
        FakeEngine(), [opening, *outputs(opening), give(opening, 5, 0), give(opening, 6, 1)], count(Done, 1)
    )
    assert [shown.sequence for shown in of(Give, sent)] == [0, 1]
    assert [(back.slot, back.dropped) for back in of(Return, sent)] == [(5, False), (6, False)]


def test_new_settings_are_done_with_the_chunk_that_has_them(make_segments: MakeSegments) -> None:
    segments = make_segments()
    opening = open_message(segments, seed=3)
    update = Update(session="camera", rev=8, settings=Settings(seed=4))
    frames = [give(opening, slot, slot) for slot in range(4)]
    sent = run_loop(FakeEngine(), [opening, *outputs(opening), update, *frames], count(Done, 1))
    assert of(Done, sent) == [Done(session="camera", rev=8, chunk=0, pts_ns=frames[0].pts_ns)]
    assert {pixel(segments, shown.slot) for shown in of(Give, sent)} == {4}


def test_without_a_free_output_slot_the_frame_is_lost_not_the_session(make_segments: MakeSegments) -> None:
    opening = open_message(make_segments())
    frames = [give(opening, slot, slot) for slot in range(4)]
    sent = run_loop(FakeEngine(), [opening, *outputs(opening, 2), *frames], count(Done, 1))
    assert [shown.slot for shown in of(Give, sent)] == [2]
    assert len(of(Return, sent)) == 4


@pytest.mark.parametrize("prompt", ["raise", "no stream"])
def test_a_fault_ends_one_session_only(make_segments: MakeSegments, prompt: str) -> None:
    bad = open_message(make_segments(), "bad", prompt=prompt)
    good = open_message(make_segments(), "good")
    frames: list[Message] = [give(o, slot, slot) for slot in range(4) for o in (bad, good)]
    sent = run_loop(FakeEngine(), [bad, good, *outputs(bad), *outputs(good), *frames], count(Done, 1))
    (failed,) = of(Failed, sent)
    assert failed.session == "bad"
    assert "ValueError: 32×16" in failed.message or "RuntimeError: this prompt" in failed.message
    assert {shown.session for shown in of(Give, sent)} == {"good"}
    after = sent[sent.index(failed) + 1 :]
    assert not [m for m in after if getattr(m, "session", "") == "bad"], "nothing follows `failed`"


@pytest.mark.parametrize(("prompt", "error"), [("fatal", FatalEngineError), ("no memory", MemoryError)])
def test_what_ends_the_process_gets_out(
    make_segments: MakeSegments, prompt: str, error: type[Exception]
) -> None:
    opening = open_message(make_segments(), prompt=prompt)
    frames = [give(opening, slot, slot) for slot in range(4)]
    with pytest.raises(error):
        run_loop(FakeEngine(), [opening, *outputs(opening), *frames], lambda _: False)


def test_segments_that_are_not_as_the_daemon_said_are_refused(make_segments: MakeSegments) -> None:
    segments = make_segments()
    gone = SegmentRef(name="limner-not-there", size_bytes=4096, slots=8)
    wrong = [
        SegmentPair(generation=1, width=32, height=16, input=gone, output=segments.output),
        SegmentPair(generation=1, width=32, height=16, input=segments.input, output=gone),
        SegmentPair(generation=1, width=16, height=16, input=segments.input, output=segments.output),
        SegmentPair(generation=2, width=32, height=16, input=segments.input, output=segments.output),
    ]
    for number, pair in enumerate(wrong):
        sent = run_loop(FakeEngine(), [open_message(pair, f"s{number}")], count(Failed, 1))
        assert "segment limner-" in of(Failed, sent)[0].message
        assert not of(Opened, sent)


class ManyAtOnce(FakeStream):
    """Four steps, then one: nothing comes for three pushes, then all four chunks at once."""

    def push(self, frames: object, taken: Callable[[], None]) -> Painted | None:
        taken()
        self.chunk += 1
        if self.chunk < 3:
            return None
        return Painted(0, self.rev, lambda i, slot_HW4: slot_HW4.fill(i), chunks=4)


def test_more_chunks_at_once_than_there_is_room_for_lose_the_oldest_frames(
    make_segments: MakeSegments,
) -> None:
    class Engine(FakeEngine):
        def open_stream(self, opening: Open, plan: Plan | None) -> PaintStream:
            return ManyAtOnce(opening.settings, opening.rev)

    segments = make_segments()
    opening = open_message(segments)
    frames = [give(opening, number % 8, number) for number in range(16)]
    desk, stats = Desk(), Stats()
    sent: list[Message] = []
    desk.frames_per_chunk = 4

    def send(message: Message) -> None:
        sent.append(message)
        if isinstance(message, Opened) or (isinstance(message, Return) and message.slot % 4 == 3):
            for _ in range(4):
                if frames:
                    desk.put(frames.pop(0))
        if isinstance(message, Done):
            desk.stop()

    for message in (opening, *outputs(opening, *range(12))):
        desk.put(message)
    Loop(engine=Engine(), desk=desk, stats=stats, send=send).run()
    assert [shown.sequence for shown in of(Give, sent)] == list(range(4, 16))
    assert [pixel(segments, shown.slot) for shown in of(Give, sent)] == list(range(4, 16))
    assert stats.report().notes == {}


def test_a_fault_of_a_session_that_was_replaced_does_not_touch_the_new_one(
    make_segments: MakeSegments,
) -> None:
    old = open_message(make_segments(generation=1), prompt="raise")
    new = open_message(make_segments(generation=2), seed=5)
    desk = Desk()
    desk.frames_per_chunk = 4
    sent: list[Message] = []
    put: list[Message] = [
        Close(session="camera"),
        new,
        *outputs(new),
        *(give(new, slot, slot) for slot in range(4)),
    ]

    class Engine(FakeEngine):
        def open_stream(self, opening: Open, plan: Plan | None) -> PaintStream:
            class Stream(FakeStream):
                def push(self, frames: Sequence[Pixels], taken: Callable[[], None]) -> Painted | None:
                    while put:
                        desk.put(put.pop(0))
                    return super().push(frames, taken)

            return Stream(opening.settings, opening.rev)

    def send(message: Message) -> None:
        sent.append(message)
        if isinstance(message, Done):
            desk.stop()

    for message in (old, *outputs(old), *(give(old, slot, slot) for slot in range(4))):
        desk.put(message)
    Loop(engine=Engine(), desk=desk, stats=Stats(), send=send).run()
    assert [(failed.session, failed.generation) for failed in of(Failed, sent)] == [("camera", 1)]
    assert {shown.generation for shown in of(Give, sent)} == {2}


def test_a_session_closed_with_frames_inside_is_no_trouble(make_segments: MakeSegments) -> None:
    one, two = open_message(make_segments(), "one"), open_message(make_segments(), "two")
    frames = [give(two, slot, slot) for slot in range(4)]
    messages = [one, *outputs(one), give(one, 0, 0), Close(session="one"), two, *outputs(two), *frames]
    sent = run_loop(FakeEngine(), messages, count(Done, 1))
    assert {shown.session for shown in of(Give, sent)} == {"two"}


class LaggingStream(FakeStream):
    """A chunk behind, as two denoising steps are; a flush brings two at once when asked twice."""

    held: tuple[int, int] | None = None

    def push(self, frames: object, taken: Callable[[], None]) -> Painted | None:
        taken()
        self.chunk += 1
        out, self.held = self.held, (self.chunk, self.rev)
        return Painted(*out, lambda i, slot_HW4: slot_HW4.fill(i)) if out else None

    def flush(self) -> list[Painted]:
        out, self.held = self.held, None
        return [Painted(*out, lambda i, slot_HW4: slot_HW4.fill(100 + i))] if out else []


class LaggingEngine(FakeEngine):
    def open_stream(self, opening: Open, plan: Plan | None) -> PaintStream:
        return LaggingStream(opening.settings, opening.rev)


def test_a_lagging_engine_gives_each_frame_its_own_time_and_the_last_ones_too(
    make_segments: MakeSegments,
) -> None:
    opening = open_message(make_segments())
    frames = [give(opening, slot, slot) for slot in range(5)]
    sent = run_loop(LaggingEngine(), [opening, *outputs(opening), *frames], count(Give, 5))
    assert [(shown.sequence, shown.pts_ns) for shown in of(Give, sent)] == [
        (frame.sequence, frame.pts_ns) for frame in frames
    ]


class RecordingEngine(FakeEngine):
    """Counts how often a stream was reset."""

    def __init__(self) -> None:
        super().__init__()
        self.resets = 0

    def open_stream(self, opening: Open, plan: Plan | None) -> PaintStream:
        engine = self

        class Stream(FakeStream):
            def reset(self) -> None:
                engine.resets += 1
                super().reset()

        return Stream(opening.settings, opening.rev)


def test_after_a_gap_the_stream_starts_anew_and_chunks_are_counted_on(make_segments: MakeSegments) -> None:
    opening = open_message(make_segments())
    late = [
        Give(session="camera", generation=1, slot=slot, sequence=100 + slot, pts_ns=10**11 + slot * 10**7)
        for slot in range(4, 8)
    ]
    frames: list[Message] = [give(opening, slot, slot) for slot in range(4)]
    update = Update(session="camera", rev=5, settings=Settings(seed=1))
    engine = RecordingEngine()
    messages = [opening, *outputs(opening), *frames, update]
    # The second chunk must not be thinned together with the first: it comes when the first is done.
    sent = run_loop_in_two(engine, messages, list(late))
    assert engine.resets == 1
    assert [done.chunk for done in of(Done, sent)] == [0, 1]
    assert [shown.sequence for shown in of(Give, sent)] == [0, 1, 2, 3, 104, 105, 106, 107]


def test_a_reset_starts_the_stream_anew_and_chunks_are_counted_on(make_segments: MakeSegments) -> None:
    opening = open_message(make_segments())
    first, second = ([give(opening, slot, slot) for slot in range(at, at + 4)] for at in (0, 4))
    update = Update(session="camera", rev=5, settings=Settings(seed=1))
    engine = RecordingEngine()
    messages = [opening, *outputs(opening), *first, update]
    sent = run_loop_in_two(engine, messages, [Reset(session="camera"), Reset(session="gone"), *second])
    assert engine.resets == 1
    assert [done.chunk for done in of(Done, sent)] == [0, 1]
    assert [shown.sequence for shown in of(Give, sent)] == list(range(8))


def run_loop_in_two(engine: FakeEngine, first: list[Message], second: list[Message]) -> list[Message]:
    """Run the loop; when the first chunk is done, put the rest on its desk."""
    desk = Desk()
    desk.frames_per_chunk = engine.frames_per_chunk
    sent: list[Message] = []

    def send(message: Message) -> None:
        sent.append(message)
        if isinstance(message, Done):
            rest, second[:] = list(second), []
            if not rest:
                desk.stop()
            for later in rest:
                desk.put(later)
            if rest:
                desk.put(Update(session="camera", rev=6, settings=Settings(seed=1)))

    for message in first:
        desk.put(message)
    Loop(engine=engine, desk=desk, stats=Stats(), send=send).run()
    return sent
