"""A painter that is some frames behind: each painted frame goes out with the time of the frame it shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from tests.worker.fakes import FakeStream
from tests.worker.sessions import give, open_message, outputs, run_loop
from tests.worker.test_loop import of, pixel

from limner.daemon.protocol import Settings
from limner.daemon.segment import Segment
from limner.daemon.session import SegmentPair
from limner.daemon.wire import Message
from limner.daemon.worker_protocol import Done, Give, Open
from limner.engine.slo_cost import delay_ms
from limner.engine.slo_plan import Plan
from limner.engine.slo_state import Chunk, begin, noted
from limner.worker.behind import Behind
from limner.worker.engines import Abilities, EchoEngine, Painted, PaintStream, Pixels
from limner.worker.governor import limits_of

MakeSegments = Callable[..., SegmentPair]
CHUNK = 4


class LateStream(FakeStream):
    """Paints the values of the frames that went in `behind` frames before."""

    def __init__(self, behind: int) -> None:
        super().__init__(Settings(), 1)
        self._behind, self._seen = behind, list[int]()

    def push(self, frames: Sequence[Pixels], taken: Callable[[], None]) -> Painted | None:
        self.chunk += 1
        self._seen += [int(frame_HW4.flat[0]) for frame_HW4 in frames]
        taken()
        end = len(self._seen) - self._behind
        values = [self._seen[max(0, place)] for place in range(end - CHUNK, end)]
        return Painted(self.chunk, self.rev, lambda number, slot_HW4: slot_HW4.fill(values[number]))

    def reset(self) -> None:
        super().reset()
        self._seen.clear()


class LateEngine(EchoEngine):
    model = "late"
    frames_per_chunk = CHUNK

    def __init__(self, behind: int) -> None:
        self.abilities: Abilities | None = Abilities(  # type: ignore[assignment]
            sizes=((320, 176),), frames_behind=behind
        )

    def open_stream(self, opening: Open, plan: Plan | None) -> PaintStream:
        assert self.abilities is not None
        return LateStream(self.abilities.frames_behind)


@pytest.mark.parametrize("behind", [0, 1, 3])
@pytest.mark.parametrize("frames", [1, 4, 5])
def test_each_frame_goes_out_with_the_time_of_what_it_shows(
    make_segments: MakeSegments, behind: int, frames: int
) -> None:
    """All of them, at a clip's end too, where nothing comes that would bring the last ones out."""
    segments = make_segments()
    opening = open_message(segments)
    source = Segment.open(segments.input.name)
    for number in range(frames):
        np.frombuffer(source.pixels(number), dtype=np.uint8)[:] = 50 + number
    gives = [give(opening, number, number) for number in range(frames)]

    def all_came(sent: list[Message]) -> bool:
        return len(of(Give, sent)) >= frames

    sent = run_loop(LateEngine(behind), [opening, *outputs(opening), *gives], all_came)
    source.close()
    painted = of(Give, sent)
    assert [shown.sequence for shown in painted] == list(range(frames))
    for shown in painted:
        assert shown.pts_ns == gives[shown.sequence].pts_ns
        assert pixel(segments, shown.slot) == 50 + shown.sequence
    assert [done.pts_ns for done in of(Done, sent)] == [gives[0].pts_ns]


def the_gives(*numbers: int) -> list[Give]:
    return [
        Give(session="camera", generation=1, slot=0, sequence=number, pts_ns=number) for number in numbers
    ]


def test_what_was_not_shown_is_shown_by_the_next_chunk() -> None:
    behind = Behind(3)
    shown = [
        [(place, one.sequence) for place, one in behind.shown(gives, CHUNK)]
        for gives in (the_gives(0, 1, 2, 3), the_gives(4, 5), the_gives(6, 7, 8, 9), [])
    ]
    assert shown == [
        [(3, 0)],
        [(0, 1), (1, 2), (2, 3), (3, 4)],
        [(0, 5), (3, 6)],
        [(0, 7), (1, 8), (2, 9)],
    ]
    assert not behind.owes()
    behind.shown(the_gives(10, 11, 12, 13), CHUNK)
    assert behind.owes()
    behind.begin_anew()
    assert behind.shown([], CHUNK) == []


class CutStream(LateStream):
    """Begins anew with its second chunk, as an autoencoder does where a scene does."""

    def push(self, frames: Sequence[Pixels], taken: Callable[[], None]) -> Painted | None:
        is_cut = self.chunk == 0
        if is_cut:
            self._seen = [int(frames[0].flat[0])] * self._behind
        painted = super().push(frames, taken)
        return painted and replace(painted, is_cut=is_cut)


class CutEngine(LateEngine):
    def open_stream(self, opening: Open, plan: Plan | None) -> PaintStream:
        return CutStream(3)


def test_a_new_scene_is_not_shown_before_its_time(make_segments: MakeSegments) -> None:
    """The last frames of the old one, which a chunk more would have brought out, are held instead."""
    segments = make_segments()
    opening = open_message(segments)
    source = Segment.open(segments.input.name)
    for number in range(CHUNK + 1):
        np.frombuffer(source.pixels(number), dtype=np.uint8)[:] = 50 + number
    gives = [give(opening, number, number) for number in range(CHUNK + 1)]

    def all_came(sent: list[Message]) -> bool:
        return len(of(Give, sent)) >= 2

    sent = run_loop(CutEngine(3), [opening, *outputs(opening), *gives], all_came)
    source.close()
    painted = of(Give, sent)
    assert [shown.sequence for shown in painted] == [0, CHUNK]
    for shown in painted:
        assert pixel(segments, shown.slot) == 50 + shown.sequence


@pytest.mark.parametrize(("frame_step", "behind_ms"), [(1, 100), (2, 200), (4, 400)])
def test_who_is_behind_has_less_time(make_segments: MakeSegments, frame_step: int, behind_ms: float) -> None:
    """Three painted frames: longer, where fewer are painted."""
    opening, plan = (
        open_message(make_segments()),
        Plan(steps=1, stream_batch=False, chunk_latents=1, size=(320, 176), frame_step=frame_step),
    )
    late, prompt = (
        limits_of(opening, Settings(), Abilities(sizes=((320, 176),), frames_behind=behind))
        for behind in (3, 0)
    )
    more_ms = delay_ms(plan, late, 50) - delay_ms(plan, prompt, 50)
    assert more_ms == pytest.approx(behind_ms)


def test_a_chunk_that_shows_older_frames_is_late_sooner(make_segments: MakeSegments) -> None:
    """The delay that is measured is that of the frames that went in."""
    opening = open_message(make_segments())
    for behind, late in ((0, False), (3, True)):
        limits = limits_of(opening, Settings(), Abilities(sizes=((320, 176),), frames_behind=behind))
        took = Chunk(now_s=1.0, stages_ms={"denoise": 30.0}, delay_ms=limits.latency_ms - 50)
        state = noted(begin(limits), limits, took)
        assert state.samples[-1].is_late == late
