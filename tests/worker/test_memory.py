"""Out of memory while live: what gives way, in what order, and that the stream goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from tests.worker.sessions import give, open_message, outputs, run_loop
from tests.worker.test_loop_plans import Camera, PlannedEngine, PlannedStream, shown

from limner.daemon.protocol import Settings
from limner.daemon.session import SegmentPair
from limner.daemon.sizes import POCKET
from limner.daemon.wire import Message
from limner.daemon.worker_protocol import Failed, Give, Open, Return, Update
from limner.engine.slo_plan import Limits, Plan
from limner.worker.engines import Abilities, Painted, PaintStream, Pixels
from limner.worker.memory import MemoryCaps, capped, lowered, words

MakeSegments = Callable[..., SegmentPair]
SIZES = ((320, 176), (256, 144), (192, 112))


def limits(**changes: object) -> Limits:
    return Limits(**{"fps": 30.0, "steps": 3, "most_chunk": 3, "sizes": SIZES} | changes)  # type: ignore[arg-type]


def plan(steps: int = 3, chunk: int = 1, size: tuple[int, int] = (320, 176)) -> Plan:
    return Plan(steps=steps, stream_batch=False, chunk_latents=chunk, size=size)


def test_chunks_then_steps_then_the_size_give_way_one_at_a_time() -> None:
    caps, wished, told = MemoryCaps(), limits(least_steps=2, adapt=False), []
    now = plan(chunk=3)
    while (below := lowered(caps, now, capped(wished, caps))) is not None:
        caps, within = below, capped(wished, below)
        now = plan(within.steps, min(now.chunk_latents, within.most_chunk), within.sizes[0])
        told.append(words(caps, wished))
    assert told == [
        "memory allows short chunks only",
        "memory allows short chunks only; memory allows 2 of 3 steps",
        "memory allows short chunks only; memory allows 1 of 3 steps",
        "memory allows short chunks only; memory allows 1 of 3 steps; memory allows 256×144",
        "memory allows short chunks only; memory allows 1 of 3 steps; memory allows 192×112",
    ]


def test_caps_keep_limits_that_make_sense() -> None:
    within = capped(limits(least_steps=2, chunk_latents=2), MemoryCaps(steps=1, area_px=1, chunk_latents=1))
    assert (within.steps, within.least_steps, within.chunk_latents, within.most_chunk) == (1, 1, 1, 1)
    assert within.sizes == SIZES[-1:], "the smallest there is"
    assert capped(limits(), MemoryCaps()) == limits() and words(MemoryCaps(), limits()) == ""


def test_chunks_longer_than_planned_are_missed_by_who_asked_for_them() -> None:
    caps = MemoryCaps(chunk_latents=1, steps=4)
    assert words(caps, limits(), caps) == "", "nobody asked for long ones"
    assert words(caps, limits(chunk_latents=2), caps) == "memory allows short chunks only"
    longer = MemoryCaps(chunk_latents=2)
    assert words(longer, limits(chunk_latents=2), longer) == ""
    assert words(caps, limits(), longer) == "memory allows short chunks only", (
        "they were brought down while live"
    )


class NarrowStream(PlannedStream):
    """Has room for so much; says so in the middle of a chunk, before or after it took the frames."""

    engine: NarrowEngine

    def push(self, frames: Sequence[Pixels], taken: Callable[[], None]) -> Painted | None:
        self.engine.refuse(self.plan)
        return super().push(frames, taken)


class NarrowEngine(PlannedEngine):
    abilities = Abilities(sizes=SIZES, most_chunk=3)

    def __init__(self, most: float, *, at_open: bool = False) -> None:
        super().__init__()
        self.most, self.at_open, self.freed = most, at_open, 0
        self.most_after: float | None = None
        """Once others gave way."""

    def refuse(self, plan: Plan) -> None:
        if plan.steps * plan.size[0] * plan.size[1] > self.most * 320 * 176:
            raise MemoryError("CUDA out of memory")

    def open_stream(self, opening: Open, plan: Plan | None) -> PaintStream:
        assert plan is not None
        if self.at_open:
            self.refuse(plan)
        self.opened = opening.settings
        self.stream = NarrowStream(self, opening, plan)
        return self.stream

    def free_memory(self) -> bool:
        self.freed += 1
        if self.most_after is None:
            return False
        self.most, self.most_after = self.most_after, None
        return True


@pytest.mark.parametrize("at_open", [False, True])
@pytest.mark.parametrize(
    ("most", "steps", "size", "told"),
    [
        (2.5, 2, (320, 176), "memory allows 2 of 3 steps"),
        (0.7, 1, (256, 144), "memory allows 1 of 3 steps; memory allows 256×144"),
    ],
)
def test_the_stream_goes_on_with_less_and_says_so(
    make_segments: MakeSegments, *, at_open: bool, most: float, steps: int, size: tuple[int, int], told: str
) -> None:
    engine = NarrowEngine(most, at_open=at_open)
    camera = Camera(make_segments(320, 176, traits=POCKET), engine, 12, steps=3, mode="latency", chunk=1)
    camera.run()
    assert (engine.plans[-1].steps, engine.plans[-1].size) == (steps, size)
    assert len(shown(camera)) >= 12 * 4
    assert shown(camera) == sorted(shown(camera))
    report = camera.reports[-1]
    assert report.notes["camera"] == told
    assert (report.plans["camera"].steps, report.plans["camera"].width) == (steps, size[0])
    assert not report.plans["camera"].reduced, "it is not load that took it"
    assert engine.freed >= 1


def test_frames_that_could_not_be_painted_go_back_as_dropped(make_segments: MakeSegments) -> None:
    engine = NarrowEngine(1)
    opening = open_message(make_segments(320, 176), steps=2, mode="latency")
    frames = [give(opening, slot, slot) for slot in range(4)]
    sent = run_loop(engine, [opening, *outputs(opening), *frames], lambda sent: len(returned(sent)) >= 4)
    assert [(one.slot, one.dropped) for one in returned(sent)] == [(slot, True) for slot in range(4)]
    assert not [message for message in sent if isinstance(message, Failed)]


def returned(sent: list[Message]) -> list[Return]:
    return [message for message in sent if isinstance(message, Return)]


def test_the_settings_of_now_go_on(make_segments: MakeSegments) -> None:
    engine = NarrowEngine(1)
    camera = Camera(make_segments(320, 176), engine, 8, steps=1)
    camera.updates = {3: Update(session="camera", rev=9, settings=Settings(steps=2, prompt="neon"))}
    camera.run()
    assert engine.opened.prompt == "neon"
    assert engine.stream is not None and engine.stream.rev == 9
    assert camera.reports[-1].notes == {"camera": "memory allows 1 of 2 steps"}


def test_who_asks_for_other_steps_may_try_again(make_segments: MakeSegments) -> None:
    engine = NarrowEngine(1)
    camera = Camera(make_segments(320, 176), engine, 9, steps=3, mode="latency")
    camera.updates = {5: Update(session="camera", rev=2, settings=Settings(steps=1, mode="latency"))}
    camera.run()
    assert "1 of 3" in camera.reports[4].notes["camera"]
    assert camera.reports[-1].notes == {}


def test_when_nothing_is_left_it_ends_with_advice(make_segments: MakeSegments) -> None:
    engine = NarrowEngine(0.1)
    camera = Camera(make_segments(320, 176), engine, 8, steps=2)
    with pytest.raises(MemoryError, match="close what else uses the device, or choose a smaller model"):
        camera.run()
    assert engine.freed == 4


def test_others_give_way_before_the_picture_does(make_segments: MakeSegments) -> None:
    engine = NarrowEngine(0.5)
    engine.most_after = 3.0
    camera = Camera(make_segments(320, 176), engine, 6, steps=3, mode="latency")
    camera.run()
    assert engine.plans[-1].steps == 3 and engine.freed == 1
    assert camera.reports[-1].notes == {}


class FullEngine(PlannedEngine):
    """Has room for one session."""

    def open_stream(self, opening: Open, plan: Plan | None) -> PaintStream:
        if opening.session != "camera":
            raise MemoryError("CUDA out of memory")
        return super().open_stream(opening, plan)


def test_a_session_without_room_does_not_end_another_ones_picture(make_segments: MakeSegments) -> None:
    first = open_message(make_segments(320, 176), mode="latency")
    second = open_message(make_segments(320, 176, generation=2), "second")
    frames = [give(first, slot, slot) for slot in range(4)]
    messages = [first, second, *outputs(first), *frames]
    sent = run_loop(FullEngine(), messages, lambda sent: sum(isinstance(one, Give) for one in sent) == 4)
    (failed,) = [message for message in sent if isinstance(message, Failed)]
    assert failed.session == "second" and "not enough memory" in failed.message
