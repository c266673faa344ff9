"""A picture that comes out blank is noticed, and nothing else is."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from tests.worker.test_loop_plans import Camera, PlannedEngine, PlannedStream

from limner.daemon.protocol import SegmentRef, Settings
from limner.daemon.session import SegmentPair
from limner.daemon.sizes import POCKET
from limner.daemon.worker_protocol import Open
from limner.engine.model import Model
from limner.engine.slo_plan import Plan
from limner.worker.blank import BlankError, BlankWatch, Picture, contrast
from limner.worker.engines import Painted, PaintStream, Pixels
from limner.worker.model_loading import config_of, load
from limner.worker.model_source import find_model

MakeSegments = Callable[..., SegmentPair]


def ramp(levels: int = 255) -> Picture:
    row = np.linspace(0, levels, 320).astype(np.uint8)
    return np.repeat(np.repeat(row[None, :, None], 176, 0), 4, 2)


def flat(value: int = 0) -> Picture:
    return np.full((176, 320, 3), value, np.uint8)


def test_contrast() -> None:
    assert contrast(flat(200)) == 0
    assert contrast(ramp()) > 200
    colours = flat()
    colours[..., 0] = 255
    assert contrast(colours) == 0, "one colour all over, whichever"
    assert contrast(np.zeros((4, 4, 3), np.uint8)) == 0, "too small to look at"


@pytest.mark.parametrize(
    ("source", "painted", "blank"),
    [
        (ramp(), flat(), True),
        (ramp(), flat(128), True),
        (flat(), flat(), False),
        (ramp(20), flat(), False),
        (ramp(), ramp(2), False),
        (flat(), ramp(), False),
    ],
)
def test_only_one_colour_of_something_to_see_is_blank(source: Picture, painted: Picture, blank: bool) -> None:
    watch = BlankWatch()
    watch.took([source])
    assert watch.is_blank(painted) is blank


def test_chunks_come_out_later_and_together() -> None:
    watch = BlankWatch()
    for source in (flat(), ramp(), ramp()):
        watch.took([source])
    assert not watch.is_blank(flat(), chunks=2), "one of them had nothing to see"
    assert watch.is_blank(flat())
    assert not watch.is_blank(flat()), "nothing is inside"


def test_a_chunk_that_begins_or_ends_with_nothing_to_see_does_not_count() -> None:
    watch = BlankWatch()
    for chunk in ([flat(), ramp()], [ramp(), flat()]):
        watch.took(chunk)
        assert not watch.is_blank(flat())


def test_again_and_again_is_an_error_with_advice() -> None:
    watch = BlankWatch()
    for _ in range(2):
        for _ in range(3):
            watch.took([ramp()])
        assert all(watch.is_blank(flat()) for _ in range(3)), "all that was inside"
        watch.begin_anew()
    watch.took([ramp()])
    with pytest.raises(BlankError, match="limner models verify"):
        watch.is_blank(flat())


def test_a_good_picture_between_forgives() -> None:
    watch = BlankWatch()
    for _ in range(5):
        for painted, blank in ((ramp(), False), (flat(), True)):
            watch.took([ramp()])
            assert watch.is_blank(painted) is blank
        watch.begin_anew()


class BlankStream(PlannedStream):
    """Paints one colour until it was begun anew twice."""

    def __init__(self, engine: PlannedEngine, opening: Open, plan: Plan) -> None:
        super().__init__(engine, opening, plan)
        self.begun_anew = 0

    def push(self, frames: Sequence[Pixels], taken: Callable[[], None]) -> Painted | None:
        painted = super().push(frames, taken)
        assert painted is not None
        return dataclasses.replace(painted, is_blank=self.begun_anew < 2)

    def reset(self) -> None:
        super().reset()
        self.inside.clear()
        self.begun_anew += 1


class BlankEngine(PlannedEngine):
    def open_stream(self, opening: Open, plan: Plan | None) -> PaintStream:
        assert plan is not None
        self.stream = BlankStream(self, opening, plan)
        return self.stream


def test_a_blank_picture_is_not_shown_and_the_stream_begins_anew(make_segments: MakeSegments) -> None:
    camera = Camera(make_segments(320, 176, traits=POCKET), BlankEngine(), 6, mode="latency", chunk=1)
    camera.run()
    assert [frame.sequence for frame in camera.shown] == list(range(8, 24))
    notes = [report.notes.get("camera", "") for report in camera.reports]
    assert any("blank" in note for note in notes) and notes[-1] == ""


@pytest.mark.slow
def test_weights_that_are_no_numbers_paint_blank_pictures_and_that_is_noticed() -> None:
    """The real engine with a weight that is no number."""
    source = find_model("pocket")
    weights = Model(config_of(source)).state_dict()
    weights["dit.blocks.0.ffn.0.bias"][:] = math.nan
    engine = load(source, threads=1, device="cpu", progress=lambda *_: None, weights=weights)
    segment = SegmentRef(name="none", size_bytes=4096, slots=24)
    opening = Open(
        session="camera",
        generation=1,
        width=320,
        height=176,
        fps=30.0,
        input=segment,
        output=segment,
        rev=1,
        settings=Settings(strength=0.8),
    )
    plan = Plan(steps=1, stream_batch=False, chunk_latents=1, size=(320, 176))
    stream = engine.open_stream(opening, plan)
    try:
        for _ in range(2):
            stream.push([ramp()] * 4, lambda: None)
            assert [painted.is_blank for painted in stream.flush()] == [True]
            stream.reset()
        stream.push([ramp()] * 4, lambda: None)
        with pytest.raises(BlankError):
            stream.flush()
    finally:
        engine.close()
