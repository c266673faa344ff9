"""Ranks that gather anew with blocks that they have: the best such split, or none."""

from __future__ import annotations

import itertools
import random

import pytest

from limner.engine.block_joins import split_without_loads
from limner.engine.blocks import Blocks, RankCost, counts_of, split_of

LIKE = RankCost(1.0)


def test_who_joins_takes_from_its_neighbours() -> None:
    assert split_without_loads(30, [(0, 30), None], [LIKE] * 2) == ((0, 15), (15, 30))
    behind = split_without_loads(30, [(0, 15), (15, 30), None], [LIKE] * 3)
    assert behind is not None
    assert counts_of(behind)[0] == 15
    between = split_without_loads(30, [(0, 15), None, (15, 30)], [LIKE] * 3)
    assert between is not None
    assert counts_of(between) == [10, 10, 10]


def test_a_fast_one_takes_more_and_none_more_than_its_memory_holds() -> None:
    split = split_without_loads(30, [(0, 30), None], [RankCost(2.0), RankCost(1.0)])
    assert split is not None
    assert counts_of(split) == [10, 20]
    split = split_without_loads(30, [(0, 30), None], [RankCost(2.0), RankCost(1.0, most_blocks=4)])
    assert split is not None
    assert counts_of(split) == [26, 4]


def test_where_a_block_is_with_nobody_there_is_none() -> None:
    assert split_without_loads(6, [(0, 2), (4, 6)], [LIKE] * 2) is None
    assert split_without_loads(6, [(0, 6), None], [RankCost(1.0, most_blocks=2)] * 2) is None
    assert split_without_loads(6, [(0, 2), (2, 6), (0, 0)], [LIKE] * 3) == ((0, 2), (2, 6), (6, 6))


@pytest.mark.parametrize("seed", range(20))
def test_there_is_no_better_one(seed: int) -> None:
    chance, layers = random.Random(seed), 7
    costs = [RankCost(chance.uniform(1, 4), most_blocks=chance.randint(2, 7)) for _ in range(3)]
    cut = chance.randint(0, layers)
    held: list[Blocks | None] = [(0, cut), (cut, layers)]
    held.insert(chance.randint(0, 2), None)

    def period_ms(counts: list[int]) -> float:
        return max(cost.block_ms * count for cost, count in zip(costs, counts, strict=True))

    allowed = [
        list(counts)
        for counts in itertools.product(range(layers + 1), repeat=3)
        if sum(counts) == layers
        and all(
            end - first <= cost.most_blocks
            and (first == end or has is None or (has[0] <= first and end <= has[1]))
            for (first, end), has, cost in zip(split_of(list(counts)), held, costs, strict=True)
        )
    ]
    found = split_without_loads(layers, held, costs)
    assert (found is None) == (not allowed)
    if found is not None:
        assert counts_of(found) in allowed
        assert period_ms(counts_of(found)) == min(map(period_ms, allowed))
