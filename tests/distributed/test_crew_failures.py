"""Ranks that die, stop, hang or fail are noticed, and the rest goes on. Real processes, dummy work."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest
from tests.distributed import crew_dummy as dummy
from tests.distributed.crew_room import Room, room

from limner.worker.crew.watch import WARM_REPORTS

NOTICED_S = 2.0


def reports(crew: Room) -> list[tuple[int, bytes]]:
    heard: list[tuple[int, bytes]] = []

    def all_heard() -> bool:
        heard.extend((rank, said) for rank, said in crew.formation.heard() if said)
        return len(heard) >= crew.formation.size - 1

    crew.until(all_heard, "a report of each rank")
    return sorted(heard)


def test_a_number_goes_round_three_processes_many_times() -> None:
    with room(2) as crew:
        crew.gather()
        assert reports(crew) == [(1, b"served 1"), (2, b"served 1")]
        assert [crew.goes_round() for _ in range(50)] == [2.0] * 50
        assert crew.formation.lost() == frozenset()


def die(crew: Room) -> None:
    os.kill(crew.pid(1), signal.SIGKILL)


def stop(crew: Room) -> None:
    os.kill(crew.pid(1), signal.SIGSTOP)


def hang(crew: Room) -> None:
    # Rank 2 waits for what rank 1 does not send: it must not be taken for the one that hangs.
    crew.formation.tell(1, dummy.HANG)
    crew.formation.tell(2, dummy.WORK)


def fail(crew: Room) -> None:
    crew.formation.tell(1, dummy.FAULT)


@pytest.mark.parametrize(
    ("breaks", "why"),
    [
        (die, "was killed (SIGKILL"),
        (stop, "said nothing for"),
        (hang, "hangs"),
        (fail, "told to fail"),
    ],
)
def test_a_broken_rank_is_noticed_the_rest_goes_on_and_it_returns(
    breaks: Callable[[Room], None], why: str
) -> None:
    with room(2) as crew:
        crew.gather()
        reports(crew)
        for _ in range(WARM_REPORTS):
            crew.tell_all(dummy.SPIN)
        assert crew.goes_round() == 2.0
        first, other = crew.pid(1), crew.pid(2)
        began_s = time.monotonic()
        breaks(crew)
        crew.until(crew.formation.lost, "the loss")
        # The machine of the tests is shared: what it takes on a free one is in the benchmark of failures.
        assert time.monotonic() - began_s < 2 * NOTICED_S
        assert crew.formation.lost() == {1}
        assert why in crew.formation.why
        survivors = crew.gather()
        assert other in [rank.hello.pid for rank in survivors.ranks]
        assert crew.goes_round() == survivors.size - 1
        # The survivor is the same process, and what it had loaded it still has.
        rank = next(n for n, one in enumerate(survivors.ranks, 1) if one.hello.pid == other)
        assert (rank, b"served 2") in reports(crew)
        crew.crew.disband()
        assert crew.crew.wait_for(2, 60.0) == 2
        crew.gather()
        assert crew.goes_round() == 2.0
        if breaks is not fail:
            assert first not in [rank.hello.pid for rank in crew.formation.ranks]


def test_a_worker_that_was_away_gives_nobody_up() -> None:
    with room(1) as crew:
        crew.gather()
        assert crew.goes_round() == 1.0
        with crew.crew._lock:  # The crew's thread sees nothing meanwhile.
            time.sleep(1.9)
        time.sleep(0.5)
        assert crew.goes_round() == 1.0
        assert crew.formation.lost() == frozenset()


def test_who_waits_for_data_when_a_generation_ends_is_not_to_blame() -> None:
    with room(2) as crew:
        crew.gather()
        pids = [crew.pid(1), crew.pid(2)]
        for _ in range(3):
            # Rank 2 waits for what rank 1 does not send: its connection breaks in the middle of that.
            crew.formation.tell(2, dummy.WORK)
            crew.until(lambda: waits(crew, 2), "the waiting")
            crew.crew.disband()
            assert crew.crew.wait_for(2, 60.0) == 2
            crew.gather()
            assert [crew.pid(1), crew.pid(2)] == pids
        assert crew.goes_round() == 2.0


def test_who_fails_whenever_it_is_taken_in_no_longer_interrupts_the_others() -> None:
    with room(2) as crew:
        for _ in range(2):
            assert crew.crew.wait_for(2, 60.0) == 2
            crew.gather()
            assert crew.goes_round() == 2.0
            first = crew.pid(1)
            crew.formation.tell(1, dummy.FAULT)
            crew.until(crew.formation.lost, "the failure")
            crew.crew.disband()
        crew.until(lambda: both_wait_without(crew, first), "a fresh process")
        assert crew.crew.wait_for(2, 1.0) == 1
        assert crew.gather().size == 2


def both_wait_without(crew: Room, pid: int) -> bool:
    """Two processes are there that could be gathered, and none of them is this one."""
    there = crew.crew.waiting()
    beats = [crew.crew.beat_of(one.peer) for one in there]
    pids = [one.hello.pid for one in there]
    return len(there) == 2 and pid not in pids and all(beat is not None and beat.waits for beat in beats)


def waits(crew: Room, rank: int) -> bool:
    """A rank has not reported for longer than it ever does on its own, and nothing is held against it."""
    heard: list[int] = []
    end_s = time.monotonic() + 0.5
    while time.monotonic() < end_s:
        heard += [who for who, _ in crew.formation.heard()]
        time.sleep(0.01)
    return rank not in heard
