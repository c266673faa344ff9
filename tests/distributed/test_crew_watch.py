"""Who is given up, decided without processes: signs of life go in, names come out."""

from __future__ import annotations

from limner.worker.crew.clocks import ClockOffset
from limner.worker.crew.falls import FORGIVEN_S, WAITS_S, Falls
from limner.worker.crew.messages import Beat
from limner.worker.crew.watch import (
    FIRST_REPORTS,
    HANG_S,
    LOADING_SILENCE_S,
    SILENCE_S,
    WARM_HANG_S,
    WARM_REPORTS,
    Watch,
)

A, B = b"a", b"b"


def beat(reports: int, silent_s: float = 0.0, generation: int = 1) -> Beat:
    return Beat(clock_ns=1, generation=generation, reports=reports, silent_ms=int(silent_s * 1000))


def both(now_s: float, serving: tuple[bytes, ...] = (A, B)) -> Watch:
    watch = Watch(serving=serving)
    for who in (B, A):  # They came in another order than their ranks'.
        watch.came(who, now_s)
    watch.look(now_s)
    return watch


def looks(watch: Watch, start_s: float, end_s: float) -> tuple[float, dict[bytes, str]]:
    """Look ten times a second; return when somebody was given up first, and who."""
    steps = int((end_s - start_s) * 10)
    for step in range(1, steps + 1):
        now_s = start_s + step / 10
        if found := watch.look(now_s):
            return now_s, {who: fault.words for who, fault in found.items()}
    return end_s, {}


def test_silence_is_a_fault_of_who_serves_and_patience_with_who_loads() -> None:
    watch = both(0.0, serving=(A,))
    when, who = looks(watch, 0.0, 5.0)
    assert set(who) == {A}
    assert SILENCE_S < when <= SILENCE_S + 0.2
    watch.went(A)
    when, who = looks(watch, when, 60.0)
    assert set(who) == {B}
    assert LOADING_SILENCE_S < when <= LOADING_SILENCE_S + 0.2


def test_who_shows_no_life_hangs_and_who_waits_for_it_does_not() -> None:
    watch = both(0.0)
    for who in (A, B):
        watch.heard(who, 0.0, beat(WARM_REPORTS))
    watch.heard(A, 0.1, beat(WARM_REPORTS, silent_s=HANG_S + 0.1))
    watch.heard(B, 0.1, beat(WARM_REPORTS))
    assert set(watch.look(0.2)) == {A}


def test_a_rank_whose_libraries_still_compile_may_take_long() -> None:
    watch = both(0.0)
    watch.heard(A, 0.1, beat(0, silent_s=WARM_HANG_S - 1))
    assert watch.look(0.2) == {}
    watch.heard(A, 0.3, beat(0, silent_s=WARM_HANG_S + 1))
    assert set(watch.look(0.4)) == {A}


def test_what_a_rank_did_in_other_generations_counts() -> None:
    watch = both(0.0)
    watch.heard(A, 0.1, beat(WARM_REPORTS))
    watch.heard(A, 0.2, beat(FIRST_REPORTS, silent_s=HANG_S + 1, generation=2))
    assert set(watch.look(0.3)) == {A}


def test_a_warm_rank_may_load_the_blocks_of_one_that_was_lost() -> None:
    watch = both(0.0)
    watch.heard(A, 0.1, beat(WARM_REPORTS))
    watch.heard(A, 0.2, beat(FIRST_REPORTS - 1, silent_s=HANG_S + 8, generation=2))
    assert watch.look(0.3) == {}


def test_who_looks_late_was_away_itself() -> None:
    watch = both(0.0)
    assert watch.look(10.0) == {}
    assert watch.look(10.1) == {}
    _, who = looks(watch, 10.1, 15.0)
    assert set(who) == {A, B}


def test_the_shortest_round_trip_tells_the_clock() -> None:
    clock = ClockOffset()
    assert clock.offset_ns == 0
    clock.answered(sent_ns=1_000, its_clock_ns=51_900, now_ns=3_000)
    clock.answered(sent_ns=10_000, its_clock_ns=60_050, now_ns=10_100)
    clock.answered(sent_ns=20_000, its_clock_ns=79_000, now_ns=29_000)
    assert clock.offset_ns == 50_000
    assert clock.uncertainty_ns == 50


def test_who_fails_again_and_again_is_left_out_for_longer_each_time() -> None:
    falls, now_s = Falls(), 100.0
    assert falls.may_join("card", now_s)
    assert falls.fell("card", now_s) == 0.0
    assert falls.may_join("card", now_s)
    waits = []
    for _ in range(5):
        waits.append(falls.fell("card", now_s))
        assert not falls.may_join("card", now_s + waits[-1] - 0.1)
        now_s += waits[-1]
        assert falls.may_join("card", now_s)
    assert waits == [*WAITS_S[1:], WAITS_S[-1]]
    assert falls.may_join("another card", now_s)


def test_a_failure_long_ago_is_forgiven() -> None:
    falls = Falls()
    assert [falls.fell("card", now_s) for now_s in (0.0, 1.0)] == [0.0, WAITS_S[1]]
    assert falls.fell("card", WAITS_S[1] + FORGIVEN_S + 2.0) == 0.0
