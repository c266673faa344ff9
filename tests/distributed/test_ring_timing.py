"""Times of a rank whose device is behind its host, as a GPU is; marks that the test lets pass."""

from __future__ import annotations

from typing import Any, cast

import pytest

from limner.engine.clock import Span
from limner.engine.pipeline import timing
from limner.engine.pipeline.timing import STUCK_S, StageTimes


class Event:
    """A CUDA event; whoever waits for one that the device has not come to, waits for ever."""

    def __init__(self, at_ms: float) -> None:
        self._at_ms = at_ms
        self.is_past = False

    def query(self) -> bool:
        return self.is_past

    def synchronize(self) -> None:
        assert self.is_past, "the host waits for the device"

    def elapsed_time(self, other: Event) -> float:
        return other._at_ms - self._at_ms


@pytest.fixture(autouse=True)
def _our_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limner.engine.clock.torch.cuda.Event", Event)


def span(start_ms: float, end_ms: float, *, begun: bool = True, over: bool = True) -> Span:
    start, end = Event(start_ms), Event(end_ms)
    start.is_past, end.is_past = begun, over
    return Span(cast(Any, start), cast(Any, end))


def passes(mark: Any) -> None:
    mark.is_past = True


def test_only_what_the_device_has_done_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "REPORT_S", 0.0)
    times, late = StageTimes(1), span(10, 30, over=False)
    times.computed(span(0, 10))
    times.computed(late)
    report = times.due([0])
    assert report is not None
    assert (report.forwards, report.compute_ms) == (1, 10)
    passes(late.end)
    report = times.due([0])
    assert report is not None
    assert (report.forwards, report.compute_ms) == (1, 20)


def test_a_device_that_is_at_one_thing_for_too_long_is_stuck() -> None:
    times, hung = StageTimes(1), span(0, 1, over=False)
    times.computed(hung)
    assert not times.is_stuck(0.0)
    assert not times.is_stuck(0.9 * STUCK_S)
    assert times.is_stuck(1.1 * STUCK_S)
    passes(hung.end)
    assert not times.is_stuck(1.2 * STUCK_S)


def test_who_waits_for_the_data_of_others_is_not_stuck() -> None:
    times, waiting = StageTimes(1), span(0, 1, begun=False, over=False)
    times.computed(waiting)
    assert not any(times.is_stuck(now_s) for now_s in (0.0, 1.0, 100.0))
    passes(waiting.start)
    assert not times.is_stuck(100.1)


def test_one_forward_after_the_other_is_no_hang() -> None:
    times = StageTimes(1)
    for number in range(20):
        one = span(0, 1, over=False)
        times.computed(one)
        assert not times.is_stuck(0.9 * STUCK_S * number)
        passes(one.end)
        times.due([0])
