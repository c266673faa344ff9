"""When blocks move: soon where it helps, never to and fro. Times are simulated."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.distributed.test_blocks import every_count

from limner.engine.block_balance import Balance, Report, balance, begin
from limner.engine.blocks import (
    NEARLY,
    Move,
    RankCost,
    Split,
    best_split,
    counts_of,
    moves,
    period_ms,
    rebalanced,
    split_of,
)

Truth = Callable[[float], Sequence[RankCost]]
"""What the ranks truly cost at a moment, s."""
SPEEDS = st.lists(st.floats(0.3, 3.0), min_size=2, max_size=8)


class Ranks:
    """Reports four times a second, with noise; does what the balance says after `moving_s`."""

    def __init__(self, start: Split, truth: Truth, *, noise: float = 0.05, seed: int = 0) -> None:
        guess = [RankCost(1.0, most_blocks=cost.most_blocks) for cost in truth(0.0)]
        self.state: Balance = begin(start, guess)
        self.truth, self.noise, self.random = truth, noise, random.Random(seed)
        self.now_s = 0.0
        self.split, self.moved = start, 0

    def run(self, until_s: float) -> None:
        while self.now_s < until_s:
            self.now_s += 0.25
            costs = self.truth(self.now_s)
            counts = counts_of(self.split)
            report = Report(
                now_s=self.now_s,
                split=self.split,
                blocks_ms=tuple(
                    self._about(n * cost.block_ms) for n, cost in zip(counts, costs, strict=True)
                ),
                fixed_ms=tuple(self._about(cost.fixed_ms) for cost in costs),
            )
            self.state = balance(self.state, report)
            # A move is done a report later.
            self.moved += self.split != self.state.split
            self.split = self.state.split

    def _about(self, ms: float) -> float:
        return ms * self.random.lognormvariate(0, self.noise)

    def of_best(self) -> float:
        """Frame rate of the split of now, of the best there is."""
        costs = self.truth(self.now_s)
        best = best_split(self.split[-1][1], costs)
        return period_ms(best, costs) / period_ms(self.split, costs)


def costs_of(speeds: Sequence[float], vae_ms: float = 0.0) -> list[RankCost]:
    return [RankCost(1 / speed, fixed_ms=vae_ms if rank == 0 else 0.0) for rank, speed in enumerate(speeds)]


@settings(deadline=None, derandomize=True)
@given(speeds=SPEEDS, vae=st.floats(0, 10), data=st.data(), seed=st.integers(0, 99))
def test_any_bad_start_is_mended_within_five_seconds(
    speeds: list[float], vae: float, data: st.DataObject, seed: int
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, 30), min_size=len(speeds) - 1, max_size=len(speeds) - 1)))
    start = tuple(zip([0, *cuts], [*cuts, 30], strict=True))
    costs = costs_of(speeds, vae)
    # Nobody knows how fast a rank is that never held a block: it begins with one.
    if 0 in counts_of(start):
        start = split_of([30 - len(speeds) + 1] + [1] * (len(speeds) - 1))
    ranks = Ranks(start, lambda _: costs, seed=seed, noise=0.03)
    ranks.run(5.0)
    assert ranks.of_best() >= 0.93


def test_noise_moves_nothing_to_and_fro() -> None:
    moved = []
    for seed in range(24):
        chosen = random.Random(seed)
        costs = costs_of([chosen.uniform(0.3, 3.0) for _ in range(chosen.randint(2, 8))])
        ranks = Ranks(best_split(30, costs), lambda _, costs=costs: costs, noise=0.1, seed=seed)  # type: ignore[misc]
        ranks.run(120.0)
        moved.append(ranks.moved)
    assert max(moved) <= 4, "in two minutes"
    assert sum(moved) <= len(moved)


@pytest.mark.parametrize("ranks_number", [2, 3, 4, 8])
def test_a_game_on_one_card_takes_its_blocks_and_gives_them_back(ranks_number: int) -> None:
    def truth(now_s: float) -> list[RankCost]:
        slow = 3.0 if 10 <= now_s < 25 else 1.0
        return [RankCost(1.0)] * (ranks_number - 1) + [RankCost(slow)]

    ranks = Ranks(best_split(40, truth(0.0)), truth)
    ranks.run(10.0)
    assert ranks.moved == 0
    ranks.run(15.0)
    assert ranks.of_best() >= 0.93
    ranks.run(25.0)
    assert ranks.moved <= 2
    ranks.run(30.0)
    assert ranks.of_best() >= 0.93
    ranks.run(120.0)
    assert ranks.moved <= 4


def test_a_rank_without_blocks_is_judged_by_its_other_work() -> None:
    def truth(now_s: float) -> list[RankCost]:
        slow = 4.0 if now_s < 8 else 1.0
        return [RankCost(1.0), RankCost(slow, fixed_ms=8 * slow)]

    ranks = Ranks(split_of([15, 15]), truth)
    ranks.run(8.0)
    assert counts_of(ranks.split) == [30, 0]
    ranks.run(13.0)
    assert ranks.of_best() >= 0.93


def test_a_hiccup_moves_nothing() -> None:
    def truth(now_s: float) -> list[RankCost]:
        return [RankCost(1.0), RankCost(5.0 if 5 <= now_s < 5.5 else 1.0)]

    ranks = Ranks(split_of([15, 15]), truth)
    ranks.run(20.0)
    assert ranks.moved == 0


# ---- which split, when it moves


def test_a_little_gain_moves_nothing() -> None:
    assert rebalanced(split_of([15, 15]), [RankCost(1.0), RankCost(1.04)]) is None
    assert rebalanced(split_of([15, 15]), [RankCost(1.0), RankCost(1.3)]) is not None


def test_memory_that_shrank_moves_blocks_whatever_it_costs() -> None:
    costs = [RankCost(1.0, most_blocks=5), RankCost(9.0)]
    assert rebalanced(split_of([10, 20]), costs) == split_of([5, 25])


@settings(deadline=None)
@given(
    speeds=st.lists(st.floats(0.3, 3.0), min_size=2, max_size=3),
    layers=st.integers(2, 9),
    transfer=st.sampled_from([0.0, 0.2]),
    data=st.data(),
)
def test_no_other_good_split_moves_fewer_blocks(
    speeds: list[float], layers: int, transfer: float, data: st.DataObject
) -> None:
    costs = costs_of(speeds, 0.5)
    every = [split_of(counts) for counts in every_count(layers, len(costs))]
    now = data.draw(st.sampled_from(every))
    then = rebalanced(now, costs, transfer)
    if then is None:
        return
    best_ms = min(period_ms(split, costs, transfer) for split in every)
    assert period_ms(then, costs, transfer) <= best_ms * (1 + NEARLY) + 1e-9
    if counts_of(best_split(layers, costs, transfer))[0] < layers:
        good = [
            s
            for s in every
            if layers - counts_of(s)[0] > 0 and period_ms(s, costs, transfer) <= best_ms * (1 + NEARLY) - 1e-9
        ]
        assert moved(now, then) <= min((moved(now, split) for split in good), default=layers)


def moved(now: Split, then: Split) -> int:
    return sum(end - first for move in moves(now, then) for first, end in [move.blocks])


def test_what_moves_is_named_in_runs() -> None:
    found = moves(split_of([10, 10, 10]), split_of([14, 12, 4]))
    assert found == [Move((10, 14), 1, 0), Move((20, 26), 2, 1)]
    assert moves(split_of([3, 3]), split_of([3, 3])) == []
    assert moves(split_of([2, 2, 2]), split_of([6, 0, 0])) == [Move((2, 4), 1, 0), Move((4, 6), 2, 0)]
