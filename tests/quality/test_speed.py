"""The instrument of tests/benchmarks/speed.py. Not how fast a machine must be: test machines are busy."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from tests.benchmarks.speed import (
    MOST_MEMORY_BYTES,
    STAGES,
    Speed,
    broken_bars,
    footage,
    measure,
    ways,
)
from tests.engine.streaming import clip
from tests.engine.tiny import tiny_engine
from tests.support.pictures import pocket

from limner.engine.overlap import Lanes, OverlappedStream
from limner.engine.stream import Stream
from limner.engine.types import StreamSettings

CHUNKS = 14


def speed(*, steps: int = 1, overlap: bool = False, fps: float = 60, push_ms_p95: float = 90) -> Speed:
    return Speed(
        steps=steps,
        stream_batch=True,
        overlap=overlap,
        fps=fps,
        stages_ms=dict.fromkeys(STAGES, 10.0),
        push_ms_p50=80,
        push_ms_p95=push_ms_p95,
    )


@pytest.mark.parametrize(("steps", "batch"), [(1, True), (2, True), (2, False)])
@pytest.mark.parametrize("overlap", [True, False])
def test_every_way_paints_all_and_times_every_stage(steps: int, batch: bool, overlap: bool) -> None:
    chunks = footage(CHUNKS, (64, 48), 4)
    settings = StreamSettings(prompt="neon", steps=steps, stream_batch=batch)
    with Lanes(2) as lanes:
        result = measure(pocket(), chunks, settings, lanes if overlap else None)
    assert result.fps > 0
    assert 0 < result.push_ms_p50 <= result.push_ms_p95
    assert set(result.stages_ms) == set(STAGES)
    assert min(result.stages_ms.values()) > 0
    # One after another, no stage can be missing from the whole.
    if not overlap:
        assert sum(result.stages_ms.values()) <= 1.5 * result.push_ms_p50


def test_a_lane_that_tells_late_spoils_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = OverlappedStream.__init__

    def init(self: OverlappedStream, stream: Stream, lanes: Lanes, tell: Callable[[], None]) -> None:
        def late() -> None:
            time.sleep(0.02)
            tell()

        plain(self, stream, lanes, late)

    monkeypatch.setattr(OverlappedStream, "__init__", init)
    with Lanes(2) as lanes:
        result = measure(tiny_engine(), clip(CHUNKS), StreamSettings(), lanes)
    assert result.push_ms_p50 >= 20


def test_every_number_of_steps_is_measured_in_both_modes() -> None:
    assert {steps for steps, _, _ in ways()} == {1, 2, 3, 4}
    assert (2, False, True) in ways()
    assert (1, False, True) not in ways()


def test_each_bar_can_be_broken() -> None:
    good = [speed(), speed(steps=2, fps=30), speed(overlap=True, push_ms_p95=300)]
    assert broken_bars(good, MOST_MEMORY_BYTES) == []
    assert broken_bars([speed(fps=39), good[1]], 0) == ["39.0 FPS with 1 step, promised 40"]
    assert len(broken_bars([good[0], speed(steps=2, fps=24)], 0)) == 1
    assert broken_bars([speed(push_ms_p95=151), good[1]], 0) == ["a chunk takes 151 ms, promised 150"]
    assert len(broken_bars(good, MOST_MEMORY_BYTES + 1)) == 1
    assert len(broken_bars([], 0)) == 3, "what was not measured is not kept"
