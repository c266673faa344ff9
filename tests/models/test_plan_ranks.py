"""Over several cards: what fits is chosen, each card within its memory, and what does not fit is refused."""

from __future__ import annotations

from typing import Any

import pytest

from limner.models.catalogue import load
from limner.models.plan_bytes import GIB
from limner.models.plan_cards import Card
from limner.models.plan_choice import RESERVE_BYTES, MemoryPlan, Refusal, Wishes, choices, choose
from limner.models.plan_model import ModelSizes, model_sizes
from limner.models.plan_rank_bytes import Places, rank_parts
from limner.models.plan_rank_words import ranks_breakdown, ranks_sentence
from limner.models.plan_ranks import (
    RankCard,
    RanksPlan,
    choose_over,
    lower_over,
    missing_bytes,
    rooms_over,
)

MODELS = {entry.name: model_sizes(entry) for entry in load()}
SMALL, LARGE = MODELS["wan-1.3b"], MODELS["wan-14b"]


def cards(*free_gib: float, capability: tuple[int, int] = (8, 9), most: int | None = None) -> list[RankCard]:
    return [
        RankCard(
            card=Card(
                index=rank,
                name=f"card {rank}",
                total_bytes=int(free * GIB),
                free_bytes=int(free * GIB),
                capability=capability,
            ),
            most_blocks=most,
        )
        for rank, free in enumerate(free_gib)
    ]


def planned(model: ModelSizes, *free_gib: float, **wishes: Any) -> RanksPlan:
    plan = choose_over(model, cards(*free_gib), Wishes(**wishes))
    assert isinstance(plan, RanksPlan), plan
    return plan


def test_a_large_model_fits_two_cards_that_are_too_small_alone() -> None:
    one = choose(LARGE, cards(12)[0].card)
    assert isinstance(one, Refusal)
    plan = planned(LARGE, 12, 12)
    assert sum(plan.rooms) >= LARGE.dit.layers
    assert max(plan.rooms) < LARGE.dit.layers


@pytest.mark.parametrize("free_gib", [(12, 12), (24, 12), (12, 24), (24, 24, 12), (8, 8, 8, 8), (80, 24)])
@pytest.mark.parametrize("model", [SMALL, LARGE], ids=lambda model: model.name)
def test_each_card_has_memory_for_the_blocks_it_has_room_for(
    model: ModelSizes, free_gib: tuple[float, ...]
) -> None:
    plan = planned(model, *free_gib)
    for rank, room in enumerate(plan.rooms):
        parts = rank_parts(model, plan.choice, rank, room)
        card = plan.cards[rank].card
        assert sum(part.size_bytes for part in parts) <= card.free_bytes - RESERVE_BYTES


@pytest.mark.parametrize("model", [SMALL, LARGE], ids=lambda model: model.name)
def test_more_memory_and_more_cards_never_give_a_worse_plan(model: ModelSizes) -> None:
    order = {choice: place for place, choice in enumerate(choices(model, cards(1)[0].card, Wishes()))}

    def place(*free_gib: float) -> int:
        plan = choose_over(model, cards(*free_gib))
        return order[plan.choice] if isinstance(plan, RanksPlan) else len(order)

    for count in (1, 2, 3):
        found = [place(*[gib] * count) for gib in range(3, 60, 3)]
        assert found == sorted(found, reverse=True)
    assert [place(*[10] * count) for count in range(1, 6)] == sorted(
        (place(*[10] * count) for count in range(1, 6)), reverse=True
    )


def test_over_one_card_it_is_about_the_plan_for_one_card() -> None:
    for gib in range(6, 80, 4):
        alone, over = choose(SMALL, cards(gib)[0].card), choose_over(SMALL, cards(gib))
        assert isinstance(alone, MemoryPlan) == isinstance(over, RanksPlan), gib


def test_what_was_learned_of_a_card_counts() -> None:
    plan = planned(LARGE, 40, 40)
    knowing = [*cards(40), *cards(40, most=3)]
    assert rooms_over(LARGE, plan.choice, knowing) == (plan.rooms[0], 3)


def test_who_decodes_has_less_room_for_blocks() -> None:
    plan = planned(LARGE, 24, 24, vae="wan")
    here = rooms_over(LARGE, plan.choice, plan.cards)
    there = rooms_over(LARGE, plan.choice, plan.cards, Places(encodes=0, decodes=1))
    assert there[1] < here[1] and there[0] >= here[0]


def test_a_weak_card_beside_a_new_one_gets_weights_that_both_can() -> None:
    both = [*cards(12, capability=(9, 0)), *cards(12, capability=(8, 6))]
    plan = choose_over(LARGE, both)
    assert isinstance(plan, RanksPlan) and plan.choice.weights == "int8"
    refused = choose_over(LARGE, both, Wishes(weights="fp8"))
    assert isinstance(refused, Refusal) and refused.text.startswith("card 0 cannot multiply fp8")


def test_what_fits_nowhere_is_refused_with_what_each_card_lacks() -> None:
    refused = choose_over(LARGE, cards(6, 5))
    assert isinstance(refused, Refusal)
    assert "of its 40 blocks, card 0 (6.0 of 6.0 GiB free) has room for" in refused.text
    assert "card 1 (5.0 of 5.0 GiB free) has room for" in refused.text
    assert "add a card" in refused.advice and refused.needed_bytes > 0
    beginning = choose_over(LARGE, cards(1, 40))
    assert isinstance(beginning, Refusal)
    assert "lacks" in beginning.text and "for the embeddings and the autoencoder alone" in beginning.text


def test_lower_plans_take_less_until_there_is_none() -> None:
    plan: RanksPlan | None = planned(LARGE, 24, 24)
    seen = []
    while plan is not None:
        assert missing_bytes(LARGE, plan.choice, plan.cards) == 0
        seen.append(plan.choice)
        plan = lower_over(plan)
    assert len(seen) > 3 and len(set(seen)) == len(seen)


def test_the_plan_is_told_rank_by_rank() -> None:
    plan = planned(LARGE, 24, 24)
    here = plan.rooms[0]
    first, second = ranks_breakdown(plan, [here, 40 - here])
    assert first.startswith("Rank 0, card 0: ") and f"GiB free: blocks 0 to {here - 1}; " in first
    assert "autoencoder" in first and "autoencoder" not in second
    assert f"blocks {here} to 39" in second
    assert ranks_sentence(plan, [here, 40 - here]).count("of 24.0 GiB free") == 2
    assert "no blocks" in ranks_breakdown(plan, [40, 0])[1]
