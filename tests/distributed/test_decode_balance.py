"""Decoding goes to where there is time for it, and does not go to and fro. Times are made up; no ranks."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field

import pytest
import torch

from limner.engine.blocks import RankCost, counts_of, stages_ms
from limner.engine.clock import StageClock
from limner.engine.decode_balance import FEW, LASTING_S, SETTLE_S, Look, Placing, begin, place
from limner.engine.pipeline.commands import Coded, Times
from limner.engine.pipeline.timing import StageTimes, WorkClock
from limner.engine.pipeline.watch_places import look_at
from limner.worker.crew.deciding import Deciding
from limner.worker.crew.formation import Formation, RankProcess
from limner.worker.crew.messages import Hello

LAYERS, REPORT_S = 16, 0.25


@dataclass
class Machine:
    """Ranks of set speeds."""

    block_ms: list[float]
    encode_ms: float
    decode_ms: float
    """On rank 0."""
    steps: float = 1.0
    noise: float = 0.0
    chance: random.Random = field(default_factory=lambda: random.Random(3))

    def look(self, now_s: float, decodes: int) -> Look:
        noisy = [ms * self.chance.lognormvariate(0, self.noise) for ms in self.block_ms]
        return Look(
            now_s=now_s,
            blocks_ms=tuple(noisy),
            encode_ms=self.encode_ms,
            decode_ms=self.decode_ms * noisy[decodes] / self.block_ms[0],
            steps=self.steps,
        )

    def run(self, state: Placing, seconds: float, *, from_s: float = 0.0) -> tuple[Placing, list[float]]:
        """Look for so long; the state, and when decoding moved."""
        moved, costs = [], [RankCost(1.0)] * len(self.block_ms)
        for number in range(int(seconds / REPORT_S)):
            now_s, before = from_s + number * REPORT_S, state.decodes
            state = place(state, self.look(now_s, state.decodes), costs, layers=LAYERS)
            if state.decodes != before:
                moved.append(now_s)
        return state, moved


def test_a_heavy_autoencoder_is_shared_out() -> None:
    """One rank encodes, the other decodes: 20 and 20 of 40 ms, where one alone would take 30."""
    state, moved = Machine([0.6, 0.6], encode_ms=10.0, decode_ms=20.0).run(begin(0), 20.0)
    assert state.decodes == 1
    assert len(moved) == 1
    assert LASTING_S <= moved[0] <= LASTING_S + (FEW + 1) * REPORT_S
    assert state.split is not None
    costs = [RankCost(0.6, 10.0), RankCost(0.6, 20.0)]
    assert max(stages_ms(state.split, costs)) == pytest.approx(20.0, abs=0.7)


def test_where_it_gains_little_it_stays() -> None:
    """Blocks even out what little the decoder takes, wherever it is."""
    state, moved = Machine([4.0, 4.0], encode_ms=2.0, decode_ms=4.0).run(begin(0), 20.0)
    assert (state.decodes, moved) == (0, [])
    assert Machine([4.0, 4.0], encode_ms=2.0, decode_ms=4.0).run(begin(1), 20.0)[1] == []


def test_a_much_slower_card_does_not_get_it() -> None:
    assert Machine([0.6, 6.0], encode_ms=10.0, decode_ms=20.0).run(begin(0), 20.0)[1] == []


def test_a_card_that_becomes_slow_gives_it_back() -> None:
    fast = Machine([0.6, 0.6], encode_ms=10.0, decode_ms=20.0)
    state, _ = fast.run(begin(0), 20.0)
    assert state.decodes == 1
    slow = Machine([0.6, 2.4], encode_ms=10.0, decode_ms=20.0)
    state, moved = slow.run(state, 30.0, from_s=20.0)
    assert state.decodes == 0
    assert len(moved) == 1


def test_noise_moves_it_no_more_than_once() -> None:
    for seed in range(8):
        near = Machine([1.0, 1.0], 8.0, 9.0, noise=0.1, chance=random.Random(seed))
        assert len(near.run(begin(0), 120.0)[1]) <= 1
        assert len(near.run(begin(1), 120.0)[1]) <= 1


def test_nothing_moves_before_it_has_settled() -> None:
    machine = Machine([0.6, 0.6], encode_ms=10.0, decode_ms=20.0)
    state, _ = machine.run(begin(0), 6.0)
    assert state.decodes == 1
    turned = Machine([0.6, 60.0], encode_ms=10.0, decode_ms=20.0)
    _, moved = turned.run(state, 30.0, from_s=6.0)
    assert moved[0] - state.moved_s >= SETTLE_S


def test_who_cannot_load_it_is_not_asked_again() -> None:
    state, costs = begin(0), [RankCost(0.6)] * 2
    machine = Machine([0.6, 0.6], encode_ms=10.0, decode_ms=20.0)
    for number in range(60):
        state = place(state, machine.look(number * REPORT_S, 0), costs, layers=LAYERS, unable={1})
    assert state.decodes == 0


def test_who_holds_no_block_is_not_taken_for_the_fastest() -> None:
    """What is guessed of it, 1 ms, is nothing beside what the others take."""
    state = begin(0)
    for number in range(60):
        look = Look(now_s=number * REPORT_S, blocks_ms=(40.0, 0.0), encode_ms=1.0, decode_ms=2.0, steps=1.0)
        state = place(state, look, [RankCost(40.0), RankCost(1.0)], layers=1)
    assert state.decodes == 0


# ---- from the ranks' reports


def times_of(rank: int, held: int, work_ms: float, coded: tuple[Coded, ...] = ()) -> Times:
    return Times(
        rank=rank,
        held=tuple(range(held)),
        forwards=4,
        compute_ms=3 * work_ms,
        work_ms=work_ms,
        busy_ms=12 * work_ms,
        waiting_ms=0.0,
        spent_ms=250.0,
        coded=coded,
    )


def test_a_look_is_what_several_reports_say_together() -> None:
    """One alone may have no chunk in it. What ran beside one another is not counted twice: `work_ms` is."""
    encode = Coded(what="encode", chunks=2, ms=90.0, work_ms=50.0, busy_ms=180.0)
    decode = Coded(what="decode", chunks=2, ms=125.0, work_ms=60.0, busy_ms=250.0)
    reports = [
        (times_of(0, 4, 10.0, (encode,)), times_of(1, 2, 4.0)),
        (times_of(0, 4, 14.0), times_of(1, 2, 4.0, (decode,))),
    ]
    look = look_at(1.0, reports)
    assert look is not None
    assert look.blocks_ms == pytest.approx((3.0, 2.0))
    assert (look.encode_ms, look.decode_ms, look.steps) == pytest.approx((50.0, 60.0, 4.0))
    assert look_at(1.0, reports[:1]) is None


@pytest.mark.parametrize("is_alone", [True, False])
def test_work_is_what_the_thread_took_whoever_else_ran(is_alone: bool) -> None:
    device, times = torch.device("cpu"), StageTimes(0)
    over = threading.Event()
    other = threading.Thread(target=lambda: [None for _ in iter(over.is_set, True)])
    if not is_alone:
        other.start()
    clock, work = StageClock(device), WorkClock(device)
    while (worked_ms := work.ms()) is not None and worked_ms < 20:
        pass
    times.computed(clock.lap(), work)
    over.set()
    time.sleep(REPORT_S)
    report = times.due([0])
    assert report is not None
    assert 20 <= report.work_ms < 30, report
    if not is_alone:
        other.join()
        assert report.compute_ms > 1.3 * report.work_ms, "both ran: it took longer than its work"


def test_without_a_chunk_there_is_nothing_to_say() -> None:
    assert look_at(1.0, [(times_of(0, 4, 100.0), times_of(1, 4, 100.0))]) is None


# ---- from generation to generation


def formation_of(*names: bytes) -> Formation:
    hello = Hello(seat=0, machine="", pid=1, device="cpu", device_name="CPU")
    return Formation(1, [RankProcess(name, hello) for name in names], lambda *_: None)


def test_decoding_stays_with_the_process_that_did_it() -> None:
    deciding, three = Deciding("auto"), formation_of(b"a", b"b")
    assert (deciding.rank_in(three), deciding.is_free) == (0, True)
    deciding.was_on(three, 2)
    assert deciding.rank_in(formation_of(b"b", b"c")) == 1
    assert deciding.rank_in(formation_of(b"a")) == 0, "it is gone"
    deciding.was_on(three, 0)
    assert deciding.rank_in(three) == 0


def test_a_place_that_is_said_is_kept() -> None:
    for wanted, rank in (("first", 0), ("last", 2)):
        deciding = Deciding(wanted)  # type: ignore[arg-type]
        deciding.was_on(formation_of(b"a", b"b"), 1)
        assert (deciding.rank_in(formation_of(b"a", b"b")), deciding.is_free) == (rank, False)
    assert Deciding("last").rank_in(formation_of()) == 0


def test_the_split_is_that_of_the_new_place() -> None:
    state, _ = Machine([1.0, 1.0], encode_ms=0.0, decode_ms=14.0).run(begin(0), 20.0)
    assert state.decodes == 0, "alike ranks without anything to encode: it is the same everywhere"
    state, _ = Machine([2.0, 1.0], encode_ms=10.0, decode_ms=14.0).run(begin(0), 20.0)
    assert state.decodes == 1 and state.split is not None
    assert sum(counts_of(state.split)) == LAYERS
