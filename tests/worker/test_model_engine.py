"""The real engine behind the worker's protocols, with random weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from tests.worker.fakes import random_pocket
from tests.worker.sessions import give, open_message, outputs, run_loop

from limner.daemon.segment import Segment
from limner.daemon.session import SegmentPair
from limner.daemon.wire import Message
from limner.daemon.worker_protocol import Done, Failed, Give, Update
from limner.engine.device_lanes import DeviceLanes
from limner.worker import model_engine
from limner.worker.frames_in import DeviceFrames
from limner.worker.model_engine import TorchPaintEngine

WIDTH, HEIGHT = 96, 96
MakeSegments = Callable[..., SegmentPair]


@pytest.fixture(scope="module")
def engine() -> Iterator[TorchPaintEngine]:
    engine = random_pocket()
    yield engine
    engine.close()


def painted(sent: list[Message], number: int) -> bool:
    return sum(isinstance(message, Give) for message in sent) >= number


def noise(segments: SegmentPair) -> None:
    """Fill the input slots."""
    source = Segment.open(segments.input.name)
    random = np.random.default_rng(1)
    for slot in range(segments.input.slots):
        pixels = np.frombuffer(source.pixels(slot), dtype=np.uint8)
        pixels[:] = random.integers(0, 256, pixels.shape)
    source.close()


def picture(segments: SegmentPair, slot: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    segment = Segment.open(segments.output.name)
    copy = np.frombuffer(segment.pixels(slot), dtype=np.uint8).reshape(HEIGHT, WIDTH, 4).copy()
    segment.close()
    return copy


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_a_chunk_comes_back_opaque_and_each_frame_with_its_time(
    engine: TorchPaintEngine, make_segments: MakeSegments, steps: int
) -> None:
    segments = make_segments(WIDTH, HEIGHT)
    noise(segments)
    opening = open_message(segments, prompt="noir", steps=steps)
    frames = [give(opening, slot, slot) for slot in range(4)]
    sent = run_loop(engine, [opening, *outputs(opening), *frames], lambda s: painted(s, 4) or failed(s))
    shown = [message for message in sent if isinstance(message, Give)]
    assert [(m.sequence, m.pts_ns) for m in shown] == [(f.sequence, f.pts_ns) for f in frames]
    for message in shown:
        pixels = picture(segments, message.slot)
        assert (pixels[..., 3] == 255).all()
        assert pixels[..., :3].std() > 0


def test_the_way_over_a_device_gives_the_same_pictures(
    engine: TorchPaintEngine, make_segments: MakeSegments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its queues, from slots to slots; the host stands in for the device."""

    def shown(painter: TorchPaintEngine) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
        segments = make_segments(WIDTH, HEIGHT)
        noise(segments)
        opening = open_message(segments, prompt="noir", steadiness=0.0)
        frames = [give(opening, slot, slot) for slot in range(4)]
        sent = run_loop(painter, [opening, *outputs(opening), *frames], lambda s: painted(s, 4) or failed(s))
        return [picture(segments, message.slot) for message in sent if isinstance(message, Give)]

    wanted = shown(engine)
    inner = engine._engine
    monkeypatch.setattr(model_engine, "_lanes", lambda engine, threads: DeviceLanes(engine.device))
    monkeypatch.setattr(model_engine, "frames_into", lambda _, lanes, *size: DeviceFrames(lanes.uploader))
    over = TorchPaintEngine(inner, 1)
    got = shown(over)
    over.close()
    assert len(got) == len(wanted) == 4
    assert all(np.array_equal(a, b) for a, b in zip(got, wanted, strict=True))


def failed(sent: list[Message]) -> bool:
    return any(isinstance(message, Failed) for message in sent)


def test_new_settings_reach_the_picture(engine: TorchPaintEngine, make_segments: MakeSegments) -> None:
    segments = make_segments(WIDTH, HEIGHT)
    noise(segments)
    opening = open_message(segments, prompt="noir")
    newer = Update(session="camera", rev=9, settings=opening.settings)
    frames = [give(opening, slot, slot) for slot in range(4)]
    sent = run_loop(engine, [opening, *outputs(opening), newer, *frames], lambda s: isinstance(s[-1], Done))
    assert isinstance(sent[-1], Done)
    assert sent[-1].rev == 9


def test_a_size_that_does_not_fit_fails_the_session(
    engine: TorchPaintEngine, make_segments: MakeSegments
) -> None:
    sent = run_loop(engine, [open_message(make_segments(100, 96))], failed)
    (failure,) = [message for message in sent if isinstance(message, Failed)]
    assert "100x96" in failure.message
