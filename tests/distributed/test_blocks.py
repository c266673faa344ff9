"""Splits of blocks over ranks: exact, within every card's memory, with a clear word where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.engine.blocks import (
    RankCost,
    best_split,
    chunks_in_flight,
    counts_of,
    period_ms,
    split_of,
    stages_ms,
)

COSTS = st.builds(
    RankCost,
    block_ms=st.floats(0.1, 10),
    fixed_ms=st.one_of(st.just(0.0), st.floats(0, 60)),
    most_blocks=st.integers(0, 12),
)


def every_count(layers: int, ranks: int) -> Iterator[list[int]]:
    if ranks == 1:
        yield [layers]
        return
    for first in range(layers + 1):
        for rest in every_count(layers - first, ranks - 1):
            yield [first, *rest]


@given(layers=st.integers(1, 10), costs=st.lists(COSTS, min_size=1, max_size=4), transfer=st.floats(0, 5))
def test_no_split_that_fits_is_faster(layers: int, costs: list[RankCost], transfer: float) -> None:
    fitting = [
        split_of(counts)
        for counts in every_count(layers, len(costs))
        if all(count <= cost.most_blocks for count, cost in zip(counts, costs, strict=True))
    ]
    if not fitting:
        with pytest.raises(ValueError, match="blocks, and the memory"):
            best_split(layers, costs, transfer)
        return
    best = best_split(layers, costs, transfer)
    assert best in fitting
    least_ms = min(period_ms(split, costs, transfer) for split in fitting)
    assert period_ms(best, costs, transfer) == pytest.approx(least_ms)


@given(layers=st.integers(1, 60), costs=st.lists(COSTS, min_size=1, max_size=8))
def test_blocks_are_neighbours_and_all_there(layers: int, costs: list[RankCost]) -> None:
    if sum(cost.most_blocks for cost in costs) < layers:
        return
    split = best_split(layers, costs)
    assert len(split) == len(costs)
    assert split[0][0] == 0
    assert split[-1][1] == layers
    assert all(left[1] == right[0] for left, right in pairwise(split))
    assert all(count <= cost.most_blocks for count, cost in zip(counts_of(split), costs, strict=True))


def test_a_card_of_twice_the_speed_gets_twice_the_blocks() -> None:
    assert counts_of(best_split(30, [RankCost(1.0), RankCost(2.0)])) == [20, 10]


def test_the_vae_counts_as_blocks() -> None:
    assert counts_of(best_split(30, [RankCost(1.0, fixed_ms=10), RankCost(1.0)])) == [10, 20]


def test_a_rank_that_the_vae_fills_gets_none() -> None:
    assert counts_of(best_split(30, [RankCost(1.0), RankCost(1.0, fixed_ms=40), RankCost(1.0)])) == [
        15,
        0,
        15,
    ]


def test_memory_goes_before_speed() -> None:
    assert counts_of(best_split(40, [RankCost(1.0, most_blocks=12), RankCost(4.0)])) == [12, 28]


def test_the_first_stays_alone_where_a_transfer_costs_more_than_it_gains() -> None:
    assert counts_of(best_split(4, [RankCost(1.0), RankCost(1.0)], transfer_ms=3.0)) == [4, 0]


def test_the_first_rank_sends_even_without_blocks() -> None:
    costs = [RankCost(1.0, fixed_ms=5), RankCost(1.0)]
    assert stages_ms(split_of([0, 4]), costs, 0.5) == [5.5, 4.5]
    assert stages_ms(split_of([4, 0]), costs, 0.5) == [9.0, 0.0]


def test_too_little_memory_names_the_blocks_of_each_rank() -> None:
    with pytest.raises(ValueError, match=r"40 blocks.*holds 30 \(10, 20\)"):
        best_split(40, [RankCost(1.0, most_blocks=10), RankCost(1.0, most_blocks=20)])


@pytest.mark.parametrize(
    "wrong", [{"block_ms": 0.0}, {"block_ms": 1.0, "fixed_ms": -1.0}, {"block_ms": 1.0, "most_blocks": -1}]
)
def test_wrong_costs_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=list(wrong)[-1]):
        RankCost(**wrong)  # type: ignore[arg-type]


def test_more_chunks_are_in_flight_where_the_way_is_longer() -> None:
    even = [RankCost(1.0)] * 4
    assert chunks_in_flight(split_of([5] * 4), even) == 7
    assert chunks_in_flight(split_of([5] * 4), even, hop_ms=5.0) == 11
    assert chunks_in_flight(split_of([20, 0, 0, 0]), even, hop_ms=5.0) == 4
    assert chunks_in_flight(split_of([10, 2, 2, 2]), even) == 5
