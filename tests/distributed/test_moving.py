"""Large blocks move one at a time, and only where it is worth the time that the ring stands still."""

from __future__ import annotations

import random

import pytest
from tests.distributed.test_ring_moves import random_split

from limner.engine.block_balance import Report, balance, begin
from limner.engine.blocks import PAYS_WITHIN_MS, RankCost, Split, hops, moves, period_ms, rebalanced
from limner.engine.pipeline.moving import moved, shifts, steps

EVEN: Split = ((0, 16), (16, 32))
SLOWED = (RankCost(block_ms=1.0), RankCost(block_ms=3.0))
BEST: Split = ((0, 24), (24, 32))


@pytest.mark.parametrize("most", [1, 2, 3, 100])
def test_steps_are_small_and_lead_to_the_same_split(most: int) -> None:
    chance = random.Random(5)
    for _ in range(300):
        size, layers = chance.randint(2, 6), chance.randint(1, 12)
        now, then = (random_split(chance, size, layers) for _ in range(2))
        at, hopped = now, 0
        for step in (step for move in shifts(now, then) for step in steps(move, most)):
            count = step.blocks[1] - step.blocks[0]
            assert 1 <= count <= most
            assert at[step.source][0] <= step.blocks[0] < step.blocks[1] <= at[step.source][1]
            at, hopped = moved(at, step), hopped + count
        assert at == then
        assert hopped == hops(now, then)


def test_a_move_that_costs_nothing_is_made_as_ever() -> None:
    assert rebalanced(EVEN, SLOWED) == BEST


def test_a_move_is_weighed_against_what_it_wins() -> None:
    # From 48 ms to 24: half of the time is won, so 15 s of 30, for 8 blocks.
    worth = PAYS_WITHIN_MS / 2 / 8
    assert rebalanced(EVEN, SLOWED, move_ms=0.1 * worth) == BEST
    assert rebalanced(EVEN, SLOWED, move_ms=3 * worth) is None


def test_of_dear_moves_fewer_are_made() -> None:
    """What goes two ranks far costs twice as much as what goes to the neighbour."""
    now: Split = ((0, 20), (20, 32), (32, 32))
    costs = [RankCost(1.0)] * 3
    cheap, dear = rebalanced(now, costs, move_ms=1.0), rebalanced(now, costs, move_ms=800.0)
    assert cheap is not None and dear is not None
    assert hops(now, dear) < hops(now, cheap)
    assert period_ms(dear, costs) < period_ms(now, costs)


def test_what_does_not_fit_its_memory_moves_at_any_price() -> None:
    costs = (RankCost(block_ms=1.0), RankCost(block_ms=1.0, most_blocks=10))
    then = rebalanced(EVEN, costs, move_ms=1e9)
    assert then == ((0, 22), (22, 32))
    assert moves(EVEN, then)


@pytest.mark.parametrize(("move_ms", "expected"), [(1.0, BEST), (1e5, EVEN)])
def test_the_balance_weighs_it_too(move_ms: float, expected: Split) -> None:
    state = begin(EVEN, [RankCost(1.0), RankCost(1.0)], move_ms=move_ms)
    for quarter in range(40):
        report = Report(
            now_s=quarter / 4, split=state.split, blocks_ms=times_of(state.split), fixed_ms=(0.0, 0.0)
        )
        state = balance(state, report)
    assert state.split == expected


def times_of(split: Split) -> tuple[float, ...]:
    return tuple(cost.block_ms * (end - first) for cost, (first, end) in zip(SLOWED, split, strict=True))
