"""Running figures, with the clock in the test's hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from limner.daemon.metrics import NS_PER_S, Rate, RunningPercentiles
from limner.daemon.protocol import Percentiles


def test_percentiles_of_the_last_seconds_only() -> None:
    running = RunningPercentiles(window_s=5)
    running.add(0, 1000.0)
    for number in range(100):
        running.add(6 * NS_PER_S, float(number))
    assert running.read(6 * NS_PER_S) == Percentiles(p50=50, p95=95, p99=99)
    assert running.read(20 * NS_PER_S) == Percentiles()


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_percentiles_are_ordered_values(values: list[float]) -> None:
    running = RunningPercentiles()
    for value in values:
        running.add(0, value)
    read = running.read(0)
    assert read.p50 <= read.p95 <= read.p99 <= max(values) + 0.001


def test_a_rate_is_right_from_the_start_and_falls_to_zero() -> None:
    rate = Rate(window_s=2)
    assert rate.read(0) == 0
    for frame in range(90):
        rate.add(frame * NS_PER_S // 30)
    assert 29 <= rate.read(NS_PER_S * 3) <= 31
    assert rate.read(NS_PER_S * 10) == 0
    rate.add(NS_PER_S * 20)
    assert 0 < rate.read(NS_PER_S * 20) <= 2
    for frame in range(30):
        rate.add(NS_PER_S * 20 + frame * NS_PER_S // 30)
    assert 29 <= rate.read(NS_PER_S * 21) <= 32
