"""The pipeline on real cards, simulated; `tests/benchmarks/pipeline_simulated.py` runs all of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.benchmarks.pipeline_cards import CARDS, MODELS, WAN_1_3B, WAN_14B, most_blocks
from tests.benchmarks.pipeline_simulated import P480, P512, Setup, broken, simulate, theirs
from tests.benchmarks.pipeline_simulator import Pipeline, PipelineSimulator

from limner.engine.block_places import best_places
from limner.engine.blocks import RankCost, counts_of, split_of

PLAIN = Pipeline(
    split=split_of([2, 2]),
    block_ms=(5.0, 5.0),
    hop_ms=1.0,
    encode=(0, 0.0),
    decode=(0, 0.0),
    steps=1,
    in_flight=4,
)


def test_the_operations_are_those_that_were_counted_before() -> None:
    assert WAN_1_3B.block_flop(P512) * WAN_1_3B.dit.layers / 1e12 == pytest.approx(3.8, rel=0.02)
    assert WAN_14B.block_flop(P512) * WAN_14B.dit.layers / 1e12 == pytest.approx(30, rel=0.02)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_enough_chunks_in_flight_keep_every_rank_busy(steps: int) -> None:
    flow = PipelineSimulator(replace(PLAIN, steps=steps)).run(160)
    assert flow.period_ms() == pytest.approx(10 * steps, rel=0.02)
    assert min(flow.busy_shares()) > 0.95


def test_one_chunk_in_flight_leaves_bubbles_and_its_time_is_the_sum_of_all() -> None:
    flow = PipelineSimulator(replace(PLAIN, in_flight=1)).run(60)
    assert flow.period_ms() == pytest.approx(22, rel=0.01)
    assert max(flow.busy_shares()) < 0.5
    alone = PipelineSimulator(PLAIN).run(20, span_ms=100)
    assert alone.latency_ms(0.5) == pytest.approx(22)


def test_a_slow_link_sets_the_pace() -> None:
    flow = PipelineSimulator(replace(PLAIN, hop_ms=25.0, in_flight=8)).run(60)
    assert flow.period_ms() == pytest.approx(25, rel=0.01)


def test_the_autoencoder_takes_its_ranks_time() -> None:
    flow = PipelineSimulator(replace(PLAIN, encode=(0, 6.0), decode=(1, 8.0), in_flight=6)).run(60)
    assert flow.period_ms() == pytest.approx(18, rel=0.02)


def test_a_source_that_is_too_fast_waits_longer_and_longer() -> None:
    flow = PipelineSimulator(PLAIN).run(60, span_ms=8.0)
    assert flow.took_ms[-1] > flow.took_ms[0] + 90


SETUPS = [
    Setup(model=model, cards=cards, link="PCIe 4 ×16", size=size, steps=steps)
    for model, cards, size in (
        ("1.3B", ("H100",) * 4, P480),
        ("14B", ("H100",) * 2, P512),
        ("14B", ("H100",) * 8, P512),
        ("1.3B", ("5090", "4090"), P512),
        ("1.3B, TAEHV", ("4090", "3090", "3090", "4070"), P512),
        ("14B, TAEHV", ("5090", "4090"), P512),
    )
    for steps in (1, 4)
]


@pytest.mark.parametrize("setup", SETUPS, ids=str)
def test_the_split_gives_what_it_promises(setup: Setup) -> None:
    line = simulate(setup, chunks=80)
    assert line is not None
    assert broken(line) == []
    published = theirs(setup)
    assert published is None or line.fps > published


def test_the_assumed_rates_give_what_was_published_for_an_autoencoder_bound_card() -> None:
    """Theirs on four 4090 is as fast as the decoder of one, at any number of steps: 25 FPS."""
    line = simulate(Setup(model="1.3B", cards=("4090",) * 4, link="PCIe 4 ×16", size=P512, steps=1))
    assert line is not None
    assert line.fps == pytest.approx(25.0, rel=0.1)


def test_a_model_that_does_not_fit_its_cards_is_not_made_to() -> None:
    assert simulate(Setup(model="14B", cards=("4070",), link="PCIe 4 ×4", size=P512, steps=1)) is None
    assert most_blocks(MODELS["14B"], CARDS["4070"], P512, steps=1, vae_halves=0) < 40


# ---- who encodes and decodes


def test_a_slow_card_gets_the_autoencoder_alone() -> None:
    block_ms = (1.0, 25.0)

    def cost(rank: int, encodes: bool, decodes: bool) -> RankCost:
        return RankCost(block_ms[rank], fixed_ms=10.0 * (encodes + decodes))

    places = best_places(24, 2, cost)
    assert (places.encodes, places.decodes) == (1, 1)
    assert counts_of(places.split) == [24, 0]
    assert places.period_ms == 24


def test_where_nothing_fits_the_words_are_those_of_the_blocks() -> None:
    with pytest.raises(
        ValueError, match="the model has 9 blocks, and the memory of all ranks together holds 8"
    ):
        best_places(9, 2, lambda rank, encodes, decodes: RankCost(1.0, most_blocks=4))
