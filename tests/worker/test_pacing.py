"""Which frames are painted under overload: the newest always, the others evenly spaced."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from limner.worker.pacing import pick_evenly, thin_out

TIMES = st.lists(st.integers(0, 10**12), min_size=1, max_size=20, unique=True).map(sorted)


@given(TIMES, st.integers(1, 8), st.one_of(st.none(), st.integers(0, 10**12)))
def test_picks_are_in_order_and_end_with_the_newest(
    pts_ns: list[int], count: int, last_ns: int | None
) -> None:
    picked = pick_evenly(pts_ns, count, last_ns=last_ns)
    assert len(picked) == min(count, len(pts_ns))
    assert picked == sorted(set(picked))
    assert picked[-1] == len(pts_ns) - 1


@given(TIMES.filter(lambda times: len(times) > 1), st.one_of(st.none(), st.integers(0, 10**12)))
def test_the_newest_is_never_the_one_that_is_dropped(pts_ns: list[int], last_ns: int | None) -> None:
    assert 0 <= thin_out(pts_ns, last_ns=last_ns) < len(pts_ns) - 1


def test_every_second_of_an_even_stream_is_picked() -> None:
    period = 33_333_333
    pts_ns = [period * n for n in range(1, 9)]
    assert pick_evenly(pts_ns, 4, last_ns=0) == [1, 3, 5, 7]
    assert pick_evenly(pts_ns, 2, last_ns=0) == [3, 7]


def test_the_frame_with_the_nearest_neighbours_goes() -> None:
    assert thin_out([10, 20, 21, 30], last_ns=0) == 2
    assert thin_out([1, 10, 20, 30], last_ns=0) == 0


def test_an_overloaded_stream_stays_even() -> None:
    """Six slots, a new frame each period, a chunk of four every nine periods: gaps stay near 9/4."""
    waiting: list[int] = []
    painted: list[int] = []
    for frame in range(1, 901):
        waiting.append(frame)
        if len(waiting) > 6:
            waiting.pop(thin_out(waiting, last_ns=painted[-1] if painted else None))
        if frame % 9 == 0:
            chosen = pick_evenly(waiting, 4, last_ns=painted[-1] if painted else None)
            painted += [waiting[i] for i in chosen]
            waiting = []
    gaps = [after - before for before, after in pairwise(painted)]
    assert max(gaps) <= 4
    assert painted[-1] == 900
